"""What git's hooks tell: from a hook's arguments and stdin to one payload of schema 1.

In order: `open_repository`, `read_call`, `glance` where a push may concern nobody, then
`collect`. Each of them ends early where there is nothing to tell.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from oberonc.config import Config
from oberonc.errors import BadInput, UsageError
from oberonc.payload.schema import LONGEST_PATH, Payload, fit
from oberonc.source import entries, memory, newness, repository
from oberonc.source.git import Git
from oberonc.source.memory import Memory
from oberonc.source.newness import Update
from oberonc.source.repository import Repository
from oberonc.text import clean, one_line


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


class Source(NamedTuple):
    """The ref updates a hook tells of, before any commit is read; and how the memory
    takes them back.
    """

    repo: Repository
    event: str
    updates: list[Update]
    push_options: list[str]
    undo: list[str]


def open_repository(name: str) -> Git | None:
    """The repository that git runs its hook *name* in; None where that has nothing to
    tell.

    Raises UsageError for a hook oberonc has no business in, and in quarantine, where
    the push may still be refused.
    """
    if os.environ.get("GIT_QUARANTINE_PATH"):
        raise UsageError(
            f"run from {name} before the push is accepted; install it as post-receive:"
            " oberonc hook install"
        )
    if name not in HOOKS:
        raise UsageError(
            f"there is nothing to do in {one_line(name, 40)}; it serves"
            f" {', '.join(HOOKS)}"
        )
    # GIT_DIR is relative in post-receive ("."), and unset in post-commit.
    named = os.environ.get("GIT_DIR")
    git_dir = Path(named).absolute() if named else Path(repository.find_git_dir())
    if name in ("post-commit", "post-applypatch"):
        # Git runs them for every commit a rebase writes; post-rewrite tells of these
        # once, at its end. The folder rebase-apply is also there while `git am` applies
        # mails.
        applying = git_dir / "rebase-apply"
        if (git_dir / "rebase-merge").is_dir() or (
            applying.is_dir() and not (applying / "applying").exists()
        ):
            return None
    return Git(git_dir)


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
    return entries.frame(about, "", call.event) | {
        "updates": [
            {"old": old, "new": new, "ref": ref} for old, new, ref in call.moves
        ],
        "push_options": call.push_options,
    }


def by_branch(call: Call, updates: list[Update]) -> list[Update]:
    """*updates* with the branch where a push named another name of it."""
    targets = call.git.targets({u["ref"] for u in updates})
    return [u | {"ref": targets.get(u["ref"], u["ref"])} for u in updates]


def pass_over(call: Call) -> None:
    """Nobody wants the push of *call*: it is not told of later."""
    common = repository.common_dir(call.git.git_dir)
    memory.note(common, ((ref, new) for _, new, ref in call.moves))


def skip(call: Call, config: Config) -> str:
    """Nobody is to hear of *call*, now or later. Returns an empty string."""
    if call.event == "push":
        pass_over(call)
    else:
        collect(call, config)
    return ""


def collect(call: Call, config: Config) -> tuple[Source, Payload] | None:
    """The ref updates of *call*, and the payload of what is new in them;
    None where there is none.
    """
    with memory.hold(repository.common_dir(call.git.git_dir)) as held:
        repo = repository.describe(call.git.git_dir, config.publish, call.settings)
        updates = _HOOKS[call.hook](repo, call)
        if call.event == "commit":
            updates = _with_others(repo, updates, held.memory)
        if not updates:
            return None
        news = newness.news(repo, updates, config.limits.commits, held.memory)
        if config.publish_known:  # else it is told again when it is
            held.save(repo.refs)
    source = Source(repo, call.event, updates, call.push_options, held.memory.undo)
    return source, payload(source, news, config)


def take_back(source: Source) -> None:
    """The payload of *source* reached nobody: the next hook tells of it again."""
    memory.take_back(source.repo.common, source.undo)


def _post_receive(repo: Repository, call: Call) -> list[Update]:
    # By ref: a branch and another name of it are one.
    updates = [newness.update(repo, *move) for move in call.moves]
    return list({u["ref"]: u for u in updates}.values())


def _post_commit(repo: Repository, _call: Call) -> list[Update]:
    return _moved(repo, repo.git.peel("HEAD^1"))


def _post_merge(repo: Repository, call: Call) -> list[Update]:
    if call.args[:1] == ["1"]:  # squashed: nothing is committed yet
        return []
    return _moved(repo, repo.git.peel("ORIG_HEAD"))


def _post_rewrite(repo: Repository, call: Call) -> list[Update]:
    if call.args[:1] != ["rebase"]:  # for `amend` git has already run post-commit
        return []
    return _moved(repo, repo.git.peel("ORIG_HEAD"))


def _moved(repo: Repository, old: str) -> list[Update]:
    ref, new = repo.git.head_ref(), repo.git.peel("HEAD")
    if not ref or not new or new == old:
        return []
    return [newness.update(repo, old or "0" * len(new), new, ref)]


_HOOKS: dict[str, Callable[[Repository, Call], list[Update]]] = {
    "post-receive": _post_receive,
    "post-commit": _post_commit,
    "post-merge": _post_merge,
    "post-rewrite": _post_rewrite,
    "post-applypatch": _post_commit,
}
#: Tells of pushes from here; see `oberonc.source.pushed`.
PUSHED = "reference-transaction"
#: The hooks that oberonc has something to do in; whoever installs them reads it here.
HOOKS = (*_HOOKS, PUSHED)


def _with_others(repo: Repository, updates: list[Update], kept: Memory) -> list[Update]:
    """*updates* of what a hook of a work tree tells of, and what moved publish refs
    since without any hook.
    """
    for u in updates:
        if u["publish"] and u["ref"] in kept.refs:
            u |= newness.update(repo, kept.refs[u["ref"]].oid, u["new"], u["ref"])
        else:
            # people set branches of their own to other places, and mean nothing new
            kept.refs.pop(u["ref"], None)
    if kept.first_look:
        return updates
    named = {u["ref"] for u in updates}
    stand = {
        ref.name: ref.oid for ref in repo.refs.values() if repo.publishes(ref.name)
    }
    known = {ref: seen.oid for ref, seen in kept.refs.items() if repo.publishes(ref)}
    for ref in sorted(stand.keys() | known.keys()):
        new, old = stand.get(ref, ""), known.get(ref, "")
        if ref not in named and new != old:
            old, new = old or "0" * len(new), new or "0" * len(old)
            updates.append(newness.update(repo, old, new, ref))
    return updates


def payload(source: Source, news: newness.News, config: Config) -> Payload:
    """The payload of a hook's updates:
    what is new and what is published, commits read once.
    """
    limits = config.limits
    newest_first = [*news.commits[::-1], *news.merged[::-1]]
    found = entries.read(
        source.repo, newest_first, news.branch, limits, news.dropped[::-1]
    )
    # A flood of refs must not push out the ones that act on issues.
    first = sorted(source.updates, key=lambda u: not u["publish"])[: limits.updates]
    updates = [
        u | {key: u[key][:LONGEST_PATH] for key in ("ref", "name")} for u in first
    ]
    cut = updates != first or len(first) < len(source.updates)
    cut = cut or any(
        oid not in found or "truncated" in found[oid] for oid in newest_first
    )
    about = source.repo.as_payload()
    made = entries.frame(about, source.repo.canon_url, source.event) | {
        "updates": updates,
        "commits": [found[oid] for oid in news.commits if oid in found],
        "merged": [found[oid] for oid in news.merged if oid in found],
        "published": [oid for oid in news.published if oid in found],
        "foreign": [oid for oid in news.foreign if oid in found],
        "dropped": [found[oid] for oid in news.dropped if oid in found],
        "truncated": cut
        or news.total > len(news.commits)
        or news.published_total > len(news.published),
        "commits_total": news.total,
        "published_total": news.published_total,
        "dropped_total": news.dropped_total,
        "push_options": source.push_options,
    }
    if any(service.diffs for service in config.services.values()):
        from oberonc.source import diffs  # few pushes are worth what it loads

        diffs.add(source.repo.git, made, config.services.values())
    return fit(made, limits)
