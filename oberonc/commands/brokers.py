"""`oberonc brokers`: brokers and services: where from, state, settings; run one once,
test a service.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from oberonc import accounts, paths
from oberonc.admin import new_broker, preview
from oberonc.admin.finding import Finding
from oberonc.admin.runner import as_runner
from oberonc.broker import declared, registry, runner, secrets
from oberonc.broker.request import Outcome, Request, first_attempt
from oberonc.commands import (
    Session,
    example,
    finishes,
    json_flag,
    offer,
    pass_session,
    read_payload,
    show,
    show_finding,
    show_json,
    show_line,
    show_text,
)
from oberonc.config import Config, Service
from oberonc.delivery import handover
from oberonc.errors import BadInput, ConfigError, Failed, OberoncError, UsageError
from oberonc.text import nearest
from oberonc.web.page import words

#: Seconds a broker may take to be loaded and looked at.
LIMIT = 30.0


@click.group(
    "brokers",
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",
    epilog=example("oberonc brokers", "oberonc brokers test tracker"),
)
@json_flag
@pass_session
@click.pass_context
def command(context: click.Context, session: Session, as_json: bool) -> None:
    """List brokers and services; with a subcommand, show, run or test one."""
    if context.invoked_subcommand is None:
        overview = _overview(session.reach)
        if as_json:
            show_json(overview)
        else:
            _print(overview)


def _overview(config: Config) -> dict[str, Any]:
    catalogue = registry.find(config)
    said = runner.describe(list(catalogue.places.values()), LIMIT)
    brokers = {
        name: _row(place, said[name])
        for name, place in sorted(catalogue.places.items())
    }
    services = {
        name: _service_row(service, catalogue)
        for name, service in config.services.items()
    }
    overview = {
        "brokers": brokers,
        "services": services,
        "problems": catalogue.problems,
    }
    if config.delivery == "daemon" or config.daemon.control.exists():
        overview["daemon"] = _running(config)
    return overview


def _row(place: registry.Place, described: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "from": place.file or place.origin,
        "does": declared.in_one_line(described["doc"])
        if "doc" in described
        else declared.docline(place),
    }
    if place.trackers and "error" not in described:
        row["trackers"] = {
            each.name: {
                "from": each.file or each.origin,
                "does": declared.docline(each),
                **_state(described["plugins"].get(each.name, {})),
            }
            for each in place.trackers
        }
    if needed := registry.extra_of(place):
        row |= {"extra": needed.name, "missing": needed.missing}
    return row | _state(described)


def _state(described: dict[str, Any]) -> dict[str, Any]:
    """Whether what is *described* can be used; else why not."""
    if "error" in described:
        return {"state": "broken", "error": described["error"]}
    return {"state": "ok"}


def _service_row(service: Service, catalogue: registry.Catalogue) -> dict[str, Any]:
    there = service.broker in catalogue.places
    given = {
        key: list(value)
        for key, value in service._asdict().items()
        if isinstance(value, tuple) and value
    }
    return {
        "broker": service.broker,
        "from": service.origin,
        "filters": given,
        "settings": secrets.masked(service.settings),
        "state": "ok" if there else catalogue.missing(service.broker, service.name),
    }


def _running(config: Config) -> dict[str, Any]:
    """What the daemon says of its brokers; without one, why."""
    try:
        return handover.call(config, "brokers")
    except OberoncError as error:
        return {"error": str(error)}


def _print(overview: dict[str, Any]) -> None:
    for name, row in overview["brokers"].items():
        _print_row(name, row)
        for tracker, told in row.get("trackers", {}).items():
            _print_row(f"tracker {tracker}", told)
    for where, problem in overview["problems"].items():
        show_line(f"{where}: {problem}")
    show("")
    for name, row in overview["services"].items():
        state = "" if row["state"] == "ok" else f"  {row['state']}"
        show_line(f"service {name}: broker {row['broker']} ({row['from']}){state}")
    if "daemon" in overview:
        _print_running(overview["daemon"])


def _print_row(name: str, row: dict[str, Any]) -> None:
    show_line(f"{name:<16} {row['state']:<7} {row['does']}")
    show_text(row["from"], " " * 25)
    if "extra" in row:
        missing = ", ".join(row["missing"])
        there = (
            f"{missing} is missing: {paths.adding(row['extra'])}"
            if missing
            else "installed"
        )
        show_text(f"needs oberonc[{row['extra']}]: {there}", " " * 25)
    if "error" in row:
        show_text(row["error"], " " * 25)


def _print_running(running: dict[str, Any]) -> None:
    """The daemon's part: the generation in service, and per service counts, state and
    last error.
    """
    if "error" in running:
        show_line(f"daemon: {running['error']}")
        return
    show(f"\ndaemon: generation {running['generation']}")
    for name, row in running["services"].items():
        counts = ", ".join(
            f"{row[key]} {key}" for key in ("ready", "leased", "done", "dead")
        )
        counts += "".join(
            f", {row[key]} {key}" for key in ("expired", "collapsed") if row[key]
        )
        wrong = row["problem"] or row["last_error"]
        last = f"; last error: {wrong}" if wrong else ""
        show_line(f"  {name}: {words.state(row)}; {counts}{last}")


@command.command("show", epilog=example("oberonc brokers show issues"))
@click.argument("name", shell_complete=offer("service or broker"))
@json_flag
@pass_session
def show_one(session: Session, name: str, as_json: bool) -> None:
    """Show a broker's or a service's documentation and settings."""
    config = session.config
    service = config.services.get(name)
    catalogue = registry.find(config)
    place = _place(
        catalogue, service.broker if service else name, list(config.services)
    )
    described = runner.ask(place, {"describe": True}, LIMIT)
    if "error" in described:
        raise ConfigError(described["error"])
    row = {"broker": place.name, "from": place.file or place.origin, **described}
    if service:
        row |= {"service": name, **_service_row(service, catalogue)} | {
            "settings": _effective(described, service)
        }
    if as_json:
        show_json(row)
    else:
        _print_one(row)


def _effective(described: dict[str, Any], service: Service) -> dict[str, Any]:
    shown = secrets.masked(service.settings)
    return {
        key: {**facts, **({"value": shown[key]} if key in shown else {})}
        for key, facts in described["settings"].items()
    }


def _print_one(row: dict[str, Any]) -> None:
    show(
        f"{row['broker']} ({row['from']}), time limit {row['timeout']:g} s\n\n{row['doc']}\n"
    )
    for key, facts in row["settings"].items():
        default = "required" if facts["required"] else f"default {facts['default']!r}"
        value = f" = {facts['value']!r}" if "value" in facts else ""
        show(f"  {key}{value}  ({facts['type']}, {default})")


def _place(catalogue: registry.Catalogue, name: str, more: list[str]) -> registry.Place:
    if name not in catalogue.places:
        if catalogue.why(name):
            raise ConfigError(catalogue.why(name))
        near = nearest(name, [*catalogue.places, *more])
        raise UsageError(
            f"there is no broker or service called '{name}'{near}; `oberonc brokers` lists them"
        )
    return catalogue.places[name]


@command.command(
    epilog=example(
        "oberonc brokers run deploy --directory ./brokers --set url=http://127.0.0.1:8000",
        "oberonc brokers run tracker --payload push.json",
    )
)
@click.argument("name", shell_complete=offer("service or broker"))
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Find it in DIR.",
)
@click.option(
    "--set",
    "given",
    metavar="KEY=VALUE",
    multiple=True,
    help="A setting, or a reference to a secret.",
)
@click.option(
    "--payload",
    "file",
    metavar="FILE",
    help="The payload; - for stdin (default: a sample).",
)
@click.option("--yes", is_flag=True, help="Do not ask before the sample is acted on.")
@click.option(
    "--traceback", is_flag=True, help="Print whole what the broker raises, and where."
)
@click.option(
    "--pdb",
    "debug",
    is_flag=True,
    help="Run it on this terminal, and debug where it raises.",
)
@json_flag
@pass_session
def run(session: Session, /, *, name: str, as_json: bool, **given: Any) -> None:
    """Run a service, or broker NAME, once and for real, with a sample payload unless
    one is given; exit 1 when it does not end well.

    With the sample it shows what would be done and asks first.
    """
    outcome = _run(session.config, name, **given)
    if as_json:
        show_json(outcome._asdict())
    else:
        show(
            outcome.output,
            nl=not outcome.output.endswith("\n") and outcome.output != "",
        )
        show_line(f"{name}: {outcome.kind}{': ' if outcome.note else ''}{outcome.note}")
    if outcome.kind != "done":
        raise Failed(f"broker '{name}' did not end well: {outcome.kind}")


def _run(
    config: Config,
    name: str,
    *,
    directory: Path | None,
    given: tuple[str, ...],
    file: str | None,
    yes: bool,
    traceback: bool,
    debug: bool,
) -> Outcome:
    """How one attempt ended. A service's is made by the account that brokers run as."""
    service, place = _chosen(config, name, directory)
    settings = service.settings | dict(_setting(item) for item in given)
    service = service._replace(settings=settings)
    if debug and not sys.stdin.isatty():
        raise UsageError("--pdb needs a terminal")
    payload = preview.sample() if file is None else read_payload(file)
    limit = service.timeout or _timeout(place)

    def request() -> Request:
        known, state = secrets.resolve(service), str(config.state)
        made = first_attempt(service, known, payload, state, limit)
        return made._replace(traceback=traceback)

    def plan() -> list[str]:
        return preview.lines(place, request())

    def attempt() -> list[Any]:
        asked = request()
        return list(
            runner.debug(place, asked) if debug else runner.run(place, asked, limit)
        )

    is_known = name in config.services and directory is None
    if file is None and not yes:
        _ask(name, as_runner(config, plan) if is_known else plan())
    return Outcome(*(as_runner(config, attempt) if is_known else attempt()))


