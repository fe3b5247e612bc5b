"""The configuration: what the layers (`oberonc.layers`) say, checked, as one immutable
value.

Later layers win key by key. A `[services.NAME]` table belongs to the last
file that has it, whole, so that nobody's token is ever sent to a url from
another file. Secrets stay references here; `oberonc.broker.secrets` turns
them into values when a delivery needs them.
"""

from __future__ import annotations

import os

from oberonc import layers, paths, tables
from oberonc.errors import ConfigError, OberoncError
from oberonc.layers import Layer
from oberonc.paths import Homes
from oberonc.text import nearest, one_line
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

DAY = 86400.0
#: Seconds a delivery gets when neither its service nor its broker's class says.
DEFAULT_TIMEOUT = 60.0
#: Bytes of free space below which the daemon takes no new pushes.
LOW_SPACE = 64 << 20


#: What a service gets that does not say: all that a push does to refs.
PUSHED = ("push", "tag", "delete")
EVENTS = (*PUSHED, "dead")


class Service(NamedTuple):
    """One configured use of a broker.
    *settings* still hold references; times are in seconds.
    """

    name: str
    broker: str
    settings: dict[str, Any]
    repositories: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    timeout: float | None = None
    order: str = "bounded"
    hold: float = 900.0
    #: From one delivery to the next at least; 0: no matter.
    rate: float = 0.0
    #: Older deliveries are not delivered any more; 0: whatever their age.
    max_age: float = 0.0
    #: `ref`, where only the newest of those that wait for a ref counts.
    collapse: str = ""
    #: For how long deliveries gather that are handed over together; 0: each alone.
    digest: float = 0.0
    events: tuple[str, ...] = PUSHED
    diffs: bool = False
    origin: str = "the default configuration"


#: Accounts that run git for others.
TRUSTED = ("root", "git", "gitea", "forgejo", "gitlab", "gitolite3", "oberonc-web")


class DaemonSettings(NamedTuple):
    """The daemon's own settings; `stop_timeout` in seconds, `keep` in seconds (given in
    days).

    `low_space` is in bytes. Pushes of the accounts in *trusted* say themselves who
    pushed.
    """

    submit_socket: str
    control_socket: str
    workers: int = 8
    stop_timeout: float = 60.0
    keep: float = 30 * DAY
    low_space: int = LOW_SPACE
    trusted: tuple[str, ...] = TRUSTED

    @property
    def socket(self) -> Path:
        """Where anybody submits."""
        return _path(self.submit_socket)

    @property
    def control(self) -> Path:
        """Where the daemon's owner and root steer it."""
        return _path(self.control_socket)


def _path(place: str) -> Path:
    from pathlib import Path  # of no use to a hook, and dear

    return Path(place)


class Limits(NamedTuple):
    """Caps of one payload; what they cut is always flagged."""

    commits: int = 2048
    message: int = 64 * 1024
    files: int = 3000
    updates: int = 1000
    bytes: int = 8 * 1024 * 1024


class Config(NamedTuple):
    """Everything the administrator said. *sources* tells for each key which file said
    it.

    With a *fault* it is only what could be learnt without it:
    there are no services then.
    """

    #: `here`, `daemon`, or the address of another machine's `oberonc web`.
    delivery: str
    publish: tuple[str, ...]
    state_folder: str
    spool_folder: str
    services: dict[str, Service]
    directories: tuple[str, ...]
    daemon: DaemonSettings
    limits: Limits
    files: tuple[str, ...]
    sources: dict[str, str]
    #: Seconds a hook that runs the brokers may take; None: by the kind of repository.
    hook_budget: float | None = None
    #: `[web]` and `[webhooks.NAME]` as they are written: `oberonc.web.settings` reads
    #: them, and no hook does.
    web: Mapping[str, Any] = {}
    webhooks: Mapping[str, Any] = {}
    #: What the machine's file says of users' own layers in a server's hooks.
    user_config: bool = True
    #: What goes with an address in `delivery`; the token is a reference.
    delivery_token: str = ""
    delivery_ca: str = ""
    #: Whether users' own folders of brokers count here.
    user_brokers: bool = True
    fault: str = ""
    #: Whether `publish` is what was said, whatever else is at fault.
    publish_known: bool = True

    @property
    def state(self) -> Path:
        """The folder of what the daemon, or this account, keeps."""
        return _path(self.state_folder)

    @property
    def spool(self) -> Path:
        """The folder of payloads that wait on disk."""
        return _path(self.spool_folder)


