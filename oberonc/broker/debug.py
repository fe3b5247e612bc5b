"""A broker once on the terminal, for its author: `python -m oberonc.broker.debug READ
WRITE`.

It reads from the file descriptor READ what `oberonc.broker.child` reads from stdin, has
pdb look at an exception where it was raised, and writes the outcome to WRITE. Nothing
ends it but its author.
"""

import json
import os
import pdb
import sys

from oberonc.broker.loading import load
from oberonc.broker.perform import perform, show_error
from oberonc.broker.registry import BrokenBroker, Place
from oberonc.broker.request import Outcome, received


def main() -> None:
    """Read one request, answer it."""
    reading, writing = map(int, sys.argv[1:3])
    with os.fdopen(reading) as stream:
        ask = json.load(stream)
    try:
        broker_class = load(Place(**ask["place"]))
    except BrokenBroker as error:
        outcome = Outcome("retry", str(error))
    else:
        request = received(ask["request"], ask["payload"])
        outcome = perform(broker_class, request, _look)
    with os.fdopen(writing, "w") as out:
        json.dump(outcome._asdict(), out)


def _look(error: BaseException) -> None:
    show_error(error)
    pdb.post_mortem(error.__traceback__)


if __name__ == "__main__":
    main()
