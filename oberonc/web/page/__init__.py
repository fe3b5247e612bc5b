"""The page: what the daemon knows and can be told, for people."""