#: What is there without any configuration: the issue broker on the embedded tracker.
DEFAULT_SERVICES = {"issues": {"broker": "issues"}}

_TOP = {
    "delivery": str,
    "delivery_token": str,
    "delivery_ca": str,
    "publish": list,
    "state": str,
    "spool": str,
    "services": dict,
    "brokers": dict,
    "daemon": dict,
    "limits": dict,
    "hook_budget": float,
    "user_config": bool,
    "web": dict,
    "webhooks": dict,
}
_DAEMON = {
    "socket": str,
    "control": str,
    "workers": int,
    "stop_timeout": float,
    "keep": float,
    "low_space": int,
    "trusted": list,
}
_TABLES: dict[str, Mapping[str, type]] = {
    "brokers": {"directories": list},
    "daemon": _DAEMON,
    "limits": dict.fromkeys(Limits._fields, int),
}
#: What a service's table holds besides its broker's settings.
SERVICE_KEYS = {
    "broker": str,
    "repositories": list,
    "refs": list,
    "paths": list,
    "authors": list,
    "timeout": float,
    "order": str,
    "hold": float,
    "rate": str,
    "max_age": str,
    "collapse": str,
    "digest": str,
    "events": list,
    "diffs": bool,
}
_PACE = ("rate", "max_age", "collapse", "digest")
#: Least and most of workers, seconds, days, bytes and numbers. A frame to the daemon
#: holds no more bytes than a payload's default.
_RANGES = {
    "hook_budget": (0.1, 3600),
    "daemon.workers": (1, 1000),
    "daemon.stop_timeout": (0, 86_400),
    "daemon.keep": (0, 36_500),
    "daemon.low_space": (0, 1 << 50),
} | {
    f"limits.{key}": (1, usual if key == "bytes" else 4 * usual)
    for key, usual in Limits._field_defaults.items()
}
ORDERS = ("bounded", "strict", "none")
DELIVERIES = ("here", "daemon")


def load(explicit: str | None = None) -> Config:
    """Read and check every layer.
    Raises ConfigError or NotAllowed with file, key and mend.
    """
    homes = paths.homes()
    return _checked(layers.read(homes, explicit), homes)


def learn(explicit: str | None = None, **how: bool) -> Config:
    """As `load`, but never raises (*how* is for `layers.read`): enough to hand a push
    over or to ask the daemon, and the `fault`, if there is one.

    What is wrong by itself counts for nothing; where something could not be read at
    all, a key that nobody says is as `oberonc init --system` has it.
    """
    homes = paths.homes()
    found = layers.read(homes, explicit, **how)
    try:
        config = _checked(found, homes)
        users = config.user_config or not how.get("server_hook")
        return config._replace(user_brokers=users)
    except OberoncError as error:
        return _without_faults(found, homes)._replace(fault=one_line(str(error), 400))


def _checked(found: list[Layer], homes: Homes) -> Config:
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    counting = [layer for layer in found if not layer.left_out]
    if any(layer.machine and layer.left_out for layer in found):  # nor its daemon's
        homes = homes._replace(sockets=None)
    try:
        for layer in counting:
            if layer.fault:
                raise layer.fault
            _merge(merged, sources, layer)
        files = tuple(layer.file for layer in counting)
        config = _build(merged, sources, files, homes)
        if "://" in config.delivery:
            from oberonc import peer  # few push to another machine

            said = config.delivery, config.delivery_token, config.delivery_ca
            peer.read(*said, sources)
        return config
    except ConfigError as error:
        # a key may hold a newline
        raise ConfigError(one_line(str(error), 2000)) from None


