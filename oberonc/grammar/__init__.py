"""What a commit message says about issues: pure functions of text."""
