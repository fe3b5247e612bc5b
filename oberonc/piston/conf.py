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


def current() -> Mapping[str, Any]:
    """`PISTON` as it is now; for who asks for several values in one request."""
    return getattr(settings, "PISTON", None) or {}


def setting(name: str, given: Mapping[str, Any] | None = None) -> Any:
    """The value of `PISTON[name]` as it is now, or in `given`, else its default.

    Raises KeyError for a name that is not one of `DEFAULTS`.
    """
    if given is None:
        given = current()
    return given[name] if name in given else DEFAULTS[name]