def _without_faults(found: list[Layer], homes: Homes) -> Config:
    """What is good by itself, but for the services: half of one could send a token to
    the wrong place.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    counting = [layer for layer in found if not layer.left_out]
    lost = any(layer.fault for layer in counting)
    publish_known = not any(layer.publish_lost for layer in counting)
    for part in (
        layer._replace(values=values)
        for layer in counting
        for values in _settings(layer.values)
    ):
        tried = {
            key: dict(value) if isinstance(value, dict) else value
            for key, value in merged.items()
        }
        origins = dict(sources)
        try:
            _merge(tried, origins, part)
            _build(tried | {"services": {}}, origins, (), homes)
            merged, sources = tried, origins
        except ConfigError:
            # It may have been meant for one of the keys that say where the push goes.
            lost = lost or not part.values.keys() <= {"limits", "brokers"}
            # A slip in the key is an unknown key.
            publish_known = publish_known and not any(
                nearest(key, ("publish",)) for key in part.values
            )
    if lost and homes.system:
        _as_set_up(merged)
    files = tuple(layer.file for layer in counting)
    config = _build(merged | {"services": {}}, sources, files, homes)
    return config._replace(publish_known=publish_known)


def _settings(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each setting of a layer alone, those of the services left out."""
    for key, value in values.items():
        if key in _TABLES and isinstance(value, dict):
            yield from ({key: {name: item}} for name, item in value.items())
        elif key != "services":
            yield {key: value}


def _as_set_up(merged: dict[str, Any]) -> None:
    """Fill in what nobody could tell:
    the places of a machine's daemon, where they are there.
    """
    # False, too, where we may not look.
    beside_state = "state" in merged and os.path.isdir(
        os.path.join(merged["state"], "spool")
    )
    sockets, spool = os.path.isdir(paths.SOCKETS), os.path.isdir(paths.SPOOL)
    if sockets or spool:
        merged.setdefault("delivery", "daemon")
    if spool and not beside_state:
        merged.setdefault("spool", str(paths.SPOOL))


def _merge(merged: dict[str, Any], sources: dict[str, str], layer: Layer) -> None:
    file = layer.file
    tables.check(layer.values, _TOP, file, "")
    if "user_config" in layer.values and not layer.machine:
        raise ConfigError(
            f"{file}: 'user_config' is for the machine's file, {os.path.join(paths.SYSTEM, 'config.toml')}"
        )
    for key, value in layer.values.items():
        if isinstance(value, dict):
            if key in _TABLES:
                tables.check(value, _TABLES[key], file, key + ".")
            table = merged.setdefault(key, {})
            for name, item in value.items():
                table[name] = item
                sources[f"{key}.{name}"] = file
        else:
            merged[key] = value
            sources[key] = file


def _build(
    merged: dict[str, Any],
    sources: dict[str, str],
    files: tuple[str, ...],
    homes: Homes,
) -> Config:
    state = tables.folder(
        merged.get("state"), homes.state, sources.get("state", ""), "state"
    )
    services = {
        name: _service(
            name, table, sources.get(f"services.{name}", "the default configuration")
        )
        for name, table in merged.get("services", DEFAULT_SERVICES).items()
    }
    brokers = merged.get("brokers", {})
    daemon = _daemon(merged.get("daemon", {}), sources, homes.sockets or state)
    delivery = merged.get("delivery", "here")
    if "://" not in delivery:
        tables.one_of(delivery, DELIVERIES, sources.get("delivery", ""), "delivery")
    _check_ranges(merged, sources)
    return Config(
        delivery=delivery,
        delivery_token=merged.get("delivery_token", ""),
        delivery_ca=merged.get("delivery_ca", ""),
        publish=tuple(merged.get("publish", ["HEAD"])),
        state_folder=state,
        spool_folder=tables.folder(
            merged.get("spool"),
            os.path.join(state, "spool"),
            sources.get("spool", ""),
            "spool",
        ),
        services=services,
        directories=tuple(
            tables.folder(
                item, state, sources["brokers.directories"], "brokers.directories"
            )
            for item in brokers.get("directories", [])
        ),
        daemon=daemon,
        limits=Limits(**merged.get("limits", {})),
        files=files,
        sources=sources,
        hook_budget=merged.get("hook_budget"),
        user_config=merged.get("user_config", True),
        web=merged.get("web", {}),
        webhooks=merged.get("webhooks", {}),
    )


