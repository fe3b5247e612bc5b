"""The order in which the refs moved, where it differs from the order in which the hooks
came to write it down.

Git runs post-receive after it has let go of the refs, so of two quick pushes to one
branch the later may be the first to be kept. What a push moved a ref from and to says
which came first. Pure functions.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from oberonc.queue.values import Submission


class Kept(NamedTuple):
    """A push of the spool: its file, and {ref: (old, new)}."""

    file: Path
    submission: Submission
    moves: dict[str, tuple[str, str]]


def kept(file: Path, submission: Submission, payload: dict[str, Any]) -> Kept:
    """A push with what its payload says of the refs."""
    return Kept(
        file,
        submission,
        {
            update["ref"]: (update["old"], update["new"])
            for update in payload["updates"]
        },
    )


def in_ref_order(pushes: list[Kept]) -> list[Kept]:
    """*pushes*, given in the order they were kept, each after those that a ref shows to
    have come before it.
    """
    before = _before(pushes)
    waiting = dict.fromkeys(range(len(pushes)))
    ordered = []
    while waiting:
        # Round in a circle (a branch set back to where it was) nobody is first: then it
        # is the one kept first.
        oldest = next(iter(waiting))
        free = (index for index in waiting if before[index].isdisjoint(waiting))
        first = next(free, oldest)
        del waiting[first]
        ordered.append(pushes[first])
    return ordered


def _before(pushes: list[Kept]) -> dict[int, set[int]]:
    """By index in *pushes*, the indexes of those
    that moved a ref to where it moved it from.
    """
    moves: defaultdict[tuple[str, str], list[tuple[int, str, str]]] = defaultdict(list)
    for index, push in enumerate(pushes):
        for ref, (old, new) in push.moves.items():
            moves[push.submission.repo, ref].append((index, old, new))
    before: defaultdict[int, set[int]] = defaultdict(set)
    for of_ref in moves.values():
        came_to = {new: index for index, _, new in of_ref}
        left_from = {old for _, old, _ in of_ref}
        if len(came_to) < len(of_ref) or len(left_from) < len(of_ref):
            continue  # it was at one commit twice: what follows what cannot be told
        for index, old, _ in of_ref:
            if came_to.get(old, index) != index:
                before[index].add(came_to[old])
    return before
