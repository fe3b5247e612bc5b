"""References in short, for tables: `close #1; reference owner/name#2; mention PROJ-3`."""

import gzip
from collections.abc import Iterator
from pathlib import Path

from oberonc.grammar.message import find_references
from oberonc.grammar.reference import Reference
from oberonc.grammar.vocabulary import Words
from oberonc.grammar.words import words_for

LOCAL = words_for("local")
GITHUB = words_for("github")

#: Real messages beside the checkout, where they are there.
DATA = Path(__file__).parents[3] / "shared" / "data"
KINDS = {
    "dpkg": words_for("debian"),
    "gogs": GITHUB,
    "keystone": words_for("launchpad"),
    "onedev": words_for("local", {"keys": ["OD"]}),
    "pandoc": GITHUB,
    "redmine": words_for("redmine"),
}


def short(reference: Reference) -> str:
    """One reference."""
    if reference.key:
        return f"{reference.action} {reference.key}-{reference.issue}"
    return f"{reference.action} {reference.repository or ''}#{reference.issue}"


def brief(text: str, words: Words = LOCAL) -> str:
    """The references of *text*, in order."""
    return "; ".join(short(reference) for reference in find_references(text, words))


def messages(name: str) -> Iterator[tuple[str, str]]:
    """Commit id and message of each record of a file of real messages."""
    with gzip.open(
        DATA / f"{name}.messages.gz",
        "rt",
        encoding="utf-8",
        errors="replace",
        newline="",
    ) as file:
        for record in file.read().split("\0"):
            commit, _, message = record.partition("\n")
            if commit:
                yield commit, message
