"""Reading JSON that a stranger may have written: nothing in it is taken to be there, or
to be of its type.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from oberonc.errors import BadInput
from oberonc.source.commits import Commit
from oberonc.source.git import null_oid
from oberonc.text import one_line
from oberonc.web.forges.push import NOTHING, moment

Json = dict[str, Any]


def at(value: Any, path: str) -> Any:
    """What is at `a.b.c` in *value*, or None."""
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: Any, path: str) -> str:
    """The text there; empty where there is none."""
    found = at(value, path)
    return found if isinstance(found, str) else ""


def first(value: Any, *paths: str) -> str:
    """The first of these texts that says something; empty where none does."""
    return next(filter(None, (text(value, path) for path in paths)), "")


def needed(value: Any, path: str) -> str:
    """The text there. Raises BadInput where there is none."""
    found = text(value, path)
    if not found:
        raise BadInput(f"the webhook's '{path}' is missing, or no text")
    return found


def objects(value: Any, path: str) -> list[Json]:
    """The objects of the list there."""
    found = at(value, path)
    return (
        [item for item in found if isinstance(item, dict)]
        if isinstance(found, list)
        else []
    )


def oid(value: Any, path: str) -> str:
    """The id there. Raises BadInput where there is none: what is missing must not pass
    for a deletion.
    """
    found = needed(value, path)
    if len(found) not in (40, 64) or found.strip("0123456789abcdef"):
        raise BadInput(f"the webhook's '{path}' is no id: {one_line(found, 80)}")
    return found


def oid_or_nothing(value: Any, side: str, path: str) -> str:
    """The id at *path* in what *side* is; git's "nothing" where that is null. Raises
    BadInput.
    """
    return NOTHING if at(value, side) is None else oid(value, f"{side}.{path}")


def commit_oid(value: Any, path: str) -> str:
    """The id of a commit. Raises BadInput."""
    found = oid(value, path)
    if null_oid(found):
        # It stands for a message that somebody wrote by hand.
        raise BadInput(f"the webhook's '{path}' is the id of no commit")
    return found


def count(value: Any, path: str) -> int:
    """The number there; 0 where there is none."""
    found = at(value, path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def flag(value: Any, path: str) -> bool | None:
    """What is true or false there; None where nothing of the kind is."""
    found = at(value, path)
    return found if isinstance(found, bool) else None


def files(value: Json) -> Iterator[tuple[str, str]]:
    """The files of a commit that lists them as `added`, `removed` and `modified`."""
    for letter, key in (("A", "added"), ("D", "removed"), ("M", "modified")):
        names = value.get(key)
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str):
                yield letter, name


def dated_commit(
    value: Json,
    id: str,
    message: str,
    date: str,
    *,
    parents: Sequence[str] = (),
    cut: bool = False,
) -> Commit:
    """A commit of which `author` and `committer` each have a name, an email and a date
    of their own; *id*, *message* and *date* are what these keys are called. Raises
    BadInput.
    """
    author, mail = text(value, "author.name"), text(value, "author.email")
    return Commit(
        commit_oid(value, id),
        list(parents),
        author,
        mail,
        moment(at(value, f"author.{date}")),
        text(value, "committer.name") or author,
        text(value, "committer.email") or mail,
        moment(at(value, f"committer.{date}")),
        text(value, message),
        [],
        cut,
    )


def commit(value: Json) -> Commit:
    """A commit in the form of GitHub, which GitLab, Gitea and Gogs share. Raises
    BadInput.
    """
    author, mail = text(value, "author.name"), text(value, "author.email")
    date = moment(value.get("timestamp"))
    return Commit(
        commit_oid(value, "id"),
        [],
        author,
        mail,
        date,
        text(value, "committer.name") or author,
        text(value, "committer.email") or mail,
        date,
        text(value, "message"),
        list(files(value)),
        False,
    )
