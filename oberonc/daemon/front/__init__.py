"""The daemon's sockets, and what can be asked there."""
