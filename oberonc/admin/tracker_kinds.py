"""The kinds of trackers there are here: oberonc's own, and plugins.

A plugin's code runs in a process of its own, which tells what it is.
"""

from typing import Any

from oberonc.broker import registry, runner
from oberonc.config import Config
from oberonc.errors import ConfigError, UsageError
from oberonc.grammar.vocabulary import Words
from oberonc.grammar.words import PRESETS, words_for
from oberonc.issues.trackers import CLASSES, load
from oberonc.text import nearest

#: Seconds that loading the plugins may take.
LIMIT = 30.0


def needs(config: Config, kind: str) -> tuple[str, ...]:
    """The settings that a service on a tracker of *kind* needs. Raises UsageError for
    one there is not, ConfigError for a plugin that cannot be used.
    """
    return (
        load(kind).needs if kind in CLASSES else tuple(_plugin(config, kind)["needs"])
    )


def words(config: Config, kind: str, options: dict[str, Any]) -> Words:
    """The words of *kind*, changed by *options*, which are as in the setting `words`.
    Raises as `needs`, and ValueError for options that are none.
    """
    if kind in PRESETS:
        return words_for(kind, options)
    if kind in CLASSES:
        return words_for(load(kind).kind, options, load(kind).words)
    return words_for("local", options, _plugin(config, kind)["words"])


def _plugin(config: Config, kind: str) -> dict[str, Any]:
    """What the plugin *kind* says of itself."""
    if kind not in registry.trackers(config):
        known = [*CLASSES, *registry.trackers(config)]
        raise UsageError(
            f"there is no tracker '{kind}'{nearest(kind, known)}; there is {', '.join(known)}"
        )
    said = runner.ask(registry.find(config).places["issues"], {"describe": True}, LIMIT)
    found: dict[str, Any] = said.get("plugins", {}).get(kind, said)
    if "error" in found:
        raise ConfigError(found["error"])
    return found