def _ask(name: str, plan: list[str]) -> None:
    """Show what would be done, and have it confirmed; raises UsageError where nobody
    can be asked, Failed for a no.
    """
    show_line(f"with the sample payload, '{name}' would:", err=True)
    for line in plan or ["do what it does; it has no plan() that says what"]:
        show_line(f"  {line}", err=True)
    if not sys.stdin.isatty():
        raise UsageError("nothing was done: give --yes to do it, or --payload FILE")
    if not click.confirm("Do it?", err=True):
        raise Failed("nothing was done")


def _chosen(
    config: Config, name: str, directory: Path | None
) -> tuple[Service, registry.Place]:
    """The service called *name*, or one without settings for the broker of that name."""
    made = Service(name=name, broker=name, settings={}, origin="--set")
    if directory is not None:
        if not directory.is_dir():
            raise BadInput(f"{directory} is not a folder")
        return made, _place(registry.find_in(directory.absolute()), name, [])
    service = config.services.get(name, made)
    known = list(config.services)
    return service, _place(registry.find(config), service.broker, known)


def _timeout(place: registry.Place) -> float:
    described = runner.ask(place, {"describe": True}, LIMIT)
    if "error" in described:
        raise ConfigError(described["error"])
    return float(described["timeout"])


def _setting(item: str) -> tuple[str, Any]:
    import tomllib

    key, sign, value = item.partition("=")
    if not sign or not key:
        raise UsageError(f"--set wants KEY=VALUE, not '{item}'")
    try:
        # As in the configuration: numbers, true, lists; what is none of these is text.
        found = tomllib.loads(f"value = {value}")["value"]
        json.dumps(found)  # a date travels as text
    except (ValueError, TypeError, RecursionError):
        return key, value
    return key, found


