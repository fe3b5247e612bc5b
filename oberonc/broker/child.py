"""The child process in which one broker runs once: `python -m oberonc.broker.child
PARENT`.

It reads {"place", "request", "payload"} from stdin and writes one outcome to the stdout it was
given, which the broker never sees: before any broker code is loaded, stdin is empty and
stdout is joined to stderr. With {"describe": true} it loads the broker and tells what
it is instead, and with {"describe": [place, ...]} what each of these is, by its name;
with {"call": "check"|"plan"}, what that method of the bound broker says.
"""

import inspect
import json
import os
import re
import sys
from contextlib import suppress
from typing import Any

from oberonc.broker import confine, perform, secrets
from oberonc.broker.contract import BaseBroker, settings_fields
from oberonc.broker.loading import error_text, load
from oberonc.broker.registry import Place
from oberonc.broker.request import Outcome, received, say_where_it_stands
from oberonc.errors import OberoncError
from oberonc.text import one_line


def main() -> None:
    """Read one request, answer it."""
    # A push that is killed takes its brokers with it; their delivery stays in the
    # spool.
    confine.die_with_parent(int(sys.argv[1]))
    confine.limit_memory()
    confine.be_the_first_to_go()
    ask = json.load(sys.stdin)
    channel = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    itself, streams = os.getpid(), (sys.stdout, sys.stderr)
    if "place" in ask:
        say_where_it_stands(Place(**ask["place"]))
    answer = _answer(ask)
    if os.getpid() != itself:
        # the broker forked and let the copy come back; one answer is enough
        os._exit(0)
    for stream in streams:
        # the broker may have closed it; what it put in its place is not ours to call
        with suppress(Exception):
            stream.flush()
    with os.fdopen(channel, "w") as out:
        out.write(json.dumps(answer, default=repr))
    # A broker may leave threads that never end; the answer is given, so nothing is
    # waited for.
    os._exit(0)


def _answer(ask: dict[str, Any]) -> dict[str, Any]:
    if isinstance(places := ask.get("describe"), list):
        return {
            place["name"]: _answer({"place": place, "describe": True})
            for place in places
        }
    place = Place(**ask["place"])
    try:
        broker_class = load(place)
    except OberoncError as error:
        if "request" in ask and "call" not in ask:
            return Outcome("retry", str(error))._asdict()
        return {"error": str(error)}
    if ask.get("describe"):
        return _described(broker_class)
    request = received(ask["request"], ask["payload"])
    if "call" in ask:
        return perform.call(broker_class, ask["call"], request)
    return perform.perform(broker_class, request)._asdict()


def _described(broker_class: type[BaseBroker]) -> dict[str, Any]:
    try:
        return describe(broker_class)
    except Exception as error:  # noqa: BLE001  annotations are the broker's code too
        return {
            "error": f"its Settings cannot be read: {type(error).__name__}: {one_line(error_text(error))}"
        }


def describe(broker_class: type[BaseBroker]) -> dict[str, Any]:
    """What `oberonc brokers` shows of a broker."""
    fields = settings_fields(broker_class.Settings)
    return {
        "class": broker_class.__name__,
        "doc": _doc(broker_class),
        "timeout": broker_class.timeout,
        "settings": {
            name: {
                "type": _type_name(hint),
                "required": default is ...,
                "default": None if default is ... else secrets.masked(default),
            }
            for name, (hint, default) in fields.items()
        },
        "plugins": broker_class.plugins(),
    }


def _doc(broker_class: type[BaseBroker]) -> str:
    """What its class says of itself, else its file; not what `BaseBroker` says."""
    said = inspect.getdoc(broker_class)
    if said == inspect.getdoc(BaseBroker):
        said = inspect.getdoc(sys.modules.get(broker_class.__module__))
    return said or ""


def _type_name(hint: Any) -> str:
    return (
        hint.__name__
        if isinstance(hint, type) and not hasattr(hint, "__args__")
        else re.sub(r"\b(oberonc\.redaction|typing|pathlib)\.", "", str(hint))
    )


if __name__ == "__main__":
    main()
