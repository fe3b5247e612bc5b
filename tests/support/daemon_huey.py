"""The peer in the drain benchmark: huey on SQLite, durable, with a task that leaves one
byte.
"""

import os
import sys

from huey import SqliteHuey

queue = SqliteHuey(filename=os.environ["HUEY_FILE"], fsync=True, results=False)


@queue.task()  # type: ignore[untyped-decorator]
def leave(path: str) -> None:
    """Append one byte."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, b".")
    os.close(handle)


def main() -> None:
    """Consume with as many processes as the first argument says, until ended."""
    count = int(sys.argv[1])
    queue.create_consumer(
        workers=count, worker_type="process", initial_delay=0.01, max_delay=0.05
    ).run()
