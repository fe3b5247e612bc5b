"""The words of each kind of tracker, and how a configuration changes them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from oberonc.grammar.tables import WORD, tables
from oberonc.grammar.vocabulary import DEFAULT, Words

__all__ = ["DEFAULT", "PRESETS", "Words", "words_for"]

_GITEA: Final = DEFAULT._replace(prefixes=())
_NUMBERED: Final = DEFAULT._replace(prefixes=(), numbers=True)
_PHABRICATOR: Final = DEFAULT._replace(
    prefixes=(), mono=("T",), reopen=(*DEFAULT.reopen, "open", "opens")
)

PRESETS: Final[dict[str, Words]] = {
    "github": DEFAULT._replace(urls=("https://github.com",), owner_limit=39),
    "gitlab": DEFAULT._replace(urls=("https://gitlab.com",), prefixes=()),
    "gitea": _GITEA,
    "forgejo": _GITEA,
    "gogs": _GITEA,
    "bitbucket": DEFAULT._replace(urls=("https://bitbucket.org",), prefixes=()),
    "jira": DEFAULT._replace(prefixes=()),
    "azure": DEFAULT._replace(prefixes=("AB#",), urls=("https://dev.azure.com",)),
    "redmine": DEFAULT._replace(
        prefixes=(),
        decimal_time=True,
        reference=(*DEFAULT.reference, "issueid", "link", "links"),
    ),
    "trac": _NUMBERED,
    "bugzilla": _NUMBERED._replace(urls=()),
    "phabricator": _PHABRICATOR,
    "phorge": _PHABRICATOR,
    "debian": _NUMBERED._replace(
        urls=("https://bugs.debian.org",),
        url_paths=(*DEFAULT.url_paths, ""),
        others=(*DEFAULT.others, "lp"),
        numbers_after=("closes",),
    ),
    "launchpad": _NUMBERED._replace(
        urls=("https://bugs.launchpad.net", "https://launchpad.net"),
        close=(*DEFAULT.close, "lp:"),
        nouns=(*DEFAULT.nouns, "lp"),
    ),
    "linear": DEFAULT._replace(prefixes=(), urls=("https://linear.app",)),
    "youtrack": DEFAULT._replace(prefixes=()),
    "roundup": _NUMBERED._replace(prefixes=("bpo-",), mono=("issue", "bug")),
    "rt": _NUMBERED._replace(prefixes=("RT#", "RT-")),
    "kanboard": _GITEA,
    "openproject": DEFAULT._replace(
        prefixes=("OP#",), url_paths=(*DEFAULT.url_paths, "work_packages", "wp")
    ),
    "trello": DEFAULT._replace(
        prefixes=(),
        urls=("https://trello.com",),
        url_paths=(),
        url_names=("c",),
        nouns=(*DEFAULT.nouns, "card", "cards"),
    ),
    "asana": DEFAULT._replace(
        prefixes=(),
        urls=("https://app.asana.com",),
        url_paths=("task",),
        url_beyond=("0",),
        max_digits=19,
    ),
    "mantisbt": _NUMBERED,
    "local": DEFAULT,
}

#: In a list of words, this stands for those of the preset.
KEEP: Final = "..."

_CHOICES: Final = {
    "mentions": ("mention", "reference", "none"),
    "on_revert": ("reference", "reopen"),
    "ranges": ("reference", "ends"),
}
_TABLES: Final = {
    "states": None,
    "trailers": ("close", "reopen", "wontfix", "invalid", "duplicate", "reference"),
    "suffixes": ("close", "wontfix", "invalid", "duplicate"),
}
_PHRASES: Final = (
    *(
        "close",
        "reopen",
        "wontfix",
        "invalid",
        "duplicate",
        "reference",
        "nouns",
        "numbers_after",
        "joiners",
        "others",
    ),
    *("colours", "negators", "partials"),
)


def words_for(
    kind: str,
    options: "Mapping[str, Any] | None" = None,
    own: "Mapping[str, Any] | None" = None,
) -> Words:
    """The words of a tracker of *kind*, changed by its *own* and then by *options*,
    whose keys are the fields of `Words`.

    A list replaces the preset's, unless it holds `"..."`. Raises ValueError with one
    line that names the key.
    """
    if kind not in PRESETS:
        raise ValueError(
            f"unknown tracker kind '{kind}'{_nearest(kind, list(PRESETS))}"
        )
    words = PRESETS[kind]
    for key, value in (*(own or {}).items(), *(options or {}).items()):
        if key not in Words._fields:
            raise ValueError(
                f"unknown key '{key}' in the words{_nearest(key, list(Words._fields))}"
            )
        words = words._replace(**{key: _checked(key, value, getattr(words, key))})
    tables(words)
    return words


def _nearest(word: str, known: list[str]) -> str:
    from oberonc.text import nearest  # only on the way to an error message

    return nearest(word, known)


def _checked(key: str, value: Any, default: Any) -> Any:
    """*value* for the field *key*, of the type of its *default*."""
    if key in _TABLES:
        return _pairs(key, value, _TABLES[key])
    if isinstance(default, tuple):
        return _list(key, value, default)
    if isinstance(default, bool):
        return _plain(key, value, bool, "true or false")
    if isinstance(default, int):
        number: int = _plain(key, value, int, "a number above 0")
        if number < 1:
            raise ValueError(f"'{key}' must be a number above 0, not {number}")
        return number
    return _string(key, _plain(key, value, str, "a string"))


def _plain(key: str, value: Any, kind: type, wanted: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"'{key}' must be {wanted}, not {type(value).__name__}")
    return value


def _string(key: str, value: str) -> str:
    choices = _CHOICES.get(key)
    if choices and value not in choices:
        raise ValueError(
            f"'{key}' must be one of {', '.join(choices)}, not '{value}'{_nearest(value, list(choices))}"
        )
    if key == "envelope" and len(value) not in (0, 2):
        raise ValueError(
            f"'envelope' must be two characters, such as '[]', not '{value}'"
        )
    return value


def _list(key: str, value: Any, default: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(item, str) for item in value
    ):
        raise ValueError(
            f"'{key}' must be a list of strings, not {type(value).__name__}"
        )
    items: list[str] = []
    for item in value:
        items += default if item == KEEP else (_item(key, item),)
    return tuple(dict.fromkeys(items))


def _item(key: str, item: str) -> str:
    if key == "keys" and not (
        item.isascii() and item.isupper() and item.replace("_", "").isalnum()
    ):
        raise ValueError(
            f"'keys' holds '{item}': a project key has upper-case letters and digits, as PROJ of PROJ-12"
        )
    if key in _PHRASES:
        _check_phrase(key, item)
    if not item and key != "url_paths":
        raise ValueError(f"'{key}' holds an empty string")
    return item


def _check_phrase(key: str, phrase: str) -> None:
    words = phrase.removesuffix(":").split()
    if (
        not words
        or len(words) > 5
        or not all(re.fullmatch(f"[{WORD}]+", word) for word in words)
    ):
        raise ValueError(
            f"'{key}' holds '{phrase}': a word has letters, digits and hyphens only, at most five of them"
        )


def _pairs(
    key: str, value: Any, actions: "tuple[str, ...] | None"
) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping) or not all(
        isinstance(v, str) for pair in value.items() for v in pair
    ):
        raise ValueError(
            f"'{key}' must be a table of word = string, not {type(value).__name__}"
        )
    for word, action in value.items():
        _check_phrase(key, word)
        if not action:
            raise ValueError(f"'{key}.{word}' is an empty string")
        if actions and action not in actions:
            raise ValueError(
                f"'{key}.{word}' must be one of {', '.join(actions)}, not '{action}'"
            )
    return tuple(value.items())
