"""A process to be killed: submitters and a worker loop on one queue, every promise it
made on its standard output.

Lines: `try ID` before an event is submitted, `ok ID` once the answer says it is
durable, `done DELIVERY` once an ending is. Whoever kills the process reads them and
asks the reopened queue whether all of it is true.
"""

import argparse
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from oberonc.errors import OberoncError
from oberonc.queue.contract import Queue
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import (
    Decision,
    Ending,
    Route,
    Rules,
    Slot,
    Submission,
)
from tests.support.store_values import ThreadWriter

NOW: Final = 1_700_000_000_000
SERVICES: Final = ("chat", "tracker")
LANES: Final = 4


def event_of(id: bytes) -> Submission:
    """The event with this id: what it holds follows from the id, so that anybody can
    check the bytes.
    """
    body = id.hex().encode() * (1 + id[0] % 64)
    # Some of what waits for the chat is overtaken, the rest is handed over together.
    refs = (f"refs/heads/{id[2] % 3}",) if id[3] % 2 else ()
    routes = (Route("chat", refs=refs), Route("tracker"))
    said = tuple(Decision(service, True, "") for service in SERVICES)
    return Submission(
        id,
        body,
        f"repo {id[1] % LANES}",
        routes=routes,
        decisions=said,
        commits=(id.hex() + "0" * 8,),
    )


def _say(*words: str) -> None:
    """One line in one write: whole or not there at all."""
    os.write(1, (" ".join(words) + "\n").encode())


def _submit(writer: ThreadWriter, ids: Iterator[bytes]) -> None:
    for id in ids:
        _say("try", id.hex())
        answer = writer.accept(NOW, event_of(id)).result()
        if answer.status in ("accepted", "duplicate"):
            _say("ok", id.hex())
        elif answer.status == "conflict":
            _say("conflict", id.hex())


def _work(writer: ThreadWriter) -> None:
    """Lease and end for ever, as the daemon does."""
    rules = Rules(collapse=True, together=4, together_bytes=100_000)
    slots = [Slot("chat", LANES, 1, rules), Slot("tracker", LANES, 1)]
    while True:
        for lease in (
            writer.call(lambda queue: queue.lease(NOW, slots, "worker")).result().leases
        ):
            ended = writer.call(
                _ender(lease.token.delivery, lease.token.attempt)
            ).result()
            if ended:
                _say("done", str(lease.token.delivery))


def _ender(delivery: int, attempt: int) -> Callable[[Queue], bool]:
    from oberonc.queue.values import Token

    return lambda queue: (
        queue.end(NOW, Token(delivery, attempt), Ending("done")).state == "done"
    )


def _ids(count: int) -> Iterator[bytes]:
    while count:
        yield os.urandom(16)
        count -= 1


def _until_the_disk_fails(call: Callable[[], None]) -> None:
    try:
        call()
    except OberoncError:
        return  # the writer has called `_die`


def _die(error: OberoncError) -> None:
    os._exit(error.exit_code)


def main() -> None:
    """Open the queue, recover, submit again what was never answered, then submit and
    work.
    """
    options = argparse.ArgumentParser()
    options.add_argument("path", type=Path)
    options.add_argument(
        "--again", default="", help="ids never answered, in hex, with commas"
    )
    options.add_argument("--synchronous", default="FULL")
    options.add_argument("--submitters", type=int, default=6)
    options.add_argument(
        "--count", type=int, default=-1, help="events per submitter; -1: for ever"
    )
    given = options.parse_args()
    try:
        queue = SqliteQueue(given.path, force=True, synchronous=given.synchronous)
        queue.recover(NOW)
    except OberoncError as error:
        _die(error)
    writer = ThreadWriter(queue, on_failure=_die)
    writer.start()
    again = [bytes.fromhex(id) for id in given.again.split(",") if id]
    sources = [iter(again), *(_ids(given.count) for _ in range(given.submitters))]
    threads = [
        threading.Thread(
            target=_until_the_disk_fails, args=(lambda ids=ids: _submit(writer, ids),)
        )
        for ids in sources
    ]
    threading.Thread(
        target=_until_the_disk_fails, args=(lambda: _work(writer),), daemon=True
    ).start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.stop()
    queue.close()
    os._exit(0)


if __name__ == "__main__":
    main()
