"""The daemon's child processes, where broker code runs."""
