"""Where payloads come from: a hook's arguments and stdin, commits that are named, a
message.

Each function returns one payload of schema 1, or None where there is nothing to tell
(with the reason logged by nobody: git ran a hook for something that is no change of a
branch or tag).
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from oberonc.config import Config
from oberonc.errors import BadInput, UsageError
from oberonc.payload.schema import (
    LONGEST_PATH,
    SCHEMA,
    Payload,
    fit,
    message_entry,
    new_id,
    now,
)
from oberonc.source import entries, memory, newness, repository
from oberonc.source.git import Git, null_oid
from oberonc.source.memory import Memory
from oberonc.source.newness import Update
from oberonc.source.repository import Repository
from oberonc.text import clean, one_line


class Call(NamedTuple):
    """One run of a hook, and the git configuration of its repository."""

    hook: str
    args: list[str]
    stdin: str
    door: Git
    settings: dict[str, list[str]]
    push_options: list[str]

    @property
    def event(self) -> str:
        """`push` for what was received, `commit` for what was made here."""
        return "push" if self.hook == "post-receive" else "commit"


class Source(NamedTuple):
    """The ref updates a hook tells of, before any commit is read; and how the memory
    takes them back.
    """

    repo: Repository
    event: str
    updates: list[Update]
    push_options: list[str]
    undo: list[str]


def begin(
    name: str, args: list[str], stdin: str, load: Callable[[], Config]
) -> tuple[Call, Config] | None:
    """What git's hook *name* was run for, and the configuration, which *load* reads
    while git is at work.

    None where it has nothing to tell. Raises UsageError for a hook oberonc has no
    business in, and in quarantine, where the push may still be refused.
    """
    if os.environ.get("GIT_QUARANTINE_PATH"):
        raise UsageError(
            f"run from {name} before the push is accepted; install it as post-receive: oberonc hook install"
        )
    if name not in _HOOKS:
        raise UsageError(
            f"there is nothing to do in {one_line(name, 40)}; it serves {', '.join(_HOOKS)}"
        )
    git_dir = _hook_git_dir()
    if name in ("post-commit", "post-applypatch") and _rebasing(git_dir):
        return None
    door = Git(git_dir)
    settings = door.ask_config()
    config = load()
    call = Call(name, args, stdin, door, settings(), _push_options())
    if repository.is_enabled(call.settings):
        return call, config
    memory.forget(repository.common_dir(git_dir))
    return None


def glance(call: Call) -> Payload | None:
    """What a push is known to be before git is asked about it: enough for the filters
    that look at no commit.

    None for hooks that do not say which refs moved.
    """
    if call.hook != "post-receive":
        return None
    return _frame(repository.glance(call.door, call.settings), "", call.event) | {
        "updates": [
            {"old": old, "new": new, "ref": ref} for old, new, ref in _lines(call.stdin)
        ],
        "push_options": call.push_options,
    }


def by_branch(call: Call, updates: list[Update]) -> list[Update]:
    """*updates* with the branch where a push named another name of it."""
    targets = call.door.targets({u["ref"] for u in updates})
    return [u | {"ref": targets.get(u["ref"], u["ref"])} for u in updates]


def pass_over(call: Call) -> None:
    """Nobody wants the push of *call*: it is not told of later."""
    memory.note(
        repository.common_dir(call.door.git_dir),
        ((ref, new) for _, new, ref in _lines(call.stdin)),
    )


def collect(call: Call, config: Config) -> tuple[Source, Payload] | None:
    """The ref updates of *call*, and the payload of what is new in them; None where
    there is none.
    """
    with memory.hold(repository.common_dir(call.door.git_dir)) as held:
        repo = repository.described(call.door, call.settings, config.publish)
        updates = _HOOKS[call.hook](repo, call.args, call.stdin)
        if call.event == "commit":
            updates = _with_others(repo, updates, held.memory)
        if not updates:
            return None
        news = newness.news(repo, updates, config.limits.commits, held.memory)
        if config.publish_known:  # else it is told again when it is
            held.save(repo.refs)
    source = Source(repo, call.event, updates, call.push_options, held.memory.undo)
    return source, _payload(source, news, config)


def take_back(source: Source) -> None:
    """The payload of *source* reached nobody: the next hook tells of it again."""
    memory.take_back(source.repo.common, source.undo)


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
    told = {u["ref"] for u in updates}
    stand = {
        ref.name: ref.oid for ref in repo.refs.values() if repo.publishes(ref.name)
    }
    for ref in (
        []
        if kept.first_look
        else sorted(set(stand) | {ref for ref in kept.refs if repo.publishes(ref)})
    ):
        new = stand.get(ref, "")
        old = kept.refs[ref].oid if ref in kept.refs else ""
        if ref not in told and new != old:
            updates.append(
                newness.update(repo, old or "0" * len(new), new or "0" * len(old), ref)
            )
    return updates


def _hook_git_dir() -> str:
    # GIT_DIR is relative in post-receive ("."), and unset in post-commit.
    said = os.environ.get("GIT_DIR")
    return str(Path(said).absolute()) if said else repository.find_git_dir()


def _rebasing(git_dir: str) -> bool:
    # git runs hooks for every commit a rebase writes; post-rewrite tells of them once,
    # at its end. The folder rebase-apply is also there while `git am` applies mails.
    folder = Path(git_dir)
    return (folder / "rebase-merge").is_dir() or (
        (folder / "rebase-apply").is_dir()
        and not (folder / "rebase-apply" / "applying").exists()
    )


def _push_options() -> list[str]:
    count = os.environ.get("GIT_PUSH_OPTION_COUNT", "0")
    if not count.isdigit() or len(count) > 4:
        return []
    return [
        clean(os.environ.get(f"GIT_PUSH_OPTION_{index}", ""))
        for index in range(int(count))
    ]


def _post_receive(repo: Repository, _args: list[str], stdin: str) -> list[Update]:
    # By ref: a branch and another name of it are one.
    return list(
        {
            u["ref"]: u
            for u in (newness.update(repo, *fields) for fields in _lines(stdin))
        }.values()
    )


def _lines(stdin: str) -> Iterator[tuple[str, str, str]]:
    """(old, new, ref) of each line."""
    inside = _namespace()
    for line in filter(None, stdin.split("\n")):
        fields = line.split(" ", 2)
        if len(fields) != 3 or not all(_is_oid(oid) for oid in fields[:2]):
            raise BadInput(
                f"post-receive wants lines of 'old new ref' on stdin, not '{one_line(line, 80)}'"
            )
        yield fields[0], fields[1], inside + fields[2]


def _namespace() -> str:
    """Where the refs of the push are kept: git tells hooks their names inside of
    GIT_NAMESPACE.
    """
    said = os.environ.get("GIT_NAMESPACE", "")
    return "".join(f"refs/namespaces/{part}/" for part in said.split("/") if part)


def _is_oid(text: str) -> bool:
    return len(text) in (40, 64) and all(c in "0123456789abcdef" for c in text)


def _post_commit(repo: Repository, _args: list[str], _stdin: str) -> list[Update]:
    return _moved(repo, repo.git.peel("HEAD^1"))


def _post_merge(repo: Repository, args: list[str], _stdin: str) -> list[Update]:
    squashed = args[:1] == ["1"]
    return [] if squashed else _moved(repo, repo.git.peel("ORIG_HEAD"))


def _post_rewrite(repo: Repository, args: list[str], _stdin: str) -> list[Update]:
    # For `amend` git has already run post-commit.
    return _moved(repo, repo.git.peel("ORIG_HEAD")) if args[:1] == ["rebase"] else []


def _moved(repo: Repository, old: str) -> list[Update]:
    ref, new = repo.git.head_ref(), repo.git.peel("HEAD")
    if not ref or not new or new == old:
        return []
    return [newness.update(repo, old or "0" * len(new), new, ref)]


_HOOKS: dict[str, Callable[[Repository, list[str], str], list[Update]]] = {
    "post-receive": _post_receive,
    "post-commit": _post_commit,
    "post-merge": _post_merge,
    "post-rewrite": _post_rewrite,
    "post-applypatch": _post_commit,
}
#: The hooks that oberonc has something to do in; whoever installs them reads it here.
HOOKS = tuple(_HOOKS)


def _payload(source: Source, news: newness.News, config: Config) -> Payload:
    """The payload of a hook's updates: what is new and what is published, commits read
    once.
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
    made = _frame(source.repo.describe(), source.repo.canon_url, source.event) | {
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
    return fit(made, limits)


def _frame(about: Payload, canon_url: str, event: str) -> Payload:
    """What every payload has, with empty lists for what only a push brings."""
    return {
        "schema": SCHEMA,
        "id": new_id(),
        "event": event,
        "time": now(),
        "user": repository.pusher(),
        "submitter": repository.submitter(),
        "canon_url": canon_url,
        "repository": about,
        "updates": [],
        "commits": [],
        "merged": [],
        "foreign": [],
        "dropped": [],
        "dropped_total": 0,
        "push_options": [],
    }


def revisions(repo: Repository, rev: str, config: Config) -> Iterator[Payload]:
    """The payloads of one commit or of a range, asked for by hand: as many as it takes,
    the oldest commits first. What publish refs reach counts as published.

    Raises BadInput for a *rev* git does not know.
    """
    if ".." in rev:
        oids = repo.git.between(*_range(repo, rev))
    else:
        oids = [_commit(repo, rev)]
    return _portions(repo, oids, set(_reached(repo, oids)), config)


def _portions(
    repo: Repository, oids: list[str], published: set[str], config: Config
) -> Iterator[Payload]:
    done = 0
    while True:
        commits = entries.portion(
            repo, oids[done : done + config.limits.commits], config.limits
        )
        for entry in commits:
            if entry["raw_node"] in published:
                entry["branch"] = repo.default_ref.removeprefix("refs/heads/")
        reached = [
            entry["raw_node"] for entry in commits if entry["raw_node"] in published
        ]
        made = _frame(repo.describe(), repo.canon_url, "commit") | {
            "commits": commits,
            "published": reached,
            "truncated": any("truncated" in entry for entry in commits),
            "commits_total": len(commits),
            "published_total": len(reached),
        }
        yield fit(made, config.limits)
        done += len(commits)
        if done >= len(oids):
            return


def _range(repo: Repository, rev: str) -> tuple[str, str]:
    if "..." in rev:
        raise UsageError(f"'{one_line(rev, 80)}' has three dots; a range is A..B")
    old, _, new = rev.partition("..")
    there = _commit(repo, new or "HEAD")
    return _commit(repo, old or "HEAD"), there


def _commit(repo: Repository, rev: str) -> str:
    oid = repo.git.peel(rev)
    if not oid or null_oid(oid):
        raise BadInput(f"{repo.git.git_dir}: '{one_line(rev, 80)}' is not a commit")
    return oid


def _reached(repo: Repository, oids: list[str]) -> list[str]:
    """Those of *oids* that a publish ref reaches."""
    tips = [
        ref.commit
        for ref in repo.refs.values()
        if ref.commit and repo.publishes(ref.name)
    ]
    if not tips or not oids:
        return []
    outside = repo.git.beyond(oids, tips)
    return [oid for oid in oids if oid not in outside]


def message(repo: Repository, text: str, config: Config) -> Payload:
    """The payload of a commit message that came without a commit; it counts as
    published.

    Raises BadInput for an empty message.
    """
    if not text.strip():
        raise BadInput("the commit message is empty")
    author = _identity(repo)
    branch = repo.default_ref.removeprefix("refs/heads/")
    entry = message_entry(text, author, branch, config.limits)
    made = _frame(repo.describe(), repo.canon_url, "commit") | {
        "commits": [entry],
        "published": [entry["raw_node"]],
        "truncated": "truncated" in entry,
        "commits_total": 1,
        "published_total": 1,
    }
    return fit(made, config.limits)


def _identity(repo: Repository) -> str:
    settings: dict[str, Any] = repo.git.config()
    name = settings.get("user.name", [""])[-1] or repository.pusher() or "somebody"
    return f"{name} <{settings.get('user.email', [''])[-1]}>"


def here_name(folder: str | Path = ".") -> str:
    """The full name of the repository one stands in; raises BadInput where there is
    none.
    """
    return repository.describe(repository.find_git_dir(folder), ()).full_name
