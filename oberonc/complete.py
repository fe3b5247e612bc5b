"""What a shell can offer: names and ids that are known here and now. Quick, and silent
whatever is broken.

A shell asks at each press of a key, so that nothing here waits for long, runs a
broker's code or changes anything.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from oberonc import config
from oberonc.broker import declared, registry
from oberonc.config import Config
from oberonc.delivery import handover, runs

#: What is offered, with a word on it for shells that show one.
Offers = dict[str, str]

#: Seconds the daemon has to answer.
PATIENCE: Final = 0.5
#: Records, and deliveries, that are looked at.
MOST: Final = 100


def offers(what: str, config_path: str | None) -> Offers:
    """What there is of *what*, a key of `KINDS`; nothing where it cannot be found out."""
    try:
        return KINDS[what](config.learn(config_path))
    except Exception:  # noqa: BLE001  a press of a key is no time for a message
        return {}


def _services(known: Config) -> Offers:
    return {
        name: f"broker {service.broker}" for name, service in known.services.items()
    }


def _brokers(known: Config) -> Offers:
    return {
        name: declared.docline(place)
        for name, place in registry.find(known).places.items()
    }


def _either(known: Config) -> Offers:
    return _brokers(known) | _services(known)


def _repositories(known: Config) -> Offers:
    return {str(entry["repository"]): "" for entry in _records(known)}


def _events(known: Config) -> Offers:
    """Pushes, the newest first."""
    return {
        str(entry["id"])[:8]: f"{entry['time']} {entry['repository']}"
        for entry in _records(known)[::-1]
    }


def _records(known: Config) -> list[dict[str, Any]]:
    """The latest records of the log and of the daemon, as far as they may be read."""
    found: list[dict[str, Any]] = []
    with suppress(Exception):  # the daemon may know more
        found += runs.recent(known, MOST)
    return sorted(
        [*found, *_records_of_daemon(known)], key=lambda entry: str(entry["time"])
    )


def _records_of_daemon(known: Config) -> list[dict[str, Any]]:
    if known.delivery != "daemon" and not known.daemon.control.exists():
        return []
    for path in (known.daemon.control, known.daemon.socket):
        with suppress(Exception):  # the other socket may be for us
            answer = handover.call(known, "log", at=path, within=PATIENCE, limit=MOST)
            return list(answer["events"])
    return []


def _deliveries(known: Config) -> Offers:
    """Deliveries that have not ended well, the newest first."""
    found: list[dict[str, Any]] = []
    for state in ("leased", "ready", "dead"):
        answer = handover.call(
            known,
            "delivery.list",
            within=PATIENCE,
            state=state,
            before=1 << 61,
            limit=MOST,
        )
        found += answer["deliveries"]
    found.sort(key=lambda row: -int(row["id"]))
    return {
        str(row["id"]): f"{row['state']} {row['service']} {row['repository']}"
        for row in found
    }


def _issues(known: Config) -> Offers:
    """The open issues of the embedded tracker, of the repository one stands in."""
    from oberonc.issues.embedded import IssueFile
    from oberonc.source import repository

    if not (known.state / "tracker.sqlite").is_file():
        return {}
    rows = IssueFile(known.state).issues(repository.full_name())
    return {str(row.number): row.title for row in rows if row.state == "open"}


def _words(known: Config) -> Offers:
    """The kinds of trackers whose words the grammar knows, and plugins."""
    from oberonc.grammar.words import PRESETS

    return dict.fromkeys(PRESETS, "") | _plugins(known)


def _trackers(known: Config) -> Offers:
    """The trackers that `init` writes a service on."""
    from oberonc.issues.trackers import CLASSES

    others = [name for name in CLASSES if name != "local"]
    return dict.fromkeys(others, "") | _plugins(known)


def _plugins(known: Config) -> Offers:
    found = registry.trackers(known).items()
    return {name: place.file or place.origin for name, place in found}


KINDS: Final[dict[str, Callable[[Config], Offers]]] = {
    "service": _services,
    "broker": _brokers,
    "service or broker": _either,
    "repository": _repositories,
    "event": _events,
    "delivery": _deliveries,
    "issue": _issues,
    "words": _words,
    "tracker": _trackers,
}