def _check_ranges(merged: dict[str, Any], sources: dict[str, str]) -> None:
    for name, (least, most) in _RANGES.items():
        table, _, key = name.rpartition(".")
        given = merged.get(table, {}) if table else merged
        # Written so that nan, which compares with nothing, is outside too.
        if key in given and not least <= given[key] <= most:
            raise ConfigError(
                f"{sources[name]}: '{name}' must be between {least} and {most}, not {given[key]}"
            )


def _daemon(
    table: dict[str, Any], sources: dict[str, str], sockets: str
) -> DaemonSettings:
    def path(key: str, default: str) -> str:
        return tables.folder(
            table.get(key), default, sources.get(f"daemon.{key}", ""), f"daemon.{key}"
        )

    socket = path("socket", os.path.join(sockets, "submit.sock"))
    beside = os.path.join(os.path.dirname(socket), "control.sock")
    return DaemonSettings(
        submit_socket=socket,
        control_socket=path("control", beside),
        workers=table.get("workers", 8),
        stop_timeout=float(table.get("stop_timeout", 60)),
        keep=table.get("keep", 30) * DAY,
        low_space=table.get("low_space", LOW_SPACE),
        trusted=tuple(table.get("trusted", TRUSTED)),
    )


def _service(name: str, table: Any, file: str) -> Service:
    where = f"services.{name}."
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: 'services.{name}' must be a table")
    if (
        not name
        or len(name) > 64
        or not all(c.isalnum() or c in "-_." for c in name)
        or not name.isascii()
    ):
        raise ConfigError(
            f"{file}: service name '{one_line(name, 80)}' must be 1 to 64 letters, digits, '-', '_' or '.'"
        )
    general = {key: value for key, value in table.items() if _is_general(key, value)}
    tables.check(general, SERVICE_KEYS, file, where)
    if "broker" not in general:
        raise ConfigError(
            f"{file}: 'services.{name}' names no broker: add broker = \"issues\" or another of `oberonc brokers`"
        )
    for key in ("timeout", "hold"):
        if key in general and not 0 < general[key] <= 7 * DAY:
            raise ConfigError(
                f"{file}: '{where}{key}' must be a number of seconds above 0 and at most a week"
            )
    for key in ("repositories", "refs", "paths", "authors", "events"):
        if key in general:
            general[key] = tuple(general[key])
    if not general.get("events", EVENTS):
        raise ConfigError(f"{file}: '{where}events' is empty: the service gets nothing")
    for event in general.get("events", ()):
        tables.one_of(event, EVENTS, file, where + "events")
    tables.one_of(general.get("order", "bounded"), ORDERS, file, where + "order")
    if any(key in general for key in _PACE):
        from oberonc import pace  # a hook loads no more than its configuration needs

        general = pace.checked(general, file, where)
    settings = {
        key: value for key, value in table.items() if not _is_general(key, value)
    }
    tables.check_settings(settings, file, where.removesuffix("."))
    return Service(name=name, settings=settings, origin=file, **general)


def _is_general(key: str, value: Any) -> bool:
    """Whether *key* is every service's, not its broker's: `authors` is a filter as a
    list, a setting as a table.
    """
    return key in SERVICE_KEYS and not (key == "authors" and isinstance(value, dict))
