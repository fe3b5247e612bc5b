"""How payloads become events, in the right order: by the socket, and from the spool."""
