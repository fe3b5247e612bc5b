"""The HTTP face: webhooks in. It speaks to the daemon's sockets, and holds no service's
secrets.
"""
