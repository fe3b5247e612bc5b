"""System checks: what is wrong with the settings, before a request finds it."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from oberonc.piston.conf import DEFAULTS


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
