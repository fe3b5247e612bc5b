"""What would happen, without letting it happen: `send --dry-run`, `brokers test` and
`doctor` ask here.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from oberonc import paths
from oberonc.admin.finding import Finding
from oberonc.broker import declared, registry, runner, secrets
from oberonc.broker.request import Outcome, Request, first_attempt
from oberonc.config import Config, Service
from oberonc.delivery import deliver
from oberonc.errors import ConfigError, OberoncError
from oberonc.payload.check import loads
from oberonc.payload.schema import Payload, new_id, now

#: Seconds a broker may think about what it would do, and look at the outside world.
LIMIT = 30.0
CHECK_LIMIT = 60.0


class Planned(NamedTuple):
    """What would become of a payload with one service: whether its filters let it pass,
    why, and what the broker says it would do.
    """

    matches: bool
    why: str
    plan: list[str]


def plan(config: Config, payload: Payload) -> dict[str, Planned]:
    """Per service what would be done; `plan` has lines where the broker has a method
    `plan(payload)`, or where it cannot be asked.
    """
    catalogue = registry.find(config)
    chosen = deliver.decide(config, payload)

    def asked(name: str) -> list[str]:
        payload = chosen[name].payload
        if payload is None:
            return []
        return _ask(config, catalogue, config.services[name], payload)

    with ThreadPoolExecutor(runner.AT_ONCE) as pool:
        return {
            name: Planned(choice.payload is not None, choice.reason, said)
            for (name, choice), said in zip(
                chosen.items(), pool.map(asked, chosen), strict=True
            )
        }


def _ask(
    config: Config, catalogue: registry.Catalogue, service: Service, payload: Payload
) -> list[str]:
    place = catalogue.places.get(service.broker)
    if place is None:
        return [catalogue.missing(service.broker, service.name)]
    try:
        request = first_attempt(
            service, secrets.resolve(service), payload, str(config.state), LIMIT
        )
        return lines(place, request)
    except OberoncError as error:
        return [str(error)]


def lines(place: registry.Place, request: Request) -> list[str]:
    """What the broker at *place* says it would do; raises ConfigError where it cannot
    be asked.
    """
    answer = runner.ask(
        place,
        {"call": "plan", "request": request.wire(), "payload": request.payload},
        LIMIT,
    )
    if "error" in answer:
        raise ConfigError(str(answer["error"]))
    said = answer.get("said")
    return [str(line) for line in said] if isinstance(said, list) else []


def send_test(config: Config, service: Service, user: str) -> Outcome:
    """How it ended that *service* was sent one message that says it is a test, by
    *user*; no filter is asked. Raises OberoncError where it cannot be sent.
    """
    from oberonc import testing  # only who sends one needs what plugins' authors need

    catalogue = registry.find(config)
    place = catalogue.places.get(service.broker)
    if place is None:
        raise registry.BrokenBroker(catalogue.missing(service.broker, service.name))
    payload = testing.payload("test", id=new_id(), time=now(), user=user)
    limit = service.timeout or declared.timeout(place) or CHECK_LIMIT
    settings = secrets.resolve(service)
    request = first_attempt(service, settings, payload, str(config.state), limit)
    return runner.run(place, request, limit)


def sample() -> Payload:
    """The sample payload that is shipped."""
    file = Path(paths.__file__).parent / "payload" / "sample.json"
    return loads(file.read_bytes(), str(file))


def check(
    config: Config, catalogue: registry.Catalogue, service: Service
) -> list[Finding]:
    """What is found of *service*: its broker,
    settings and whatever the broker itself checks.
    """
    place = catalogue.places.get(service.broker)
    if place is None:
        return [Finding(False, catalogue.missing(service.broker, service.name))]
    try:
        settings = secrets.resolve(service)
    except OberoncError as error:
        return [Finding(False, str(error))]
    request = first_attempt(service, settings, sample(), str(config.state), CHECK_LIMIT)
    answer = runner.ask(
        place,
        {"call": "check", "request": request.wire(), "payload": request.payload},
        CHECK_LIMIT,
    )
    if "error" in answer:
        return [Finding(False, str(answer["error"]))]
    ready = Finding(True, f"broker '{service.broker}' loads and takes the settings")
    return [
        ready,
        *(Finding(bool(ok), str(what), str(mend)) for ok, what, mend in answer["said"]),
    ]
