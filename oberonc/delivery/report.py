"""What is said of a payload to people:
what it is, what was cut off it, what became of it.
"""

from __future__ import annotations

from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:  # a hook that hands over to the daemon needs no log
    from oberonc.delivery.log import Result
    from oberonc.payload.schema import Payload


class Report(NamedTuple):
    """What became of a payload:
    its id, per service the result, and the line for people.
    """

    id: str
    services: dict[str, Result]
    line: str

    @property
    def failed(self) -> bool:
        """Whether a broker failed or a delivery is dead."""
        return any(
            result.outcome in ("dead", "crash", "retry")
            for result in self.services.values()
        )


def in_words(payload: Payload) -> str:
    """`3 commits (0123abcd)`: what is sent, for people."""
    count = payload["commits_total"]
    what = f"{count} commit{'' if count == 1 else 's'}" if count else "the push"
    return f"{what} ({payload['id'][:8]})"


def cut(payload: Payload) -> list[str]:
    """What to say of a payload that was cut to the limits."""
    new, published = payload["commits_total"], payload.get("published_total", 0)
    if not payload["truncated"]:
        return []
    if new <= len(payload["commits"]) and published <= len(payload["published"]):
        return [
            "names of files, refs or text that were larger than the limits were cut"
        ]
    kept = len(payload["commits"]) + len(payload["merged"])
    moved = [
        u
        for u in payload["updates"]
        if u["kind"] == "branch" and not (u["created"] or u["deleted"])
    ]
    rev = next(
        (
            f"{u['old'][:12]}..{u['new'][:12]}"
            for u in sorted(moved, key=lambda u: not u["publish"])
        ),
        "A..B",
    )
    return [
        f"the push was cut to {kept} of {max(new, published)} commits; `oberonc send --rev {rev}` sends all of them"
    ]
