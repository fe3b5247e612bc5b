"""What can be asked of the daemon: each operation, and the values that it answers."""
