"""From refs of a mirror that moved to payloads, by the code of the hooks, and to the
daemon or the spool: each push once, whenever this is killed.

What was told of is the mirror's memory (`oberonc.source.memory`), as in a repository
with hooks. A payload and the lines of the memory that belong to it are first one file,
`oberonc-pending.json`; then the lines are added, the payload is handed over, and the
file is removed. Whoever finds it does these steps again: lines say the same twice, and
the payload has one id.
"""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from oberonc import files
from oberonc.config import Config
from oberonc.delivery import handover
from oberonc.errors import BadInput
from oberonc.mirror.bells import Bell, Move, Planned, Refs, plan
from oberonc.mirror.mirrors import Mirror
from oberonc.payload.schema import Payload, fit
from oberonc.source import collect, memory, newness
from oberonc.source.git import Ref, null_oid
from oberonc.source.repository import Repository

#: Seconds in which the daemon has to take a push; what it does not take is spooled.
BUDGET: Final = 10.0
_PENDING: Final = "oberonc-pending.json"


class Told(NamedTuple):
    """An event that was told of: its id, repository and how many commits it has; *why*
    says what kept it from being told.
    """

    id: str
    repository: str
    commits: int
    why: str = ""


class Teller:
    """Tells of what moved in *mirror*, which nobody else works on meanwhile. *branch*
    is its default branch, where somebody says so.
    """

    def __init__(self, config: Config, mirror: Mirror, branch: str) -> None:
        self._config, self._mirror, self._branch = config, mirror, branch

    def _described(self) -> Repository:
        return self._mirror.described(self._config.publish, self._branch)

    def look(self, bells: list[Bell]) -> Iterator[Bell]:
        """Take what is there for history, but for what *bells* say is new, where nobody
        looked before. First yields those of them that cannot be read from it: where
        they began is not there.
        """
        git_dir = str(self._mirror.git_dir)
        with memory.hold(git_dir) as held:
            if not held.memory.first_look:
                return
        repo = self._described()
        first: dict[str, str] = {}
        ended = {(ref, new) for bell in bells for _, new, ref in bell.moves}
        for bell in bells:
            for old, _, ref in bell.moves:
                if (ref, old) not in ended:
                    first.setdefault(ref, old)
        there = repo.git.peel_all({old for old in first.values() if not null_oid(old)})
        lost = {
            ref for ref, old in first.items() if not null_oid(old) and old not in there
        }
        refs = dict(repo.refs)
        for ref, old in first.items():
            if null_oid(old):
                refs.pop(ref, None)
            elif ref not in lost:
                refs[ref] = Ref(ref, old, there[old], False, "")
        yield from [
            bell for bell in bells if any(ref in lost for _, _, ref in bell.moves)
        ]
        newness.look(repo._replace(refs=refs))
        _sync(git_dir)

    def bells(self, bells: list[Bell]) -> tuple[list[Planned], list[Bell]]:
        """What *bells* are to tell of, and those that the mirror does not show."""
        repo = self._described()
        asked = {oid for bell in bells for oid in bell.ends}
        refs = Refs(
            self._told(),
            {ref.name: ref.oid for ref in repo.refs.values()},
            set(repo.git.peel_all(asked)),
            cache(lambda tip, oid: repo.git.is_ancestor(oid, tip)),
        )
        return plan(bells, refs)

    def rest(self) -> list[Move]:
        """What moved and no bell told of."""
        told = self._told()
        stands = {ref.name: ref.oid for ref in self._described().refs.values()}
        some = next(iter([*stands.values(), *told.values()]), "")
        nothing = "0" * len(some)
        return [
            (told.get(ref, nothing), stands.get(ref, nothing), ref)
            for ref in sorted(told.keys() | stands.keys())
            if told.get(ref) != stands.get(ref)
        ]

    def _told(self) -> dict[str, str]:
        with memory.hold(str(self._mirror.git_dir)) as held:
            return {ref: told.oid for ref, told in held.memory.refs.items()}

    def tell(self, moves: list[Move], bell: Bell | None) -> Told:
        """Tell of *moves*, as *bell* says who made them. Raises NotAccepted and OSError
        where it cannot be kept; then it is told by `resume`.
        """
        with memory.hold(str(self._mirror.git_dir)) as held:
            repo = self._described()
            updates = [newness.update(repo, *move) for move in moves]
            limits = self._config.limits
            news = newness.news(repo, updates, limits, held.memory)
            options = bell.payload["push_options"] if bell else []
            source = collect.Source(repo, "push", updates, options, held.memory.undo)
            made = collect.payload(source, news, self._config) | {"user": None}
            if bell:
                made |= {key: bell.payload[key] for key in ("id", "time", "user")}
                _link(made, bell.payload)
            made = fit(made, limits)
            self._keep(
                {
                    "payload": made,
                    "lines": held.memory.lines,
                    "undo": held.memory.undo,
                }
            )
        told = next(self.resume(), None)
        assert told
        return told

    def _keep(self, pending: dict[str, Any]) -> None:
        file = self._mirror.git_dir / _PENDING
        raw = json.dumps(pending).encode()
        files.put_private(file, raw, file.with_suffix(f".{os.urandom(4).hex()}"))

    def resume(self) -> Iterator[Told]:
        """Tell of what an earlier run did not get to tell. Raises as `tell` does."""
        file = self._mirror.git_dir / _PENDING
        try:
            pending = json.loads(file.read_bytes())
        except FileNotFoundError:
            return
        _remember(self._mirror.git_dir, pending["lines"])
        payload: Payload = pending["payload"]
        why = ""
        try:
            handover.submit(self._config, payload, BUDGET)
        except BadInput as error:
            # Of a redelivery after the branch went back and forth: the event is known,
            # with what it said then.
            _remember(self._mirror.git_dir, pending["undo"])
            why = str(error)
        file.unlink()
        name = payload["repository"]["full_name"]
        yield Told(payload["id"], name, payload["commits_total"], why)


def _remember(git_dir: Path, lines: list[str]) -> None:
    with memory.hold(str(git_dir)) as held:
        held.memory.lines = lines
        held.save(held.memory.refs)
    _sync(str(git_dir))


def _sync(git_dir: str) -> None:
    """Let the memory survive a power cut: what it belongs to is removed next."""
    folder = Path(git_dir) / memory.FOLDER
    files.sync(folder / memory.FILE)
    files.sync(folder)


def _link(made: Payload, said: Payload) -> None:
    """Give the updates of *made* the links that a webhook *said*."""
    links = {
        (update["ref"], update["new"]): update["compare"]
        for update in said["updates"]
        if "compare" in update
    }
    for update in made["updates"]:
        link = links.get((update["ref"], update["new"]))
        if link:
            update["compare"] = link


def as_said(config: Config, bell: Bell) -> Told:
    """Tell of *bell* as its webhook said it: the mirror does not show it. Raises as
    `Teller.tell` does.
    """
    payload, why = bell.payload, ""
    try:
        handover.submit(config, payload, BUDGET)
    except BadInput as error:
        why = str(error)
    name = payload["repository"]["full_name"]
    return Told(payload["id"], name, payload["commits_total"], why)
