"""The addresses of configured trackers: which project and which issue a URL names."""

from typing import NamedTuple

from oberonc.grammar.tables import Tables


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
    for index in range(len(segments) - 1):
        if segments[index] in tables.words.url_paths:
            found = _identifier(segments[index + 1])
            if found:
                return Address(_repository(segments[:index]), *found)
    if (
        len(segments) == 1
        and "" in tables.words.url_paths
        and (found := _identifier(segments[0]))
    ):
        return Address(None, *found)
    if segments and tables.words.mono:
        head = segments[-1].rstrip("0123456789")
        if head in tables.mono:
            found = _identifier(segments[-1][len(head) :])
            return Address(None, *found) if found else None
    return None


def _from_query(query: str, tables: Tables) -> Address | None:
    for part in query.split("&")[:20]:
        name, _, value = part.partition("=")
        if name in tables.words.url_keys and (found := _identifier(value)):
            return Address(None, *found)
    return None


def _identifier(text: str) -> "tuple[str | None, str] | None":
    """`12` or `PROJ-12` as key and number."""
    head, dash, number = text.rpartition("-")
    if not (
        0 < len(number) <= 10
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
