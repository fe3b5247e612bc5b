"""System checks: what is wrong with the settings, before a request finds it."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from oberonc.piston.conf import DEFAULTS, setting


@register(Tags.compatibility)
def settings_are_known(**_: Any) -> list[CheckMessage]:
    """`PISTON` is a dict and has only keys that mean something."""
    given = getattr(settings, "PISTON", None) or {}
    if not isinstance(given, Mapping):
        return [Error("PISTON is not a dict.", id="piston.E001")]
    return [
        Error(
            f"PISTON has the unknown key {key!r}.",
            hint="It knows " + ", ".join(DEFAULTS) + ".",
            id="piston.E002",
        )
        for key in given
        if key not in DEFAULTS
    ]


@register(Tags.caches)
def cache_counts(**_: Any) -> list[CheckMessage]:
    """The cache of `throttle` and `idempotent` exists, and its `incr` is atomic."""
    from django.core.cache import InvalidCacheBackendError, caches
    from django.core.cache.backends.db import DatabaseCache
    from django.core.cache.backends.dummy import DummyCache
    from django.core.cache.backends.filebased import FileBasedCache

    name = setting("CACHE")
    try:
        cache = caches[name]
    except InvalidCacheBackendError:
        hint = "Name one of CACHES."
        text = f"PISTON['CACHE'] is {name!r}, which is no cache."
        return [Error(text, hint=hint, id="piston.E003")]
    if not isinstance(cache, (DatabaseCache, DummyCache, FileBasedCache)):
        return []
    return [
        Warning(
            f"throttle() and idempotent() cannot count on the cache {name!r}.",
            hint="Let PISTON['CACHE'] name one whose incr() is atomic: Redis, Memcached, "
            "local memory. Without either of the two, silence this.",
            id="piston.W004",
        )
    ]