@command.command(
    epilog=example("oberonc brokers test tracker", "oberonc brokers test chat --send")
)
@click.argument("service_name", metavar="SERVICE", shell_complete=offer("service"))
@click.option(
    "--send", is_flag=True, help="Then send one message, which says that it is a test."
)
@json_flag
@pass_session
@finishes
def test(session: Session, service_name: str, send: bool, as_json: bool) -> None:
    """Prove that SERVICE could do its work, without changing anything unless --send is
    given; exit 1 when it could not.
    """
    config = session.config
    if service_name not in config.services:
        near = nearest(service_name, list(config.services))
        raise UsageError(
            f"there is no service called '{service_name}'{near}; `oberonc brokers` lists them"
        )
    service = config.services[service_name]
    rows = as_runner(
        config, lambda: preview.check(config, registry.find(config), service)
    )
    findings = [Finding(*row) for row in rows]
    if send and all(finding.ok for finding in findings):
        findings.append(_sent(config, service))
    if as_json:
        show_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            show_finding(finding)
    if not all(finding.ok for finding in findings):
        raise Failed(f"service '{service_name}' is not ready")


def _sent(config: Config, service: Service) -> Finding:
    """What became of the message that is a test."""
    user = accounts.name(os.getuid()) or str(os.getuid())
    outcome = Outcome(
        *as_runner(config, lambda: list(preview.send_test(config, service, user)))
    )
    if outcome.kind != "done":
        return Finding(False, f"the test message was not sent: {outcome.note}")
    if outcome.note.startswith("nothing: "):
        return Finding(True, f"no test was sent: {outcome.note[len('nothing: ') :]}")
    said = f": {outcome.note}" if outcome.note else ""
    return Finding(True, f"a test message was sent{said}")


@command.command(epilog=example("oberonc brokers new deploy --directory ./brokers"))
@click.argument("name")
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=".",
    help="Write into DIR; default: here.",
)
@pass_session
def new(session: Session, name: str, directory: Path) -> None:
    """Write broker NAME and its test, which pass as they are: to begin with."""
    there = registry.find(session.reach).places.get(name)
    if there:
        raise BadInput(
            f"there is a broker called '{name}': {there.file or there.origin}"
        )
    broker, test = new_broker.write(name, directory)
    show_line(str(broker))
    show_line(str(test))
    show_line(
        f"run its tests where oberonc and pytest are: python -m pytest {test}", err=True
    )
