"""What the daemon's rows mean, in words. Pure functions."""

from typing import Any, Final, NamedTuple

from oberonc.text import counted, one_line, utc

Row = dict[str, Any]
MIB: Final = 1 << 20
#: What is wrong with credentials is said by servers in these words.
_REFUSED: Final = (
    "401",
    "403",
    "credential",
    "unauthorized",
    "forbidden",
    "permission",
)


class Need(NamedTuple):
    """What a person has to look at: `bad` or `odd`, what it is, the page where it is
    mended, and how.
    """

    kind: str
    text: str
    path: str
    mend: str = ""


def moment(ms: int | None) -> str:
    """A time of the queue, UTC; empty where there is none."""
    return "" if ms is None else utc(ms / 1000)


def state(row: Row) -> str:
    """A service's state in a word or two: what keeps it from working first."""
    if row["broker"] is None:
        return "paused, not configured" if row["paused"] else "not configured"
    if row["paused"]:
        return "paused"
    if row["problem"]:
        return "unavailable"
    return "ok" if row["breaker"] == "closed" else "failing"


def alarms(stats: Row) -> list[Need]:
    """What is wrong with the daemon as a whole, the worst first."""
    found = []
    if stats["storage_low"]:
        keys = ("storage_free", "storage_threshold")
        free, least = (f"{stats[key] / MIB:.0f} MiB" for key in keys)
        text = (
            f"the disk is nearly full: {free} free, daemon.low_space is {least}; "
            "new pushes are refused, and spooled by their senders"
        )
        found.append(Need("bad", text, "", "make room where the daemon's state is"))
    for name, count in stats["unclaimed"].items():
        mend = f"configure it again, or oberonc queue drop what oberonc queue list --service {name}"
        found.append(Need("bad", unserved(name, count), "/services", mend))
    for key, what, mend in (
        (
            "spool_unreadable",
            "cannot be read or removed",
            "the daemon's log names them",
        ),
        ("spool_bad", "put aside in bad/", "look at the .why beside each"),
    ):
        if stats[key]:
            text = f"{counted(stats[key], 'file')} of the spool {what}"
            found.append(Need("odd", text, "", mend))
    return found


def unserved(name: str, count: int) -> str:
    """That the service *name* is not configured any more, and *count* deliveries wait."""
    waits = "1 delivery waits" if count == 1 else f"{count} deliveries wait"
    return f"nobody serves {one_line(name, 80)}: {waits}"


def needs(stats: Row) -> list[Need]:
    """What needs a person, the worst first."""
    found = [
        one._replace(text=f"{one.text[0].upper()}{one.text[1:]}: {one.mend}.")
        for one in alarms(stats)
    ]
    for name, row in stats["services"].items():
        where = f"/services#{name}"
        if row["dead"]:
            letters = counted(row["dead"], "dead letter")
            found.append(Need("bad", f"{name}: {letters}.", f"/letters?service={name}"))
        if row["problem"]:
            found.append(Need("bad", f"{name}: {row['problem']}", where))
        error = str(row["last_error"])
        if error and any(word in error.lower() for word in _REFUSED):
            found.append(Need("bad", f"{name} is not let in: {error}", where))
        elif row["breaker"] != "closed":
            found.append(Need("odd", f"{name} is failing: {error}", where))
        if row["paused"]:
            found.append(Need("odd", f"{name} is paused{_waiting(row)}.", where))
    if stats["paused_lanes"]:
        lanes = counted(stats["paused_lanes"], "repository", "repositories")
        found.append(Need("odd", f"{lanes} paused for one service.", "/services"))
    return sorted(found, key=lambda one: one.kind != "bad")


def _waiting(row: Row) -> str:
    return f", and {row['ready']} wait" if row["ready"] else ""


def waits(row: Row, service: Row | None, now: int) -> str:
    """What the delivery *row*, which is ready, waits for; *service* as the daemon tells
    of its service, *now* in milliseconds.
    """
    if row.get("joined"):
        return f"goes together with delivery {row['joined']}"
    found = []
    if row["paused"]:
        found.append("its service, or its repository there, is paused")
    if row.get("behind"):
        found.append(f"behind delivery {row['behind']}")
    if row["due_ms"] > now:
        found.append(f"next try {moment(row['due_ms'])}")
    elif service and (service["next_ms"] or 0) > now:
        found.append(f"its rate lets it start {moment(service['next_ms'])}")
    if service and service["breaker"] != "closed":
        probe = service["probe_due_ms"]
        tried = f", tried again {moment(probe)}" if probe else ""
        found.append(f"the service is failing{tried}")
    return "; ".join(found) or "due now"


def told(decision: Row | None, row: Row | None, service: Row | None, now: int) -> str:
    """What became of a push for a service: *decision* of its filters, and *row*, the
    delivery, if there was one; *service* as for `waits`.
    """
    if row is None:
        return f"It got nothing: {decision['reason'] if decision else 'not configured then'}."
    tries = counted(len(row["attempts"]), "try", "tries")
    note = f": {row['note']}" if row["note"] else ""
    match row["state"]:
        case "ready":
            after = f" after {tries}{note}" if row["attempts"] else ""
            return f"Not done yet{after} ({waits(row, service, now)})."
        case "leased":
            return f"It runs now, try {len(row['attempts'])}."
        case "done":
            last = row["attempts"][-1]["note"] if row["attempts"] else row["note"]
            said = f": {last}" if last else "."
            return f"Done after {tries}{said}"
        case "dead":
            return f"Given up after {tries}{note}"
    return f"{row['state'].capitalize()}{note}"


def summary(services: list[Row]) -> str:
    """What became of a push, in one sentence; *services* as `journey` has them."""
    got = [row["outcome"] for row in services if row["outcome"] != "nothing"]
    if not services:
        return "No service was configured when it came, so nothing happened."
    if not got:
        return "Nothing happened, because no service wanted it. Why, each says below."
    if "dead" in got:
        return "A service gave up on it: it needs a person."
    if "ready" in got or "leased" in got:
        return "Not all of it is done yet."
    if set(got) == {"done"}:
        return f"Done, by {counted(len(got), 'service')}."
    return "All of it has ended, and not all of it was done."
