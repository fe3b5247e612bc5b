"""What the daemon's rows mean, in words. Pure functions."""

from typing import Any, Final, NamedTuple

from oberonc.text import counted, utc

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
    """What a person has to look at: `bad` or `odd`, what it is, and where it is mended."""

    kind: str
    text: str
    path: str


def moment(ms: int | None) -> str:
    """A time of the queue, UTC; empty where there is none."""
    return "" if ms is None else utc(ms / 1000)


def state(row: Row) -> str:
    """A service's state in a word or two: what keeps it from working first."""
    if row["paused"]:
        return "paused"
    if row["broker"] is None:
        return "not configured"
    if row["problem"]:
        return "unavailable"
    return "ok" if row["breaker"] == "closed" else "failing"


def needs(stats: Row) -> list[Need]:
    """What needs a person, the worst first."""
    bad, odd = [], []
    if stats["storage_low"]:
        free = stats["storage_free"] // MIB
        text = f"The disk is nearly full, {free} MiB are free: new pushes are refused."
        bad.append(Need("bad", text, ""))
    for name, row in stats["services"].items():
        where = f"/services#{name}"
        if row["dead"]:
            letters = counted(row["dead"], "dead letter")
            bad.append(Need("bad", f"{name}: {letters}.", f"/letters?service={name}"))
        if row["problem"]:
            bad.append(Need("bad", f"{name}: {row['problem']}", where))
        error = str(row["last_error"])
        if error and any(word in error.lower() for word in _REFUSED):
            bad.append(Need("bad", f"{name} is not let in: {error}", where))
        elif row["breaker"] != "closed":
            odd.append(Need("odd", f"{name} is failing: {error}", where))
        if row["paused"]:
            odd.append(Need("odd", f"{name} is paused{_waiting(row)}.", where))
    for name, count in stats["unclaimed"].items():
        text = f"Nobody serves {name}: {counted(count, 'delivery', 'deliveries')} would wait for ever."
        bad.append(Need("bad", text, "/services"))
    if stats["paused_lanes"]:
        lanes = counted(stats["paused_lanes"], "repository", "repositories")
        odd.append(Need("odd", f"{lanes} paused for one service.", "/services"))
    for key, why in (
        ("spool_unreadable", "cannot be read or removed"),
        ("spool_bad", "were put aside: `oberonc send --spooled` says why"),
    ):
        if stats[key]:
            files = counted(stats[key], "file")
            odd.append(Need("odd", f"{files} of the spool {why}.", ""))
    return bad + odd


def _waiting(row: Row) -> str:
    return f", and {row['ready']} wait" if row["ready"] else ""


def waits(row: Row, now: int) -> str:
    """Why the delivery *row*, which is ready, has not begun; *now* in milliseconds."""
    if row["paused"]:
        return "it waits because its service, or its repository there, is paused"
    if row["joined"]:
        return f"it goes together with delivery {row['joined']}"
    if row["behind"]:
        return f"it waits for delivery {row['behind']}, which came before it"
    if row["due_ms"] > now:
        return f"it is tried again at {moment(row['due_ms'])}"
    return "it is about to begin"


def told(decision: Row | None, row: Row | None, now: int) -> str:
    """What became of a push for a service: *decision* of its filters, and *row*, the
    delivery, if there was one.
    """
    if row is None:
        return f"It got nothing: {decision['reason'] if decision else 'not configured then'}."
    tries = counted(len(row["attempts"]), "try", "tries")
    note = f": {row['note']}" if row["note"] else ""
    match row["state"]:
        case "ready":
            after = f", after {tries}{note}" if row["attempts"] else ""
            return f"Not done yet{after}; {waits(row, now)}."
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
