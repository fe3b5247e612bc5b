"""What people are told of a push: who did what, where, and what the commits say.

`summary` gives lines of pieces, the same for every chat; `kit/markup` writes them in
the markup of one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from oberonc.kit.markup import Markup, safe_url
from oberonc.payload.digest import beside, moves
from oberonc.text import counted, one_line

#: Commits a summary names unless it is told otherwise; the rest are counted.
COMMITS = 10
#: Characters of a commit message's first line, and of a name.
SUBJECT = 100
NAME = 60


class Piece(NamedTuple):
    """A part of a line. `ours` is text of ours; `name`, `link` and `said` are foreign:
    a name, a name that leads to `url`, and what a commit message says.
    """

    kind: Literal["ours", "name", "link", "said"]
    text: str
    url: str = ""


Line = list[Piece]


def summary(payload: Mapping[str, Any], most: int = COMMITS) -> list[Line]:
    """*payload* in a few lines: one for each ref that moved, and below it the first
    lines of its commits; at most *most* commits and *most* refs, and how many more
    there are.
    """
    if payload["event"] == "dead":
        return list(_given_up(payload, most))
    if payload["event"] == "test":
        said = " sent a test of oberonc and pushed nothing"
        return [[Piece("name", who(payload)), Piece("ours", said)]]
    lines: list[Line] = []
    shown = 0
    updates = moves(payload)
    for update in updates[:most]:
        lines.append(_moved(payload, update))
        brought = _brought(payload, update)
        lines.extend(commit_line(commit) for commit in brought[: most - shown])
        more = len(brought) - max(0, most - shown)
        shown = min(most, shown + len(brought))
        if more > 0:
            lines.append([Piece("ours", f"and {counted(more, 'more commit')}")])
    refs = len(updates) - most
    if refs > 0:
        lines.append([Piece("ours", f"and {counted(refs, 'more ref')}")])
    if not updates:
        lines.extend(_without_push(payload, most))
    elif rest := beside(payload):
        lines.extend(_without_push(rest, max(1, most - shown)))
    if payload["truncated"]:
        total = counted(payload["commits_total"], "commit")
        lines.append([Piece("ours", f"the push was larger than the limits: {total}")])
    return lines


def headline(payload: Mapping[str, Any]) -> str:
    """The summary's first line as plain text in one line, for a subject or a title."""
    return plain(summary(payload, 1)[0])


def plain(line: Line) -> str:
    """*line* without markup, for people; not to be read as any markup."""
    return one_line("".join(piece.text for piece in line), 300)


def render(lines: list[Line], markup: Markup) -> str:
    """*lines* as one text in *markup*, in which nothing foreign is alive."""
    return "\n".join("".join(_write(piece, markup) for piece in line) for line in lines)


def _write(piece: Piece, markup: Markup) -> str:
    if piece.kind == "link":
        return markup.link(piece.text, safe_url(piece.url))
    if piece.kind == "name":
        return markup.strong(piece.text)
    return markup.dead(piece.text)


def who(payload: Mapping[str, Any]) -> str:
    """Who did it, in one short line."""
    commits = payload["commits"] or payload["merged"]
    authors = {commit["author"] for commit in commits}
    if payload.get("digest") and not payload["user"] and len(authors) > 1:
        return "several people"
    name = payload["user"] or (commits[-1]["author"] if commits else "")
    return one_line(name, NAME) or "somebody"


def subject(message: str) -> str:
    """The first line of a commit message, cut to `SUBJECT` characters."""
    return one_line(message.strip("\r\n\t ").partition("\n")[0], SUBJECT) or "(no text)"


def commit_line(commit: Mapping[str, Any]) -> Line:
    """One commit: its short id with a link, what it says, and who wrote it."""
    line = [Piece("said", subject(commit["message"]))]
    if not is_nowhere(commit):
        short = Piece("link", commit["node"][:8], commit.get("url") or "")
        line = [short, Piece("ours", " "), *line]
    author = one_line(commit["author"], NAME)
    return [*line, Piece("ours", " ("), Piece("said", author), Piece("ours", ")")]


