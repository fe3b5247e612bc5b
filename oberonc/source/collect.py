"""What a hook tells of, read from its repository: ref updates, what is new in them, and
the payload of that.
"""

from __future__ import annotations

from oberonc.payload.schema import LONGEST_PATH, fit
from oberonc.source import entries, hooks, memory, newness, repository
from oberonc.source.frame import frame
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oberonc.config import Config
    from oberonc.payload.schema import Payload
    from oberonc.source.hooks import Call
    from oberonc.source.memory import Memory
    from oberonc.source.newness import Update
    from oberonc.source.repository import Repository


class Source(NamedTuple):
    """The ref updates a hook tells of, before any commit is read; and how the memory
    takes them back.
    """

    repo: Repository
    event: str
    updates: list[Update]
    push_options: list[str]
    undo: list[str]


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
        news = newness.news(repo, updates, config.limits, held.memory)
        if config.publish_known:  # else it is told again when it is
            held.save(repo.refs)
    source = Source(repo, call.event, updates, call.push_options, held.memory.undo)
    return source, payload(source, news, config)


def skip(call: Call, config: Config) -> str:
    """Nobody is to hear of *call*, now or later. Returns an empty string."""
    if call.event == "push":
        hooks.pass_over(call)
    else:
        collect(call, config)
    return ""


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
        source.repo, newest_first, news.branch, limits, news.dropped[::-1], news.read
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
    made = frame(about, source.repo.canon_url, source.event) | {
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
