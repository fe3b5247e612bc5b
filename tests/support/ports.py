"""Ports for servers that must be told one."""

import random
import socket


def free_port() -> int:
    """A port on which nothing listens. None of those that the system gives to who asks
    for any: somebody would have it before it is used.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
