"""Texts of the administrator's with values of the push in them: the setting `format`.

`${repository.name} - ${commit.author} - ${commit.message|first}` as in 2009: names of
the payload with dots, and after `|` what is done with the value:

| filter | makes of it |
|---|---|
| `first` | its first line |
| `short` | its first eight characters, of an id |
| `cut:N` | at most N characters; what was cut ends with an ellipsis |

`$$` is a dollar sign, and so is one that no brace follows.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from oberonc.text import nearest, one_line

_REPOSITORY: Final = ["name", "full_name", "owner", "slug", "website", "default_branch"]
_COMMIT: Final = [
    "node",
    "raw_node",
    "author",
    "raw_author",
    "committer",
    "message",
    "branch",
    "url",
]
#: What may stand between the braces.
NAMES: Final = (
    "user",
    "event",
    "id",
    "time",
    "canon_url",
    "commits_total",
    *(f"repository.{name}" for name in _REPOSITORY),
    *(f"commit.{name}" for name in _COMMIT),
)
_FILTER: Final = re.compile(r"first|short|cut:[1-9][0-9]{0,4}")
_PLACE: Final = re.compile(r"\$(?:\$|\{([^{}]*)\}|\{)")


class Template:
    """A text with places for values; raises ValueError, with what is meant perhaps, for
    a name or filter that there is not.
    """

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str, list[str]]] = []
        last = 0
        for match in _PLACE.finditer(text):
            self._parts.append((text[last : match.start()], "", []))
            last = match.end()
            if match[0] == "${":
                raise ValueError("format: a ${ has no } that ends it")
            if match[1] is None:
                self._parts.append(("$", "", []))
                continue
            name, *filters = match[1].split("|")
            self._parts.append(
                ("", _known(name.strip()), [_filter(f) for f in filters])
            )
        self._parts.append((text[last:], "", []))

    @property
    def per_commit(self) -> bool:
        """Whether the text speaks of one commit, so that a push needs several."""
        return any(name.startswith("commit.") for _, name, _ in self._parts)

    def fill(
        self,
        payload: Mapping[str, Any],
        commit: Mapping[str, Any] | None = None,
        dead: Callable[[str], str] = one_line,
    ) -> str:
        """The text for *payload* and *commit*; every value goes through *dead*, which
        takes the life out of foreign text (a `kit/markup` function, say).
        """
        return "".join(
            text
            or (dead(_filtered(_value(name, payload, commit), how)) if name else "")
            for text, name, how in self._parts
        )


def _known(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"format: there is no ${{{name}}}{nearest(name, NAMES)}")
    return name


def _filter(text: str) -> str:
    text = text.strip()
    if not _FILTER.fullmatch(text):
        raise ValueError(f"format: '{text}' is no filter: first, short and cut:N are")
    return text


def _value(
    name: str, payload: Mapping[str, Any], commit: Mapping[str, Any] | None
) -> str:
    head, _, key = name.partition(".")
    if head == "commit":
        value = (commit or {}).get(key)
    else:
        value = payload[head][key] if key else payload[head]
    return "" if value is None else str(value)


def _filtered(text: str, filters: list[str]) -> str:
    for name in filters:
        if name == "first":
            text = text.strip("\r\n\t ").partition("\n")[0].rstrip("\r")
        elif name == "short":
            text = text[:8]
        else:
            limit = int(name[4:])
            text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text
