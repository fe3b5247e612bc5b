"""From a payload to the outcomes of its services:
in this process, or through the daemon.
"""
