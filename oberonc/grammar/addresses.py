"""The addresses of configured trackers: which project and which issue a URL names."""

import re
from typing import Final, NamedTuple

from oberonc.grammar.tables import Tables

#: An issue's name where addresses have one instead of its number.
_NAME: Final = re.compile("[0-9A-Za-z]{8}")


class Address(NamedTuple):
    """What an address names."""

    repository: str | None
    key: str | None
    issue: str


def read_address(url: str, tables: Tables) -> Address | None:
    """The issue that *url* names, if it is one of a configured tracker."""
    rest = _below_base(url, tables)
    if rest is None:
        return None
    path, _, query = rest.partition("#")[0].partition("?")
    segments = [segment for segment in path.split("/") if segment]
    return _from_path(segments, tables) or _from_query(query, tables)


def _below_base(url: str, tables: Tables) -> str | None:
    """What of *url* follows the address of a configured tracker."""
    bare = url.partition("://")[2]
    folded = bare.lower()
    for base in tables.bases:
        if folded.startswith(base) and bare[len(base) : len(base) + 1] in ("/", "?"):
            return bare[len(base) :]
    return None


def _from_path(segments: list[str], tables: Tables) -> Address | None:
    words = tables.words
    for index in range(len(segments) - 1):
        if segments[index] in words.url_paths:
            found = _identifier(segments[index + 1], words.max_digits)
            if found:
                # where numbers stand two apart, what is before them is no project's name
                before = segments[: 0 if words.url_beyond else index]
                return Address(_repository(before), *found)
    if len(segments) > 1 and segments[0] in words.url_names:
        name = segments[1] if _NAME.fullmatch(segments[1]) else ""
        return Address(None, None, name) if name else None
    alone = segments[:1] if len(segments) == 1 and "" in words.url_paths else []
    if len(segments) > 2 and segments[0] in words.url_beyond and segments[1].isdigit():
        alone = segments[2:3]
    if alone and (found := _identifier(alone[0], words.max_digits)):
        return Address(None, *found)
    if segments and words.mono:
        head = segments[-1].rstrip("0123456789")
        if head in tables.mono:
            found = _identifier(segments[-1][len(head) :], words.max_digits)
            return Address(None, *found) if found else None
    return None


def _from_query(query: str, tables: Tables) -> Address | None:
    for part in query.split("&")[:20]:
        name, _, value = part.partition("=")
        if name in tables.words.url_keys and (
            found := _identifier(value, tables.words.max_digits)
        ):
            return Address(None, *found)
    return None


def _identifier(text: str, most: int) -> "tuple[str | None, str] | None":
    """`12` or `PROJ-12` as key and number, of at most *most* digits."""
    head, dash, number = text.rpartition("-")
    if not (
        0 < len(number) <= most
        and number.isascii()
        and number.isdigit()
        and number[0] != "0"
    ):
        return None
    if not dash:
        return None, number
    plain = (
        head.isascii()
        and head.isupper()
        and head.replace("_", "").isalnum()
        and head[0].isalpha()
    )
    return (head, number) if plain else None


def _repository(segments: list[str]) -> str | None:
    """The project's path before the marker, without GitLab's `-` and the forges' own
    folders.
    """
    path = [segment for segment in segments if segment not in ("-", "_workitems")]
    return "/".join(path) if len(path) >= 2 else None
