"""What a reload wants: the configuration as it is in the files now, resolved, and a
snapshot of the brokers.

Made in a thread of its own, because it reads files, runs `cmd:` references and waits
for the disk.
"""

from pathlib import Path
from typing import Any, NamedTuple

from oberonc import config as configuration
from oberonc import paths
from oberonc.broker import registry, secrets
from oberonc.config import Config
from oberonc.daemon.generation import snapshot
from oberonc.daemon.generation.snapshot import Snapshot
from oberonc.errors import ConfigError, OberoncError

#: Keys that name what the running daemon holds open.
FIXED = ("state", "spool", "daemon.socket", "daemon.control")


class Plan(NamedTuple):
    """One reload's material. *faults* are found already: by broker, folder or file, and
    by service.
    """

    config: Config
    snapshot: Snapshot
    #: The settings of each service with its secrets; those that could not be resolved
    #: are in *faults*.
    settings: dict[str, dict[str, Any]]
    faults: dict[str, str]

    def examined(self) -> list[registry.Place]:
        """The places to examine: what the administrator put there, and what is used of
        the rest.
        """
        used = {service.broker for service in self.config.services.values()}
        shipped = str(paths.bundled("brokers"))
        return [
            place
            for name, place in self.snapshot.places.items()
            if name in used or (place.file is not None and place.origin != shipped)
        ]


def make(config_path: str | None, current: Config | None, root: Path) -> Plan:
    """Read everything, and copy the brokers to *root*. Raises OberoncError or OSError."""
    config = configuration.load(config_path)
    if current is not None:
        _refuse_fixed(current, config)
    catalogue = registry.find(config)
    faults = dict(catalogue.problems)
    settings = {}
    for service in config.services.values():
        if service.broker not in catalogue.places and service.broker not in faults:
            faults[f"service {service.name}"] = (
                f"there is no broker called '{service.broker}'"
            )
        try:
            settings[service.name] = secrets.resolve(service)
        except OberoncError as error:
            faults[f"service {service.name}"] = str(error)
    return Plan(config, snapshot.take(catalogue.places, root), settings, faults)


def _refuse_fixed(current: Config, wanted: Config) -> None:
    for key in FIXED:
        before, after = (_get(config, key) for config in (current, wanted))
        if before != after:
            raise ConfigError(
                f"'{key}' cannot change while the daemon runs (it is {before}): restart the daemon"
            )


def _get(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value