def is_nowhere(commit: Mapping[str, Any]) -> bool:
    """Whether there is no commit to name: the message came from stdin."""
    return set(commit["raw_node"]) == {"0"}


def compare_url(payload: Mapping[str, Any], update: Mapping[str, Any]) -> str:
    """Where the web shows what *update* brought: what its forge gave, else the form
    GitHub, GitLab and Gitea share. "" where no address is known or the ref was made or
    deleted.
    """
    if given := safe_url(str(update.get("compare", ""))):
        return given
    site = payload["repository"]["website"]
    if not site or update["created"] or update["deleted"]:
        return ""
    links = [commit.get("url") or "" for commit in payload["commits"]]
    between = (
        "/-/compare/" if any("/-/commit/" in url for url in links) else "/compare/"
    )
    return f"{site}{between}{update['old']}...{update['new']}"


def _brought(
    payload: Mapping[str, Any], update: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The commits that are told of below *update*, each below one ref only."""
    if update["kind"] != "branch" or update["deleted"]:
        return []
    return [
        commit for commit in payload["commits"] if commit["branch"] == update["name"]
    ]


def _moved(payload: Mapping[str, Any], update: Mapping[str, Any]) -> Line:
    repository = payload["repository"]
    kind = update["kind"] if update["kind"] != "other" else "ref"
    short = one_line(update["name"], NAME)
    place: Line = [
        Piece("ours", " of " if update["kind"] == "branch" else " in "),
        Piece("link", one_line(repository["full_name"], NAME), repository["website"]),
    ]
    name: Line = [Piece("ours", f"{kind} "), Piece("name", short)]
    if update["deleted"]:
        return [Piece("name", who(payload)), Piece("ours", " deleted "), *name, *place]
    if update["kind"] != "branch":
        did = " made " if update["created"] else " moved "
        return [Piece("name", who(payload)), Piece("ours", did), *name, *place]
    count = len(_brought(payload, update))
    merged = [c for c in payload["merged"] if update["publish"]]
    did = (
        " made " if update["created"] else " force-pushed " if update["forced"] else ""
    )
    line: Line = [Piece("name", who(payload))]
    if did:
        line += [Piece("ours", did), *name, *place]
        if count:
            line.append(Piece("ours", f" with {counted(count, 'new commit')}"))
    else:
        what = counted(count, "commit")
        url = compare_url(payload, update)
        line += [Piece("ours", " pushed "), Piece("link", what, url)]
        line += [Piece("ours", " to "), *name, *place]
    if merged:
        line.append(Piece("ours", f", which merges {counted(len(merged), 'commit')}"))
    return line


def _without_push(payload: Mapping[str, Any], most: int) -> Iterator[Line]:
    """What was handed in by hand, or by a hook of one's own repository."""
    repository = payload["repository"]
    commits = payload["commits"] or payload["merged"]
    yield [
        Piece("name", who(payload)),
        Piece("ours", f" told of {counted(len(commits), 'commit')} in "),
        Piece("link", one_line(repository["full_name"], NAME), repository["website"]),
    ]
    for commit in commits[:most]:
        yield commit_line(commit)
    if len(commits) > most:
        more = counted(len(commits) - most, "more commit")
        yield [Piece("ours", f"and {more}")]


def _given_up(payload: Mapping[str, Any], most: int) -> Iterator[Line]:
    """A notice: what the daemon gave up."""
    total = payload["dead_total"]
    plural = counted(total, "delivery", "deliveries")
    yield [Piece("ours", f"oberonc gave up {plural}")]
    for dead in payload["dead"][:most]:
        yield [
            Piece("ours", f"delivery {dead['delivery']}: "),
            Piece("name", one_line(dead["service"], NAME)),
            Piece("ours", " of "),
            Piece("name", one_line(dead["repository"], NAME)),
            Piece("ours", ": "),
            Piece("said", one_line(dead["error"], 200)),
        ]
    if total > most:
        yield [Piece("ours", f"and {total - most} more: oberonc queue list dead")]
