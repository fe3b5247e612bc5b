"""What a reload wants: the configuration as it is in the files now, resolved, and a
snapshot of the brokers.

Made in a thread of its own, because it reads files, runs `cmd:` references and waits
for the disk.
"""

from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from oberonc import config as configuration
from oberonc.broker import registry, secrets
from oberonc.config import Config
from oberonc.daemon.generation import snapshot
from oberonc.daemon.generation.snapshot import Snapshot
from oberonc.errors import ConfigError, OberoncError

#: Keys that name what the running daemon holds open.
FIXED = ("state", "spool", "daemon.socket", "daemon.control")


class Material(NamedTuple):
    """What one reload has to work with."""

    config: Config
    snapshot: Snapshot
    #: The settings of each service with its secrets; those that could not be resolved
    #: are in *faults*.
    settings: dict[str, dict[str, Any]]
    #: Found already: by broker, folder or file, and by `service NAME`.
    faults: dict[str, str]


def make(config_path: str | None, current: Config | None, root: Path) -> Material:
    """Read everything, and copy the brokers to *root*. Raises OberoncError or OSError."""
    config = configuration.load(config_path)
    for key in FIXED if current is not None else ():
        before, after = map(attrgetter(key), (current, config))
        if before != after:
            raise ConfigError(
                f"'{key}' cannot change while the daemon runs (it is {before}): restart the daemon"
            )
    catalogue = registry.find(config)
    faults = dict(catalogue.problems)
    settings = {}
    for service in config.services.values():
        if service.broker not in catalogue.places and service.broker not in faults:
            why = f"there is no broker called '{service.broker}'"
            faults[f"service {service.name}"] = why
        try:
            settings[service.name] = secrets.resolve(service)
        except OberoncError as error:
            faults[f"service {service.name}"] = str(error)
    copied = snapshot.take(catalogue.places, root)
    return Material(config, copied, settings, faults)
