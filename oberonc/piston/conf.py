"""The one setting, a dict `PISTON`, and what holds where it says nothing."""

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings

DEFAULTS: Final[Mapping[str, Any]] = {
    "FORMATS": None,  # names of emitters, the default first; None: all, as registered
    "FORMAT_PARAM": "format",  # the parameter of the query string; None: there is none
    "MAX_BODY": None,  # bytes; None: DATA_UPLOAD_MAX_MEMORY_SIZE
    "MAX_DEPTH": 32,  # lists and mappings of a body inside one another
    "PAGE_SIZE": 50,
    "MAX_PAGE_SIZE": 500,
    "PROXIES": 0,  # how many proxies of ours write X-Forwarded-For
    "CACHE": "default",  # for throttle and idempotent
    "TITLE": "API",
    "VERSION": "1.0",
}


def setting(name: str) -> Any:
    """The value of `PISTON[name]` as it is now, else its default.

    Raises KeyError for a name that is not one of `DEFAULTS`.
    """
    given = getattr(settings, "PISTON", None) or {}
    return given[name] if name in given else DEFAULTS[name]
