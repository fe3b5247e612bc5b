"""Payloads of what is named by hand: commits of a repository, or a message without one."""

from collections.abc import Iterator

from oberonc.config import Config
from oberonc.errors import BadInput, UsageError
from oberonc.payload.schema import Payload, fit
from oberonc.source import diffs, entries
from oberonc.source.frame import frame, pusher
from oberonc.source.git import null_oid
from oberonc.source.repository import Repository
from oberonc.text import one_line


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
        made = frame(repo.as_payload(), repo.canon_url, "commit") | {
            "commits": commits,
            "published": reached,
            "truncated": any("truncated" in entry for entry in commits),
            "commits_total": len(commits),
            "published_total": len(reached),
        }
        diffs.add(repo.git, made, config.services.values())
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
    entry = entries.message_entry(text, author, branch, config.limits)
    made = frame(repo.as_payload(), repo.canon_url, "commit") | {
        "commits": [entry],
        "published": [entry["raw_node"]],
        "truncated": "truncated" in entry,
        "commits_total": 1,
        "published_total": 1,
    }
    return fit(made, config.limits)


def _identity(repo: Repository) -> str:
    settings = repo.git.config()
    name = settings.get("user.name", [""])[-1] or pusher() or "somebody"
    return f"{name} <{settings.get('user.email', [''])[-1]}>"
