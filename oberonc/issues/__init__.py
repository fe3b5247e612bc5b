"""What commit messages say about issues, whether to act on it, and the trackers that
act.
"""
