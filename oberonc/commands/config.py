"""`oberonc config`: the effective configuration, and where each value came from."""

from typing import Any

import click

from oberonc import layers
from oberonc.broker import secrets
from oberonc.commands import (
    Session,
    example,
    json_flag,
    not_counting,
    pass_session,
    show,
    show_json,
)
from oberonc.config import Config
from oberonc.paths import homes


@click.command(
    "config",
    epilog=example("oberonc config", "oberonc --config ./oberonc.toml config --json"),
)
@json_flag
@pass_session
def command(session: Session, as_json: bool) -> None:
    """Show the effective configuration, where each value came from, and which files
    count.

    Secrets are shown as references only.
    """
    config = session.config
    rows = effective(config)
    for layer in layers.read(homes(), session.config_path):
        if layer.left_out:
            show(not_counting(layer), err=True)
    left_out = [
        layer
        for layer in layers.read(homes(), session.config_path, server_hook=True)
        if layer.left_out
    ]
    if as_json:
        shown = {
            key: {"value": value, "from": source}
            for key, (value, source) in rows.items()
        }
        files = [{"file": str(file), "left_out": ""} for file in config.files]
        files += [
            {"file": str(layer.file), "left_out": layer.left_out} for layer in left_out
        ]
        show_json(shown | {"files": {"value": files, "from": "default"}})
        return
    for key, (value, source) in rows.items():
        show(f"{key} = {value!r}  ({source})")
    read = ", ".join(map(str, config.files))
    show(f"read: {read or 'no file; these are the defaults'}", err=True)
    for layer in left_out:
        show(f"left out in a server's hooks: {layer.file} ({layer.left_out})", err=True)


def effective(config: Config) -> dict[str, tuple[Any, str]]:
    """{key: (value, file it came from)} in the order of the documentation."""
    rows: dict[str, Any] = {
        "delivery": config.delivery,
        "delivery_token": secrets.masked(config.delivery_token, "token"),
        "delivery_ca": config.delivery_ca,
        "publish": list(config.publish),
        "state": str(config.state),
        "spool": str(config.spool),
        "hook_budget": config.hook_budget,
        "user_config": config.user_config,
        "brokers.directories": [str(path) for path in config.directories],
        "daemon.socket": str(config.daemon.socket),
        "daemon.control": str(config.daemon.control),
        "daemon.workers": config.daemon.workers,
        "daemon.low_space": config.daemon.low_space,
        "daemon.stop_timeout": config.daemon.stop_timeout,
        "daemon.keep": config.daemon.keep / 86400,
        "daemon.trusted": list(config.daemon.trusted),
    }
    rows |= {f"limits.{key}": value for key, value in config.limits._asdict().items()}
    shown = {
        key: (value, config.sources.get(key, "default")) for key, value in rows.items()
    }
    for name, service in config.services.items():
        given = {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in service._asdict().items()
            if k not in _HIDDEN and v
        }
        for key, value in {**given, **secrets.masked(service.settings)}.items():
            shown[f"services.{name}.{key}"] = (value, service.origin)
    return shown


_HIDDEN = ("name", "settings", "origin")
