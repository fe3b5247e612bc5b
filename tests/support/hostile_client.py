"""A client that means no good: it attacks the socket in argv[1] until its stdin closes.
Needs nothing but Python.
"""

import json
import os
import random
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

HEADER = b"OB\x01\x00"
LARGEST = 9 << 20
SAMPLE = json.loads(sys.argv[2])


def frame(body: bytes) -> bytes:
    """*body* as the daemon wants it."""
    return HEADER + len(body).to_bytes(4, "big") + body


def payload(**changes: object) -> bytes:
    """A submission for a repository that the hostile brokers serve."""
    made = json.loads(json.dumps(SAMPLE)) | {"id": os.urandom(16).hex()} | changes
    made["repository"]["full_name"] = f"evil/{random.randrange(4)}"
    return json.dumps(
        {"op": "submit", "payload": made}, sort_keys=True, separators=(",", ":")
    ).encode()


def channel() -> socket.socket:
    """A connection."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(5)
    made.connect(sys.argv[1])
    return made


def say(raw: bytes) -> None:
    """Send *raw*, and read whatever comes."""
    with channel() as one:
        one.sendall(raw)
        one.recv(1 << 16)


def headers() -> None:
    """Announce the largest frame on many connections, and send none of it."""
    many = [channel() for _ in range(30)]
    for one in many:
        one.sendall(HEADER + LARGEST.to_bytes(4, "big") + b"{" * 32)
    many[0].settimeout(0.5)
    with suppress(TimeoutError):
        many[0].recv(1)
    for one in many:
        one.close()


def commits(count: int) -> list[object]:
    """Many commits that differ from none another."""
    return [SAMPLE["commits"][0] | {"message": "fixes #1, [x](y) `z\n" * 40}] * count


ATTACKS: list[Callable[[], None]] = [
    headers,
    lambda: say(os.urandom(1 << 16)),
    lambda: say(
        frame(b'{"op":"submit","payload":[' + b"[[[[[]]]]]," * 190_000 + b"[]]}")
    ),
    lambda: say(frame(payload(commits=commits(2000)))),
    lambda: say(frame(payload(user="root", submitter={"uid": 0, "name": "root"}))),
    lambda: say(
        frame(
            payload(
                commits=[
                    SAMPLE["commits"][0]
                    | {"node": "x\n\n/close\n@all", "raw_node": "\ud800"}
                ]
            )
        )
    ),
    lambda: say(frame(payload())[: random.randrange(2000)]),
    lambda: say(frame(b'{"op":"stats"}') * 200),
    lambda: say(frame(payload()) * 5),
]


def attack() -> None:
    """For ever."""
    while True:
        with suppress(OSError):
            random.choice(ATTACKS)()


for _ in range(3):
    threading.Thread(target=attack, daemon=True).start()
sys.stdin.read()
os._exit(0)
