"""What git's hooks tell, as far as it is known before git is asked for commits.

In order: `oberonc.source.opening`, `read_call`, `glance` where a push may concern nobody, then
`oberonc.source.collect`. Each of them ends early where there is nothing to tell.
"""

from __future__ import annotations

import os

from oberonc.errors import BadInput
from oberonc.source import memory, repository
from oberonc.source.frame import frame
from oberonc.text import clean, one_line
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oberonc.payload.schema import Payload
    from oberonc.source.git import Git


class Call(NamedTuple):
    """One run of a hook, and the git configuration of its repository.

    *event* is `push` for what was received, `commit` for what was made here; *moves*
    are the (old, new, ref) of a push.
    """

    hook: str
    event: str
    args: list[str]
    moves: list[tuple[str, str, str]]
    push_options: list[str]
    git: Git
    settings: dict[str, list[str]]


def read_call(
    git: Git, settings: dict[str, list[str]], name: str, args: list[str], stdin: str
) -> Call | None:
    """What git's hook *name* was run for; *settings* are the repository's. None where
    the repository wants nothing at all. Raises BadInput for a *stdin* not of git.
    """
    if not repository.is_enabled(settings):
        memory.forget(repository.common_dir(git.git_dir))
        return None
    moves = []
    if name == "post-receive":
        # Git tells hooks the names of refs inside of GIT_NAMESPACE.
        namespace = os.environ.get("GIT_NAMESPACE", "").split("/")
        inside = "".join(f"refs/namespaces/{part}/" for part in namespace if part)
        for line in filter(None, stdin.split("\n")):
            old, new, ref = [*line.split(" ", 2), "", ""][:3]
            if not ref or not all(
                len(oid) in (40, 64) and not oid.strip("0123456789abcdef")
                for oid in (old, new)
            ):
                raise BadInput(
                    "post-receive wants lines of 'old new ref' on stdin, not"
                    f" '{one_line(line, 80)}'"
                )
            moves.append((old, new, inside + ref))
    count = os.environ.get("GIT_PUSH_OPTION_COUNT", "0")
    options = [
        clean(os.environ.get(f"GIT_PUSH_OPTION_{index}", ""))
        for index in range(int(count) if count.isdigit() and len(count) <= 4 else 0)
    ]
    event = "push" if name == "post-receive" else "commit"
    return Call(name, event, args, moves, options, git, settings)


def glance(call: Call) -> Payload:
    """What a push is known to be before git is asked about it: enough for the filters
    that look at no commit.
    """
    about = repository.glance(call.git, call.settings)
    return frame(about, "", call.event) | {
        "updates": [
            {"old": old, "new": new, "ref": ref} for old, new, ref in call.moves
        ],
        "push_options": call.push_options,
    }


def by_branch(call: Call, updates: list[Payload]) -> list[Payload]:
    """*updates* with the branch where a push named another name of it."""
    targets = call.git.targets({u["ref"] for u in updates})
    return [u | {"ref": targets.get(u["ref"], u["ref"])} for u in updates]


def pass_over(call: Call) -> None:
    """Nobody wants the push of *call*: it is not told of later."""
    common = repository.common_dir(call.git.git_dir)
    memory.note(common, ((ref, new) for _, new, ref in call.moves))
