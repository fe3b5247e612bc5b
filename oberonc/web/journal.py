"""The log of the HTTP face: lines on stderr, where the service manager has them."""

import sys

from oberonc.text import one_line


def say(text: str) -> None:
    """Write one line; what strangers chose in it is made visible."""
    sys.stderr.write(f"oberonc web: {one_line(text, 1000)}\n")
    sys.stderr.flush()
