"""What a payload would set off, without setting it off: for `send --dry-run`."""

from typing import Any

from oberonc import deliver, local_run, registry, runner, secrets
from oberonc.config import Config, Service
from oberonc.errors import OberoncError
from oberonc.payload import Payload

#: Seconds a broker may think about what it would do.
LIMIT = 30.0


def plan(config: Config, payload: Payload) -> dict[str, dict[str, Any]]:
    """Per service {"matches", "why", "plan": lines a broker with a `plan(payload)` method says}."""
    catalogue = registry.find(config)
    rows = {}
    for name, choice in deliver.decide(config, payload).items():
        row: dict[str, Any] = {"matches": choice.payload is not None, "why": choice.reason, "plan": []}
        if choice.payload is not None:
            row["plan"] = _ask(config, catalogue, config.services[name], choice.payload)
        rows[name] = row
    return rows


def _ask(config: Config, catalogue: registry.Catalogue, service: Service, payload: Payload) -> list[str]:
    place = catalogue.places.get(service.broker)
    if place is None:
        return [local_run.missing(catalogue, service.broker, service.name)]
    try:
        request = runner.request(service, secrets.resolve(service), payload, str(config.state), LIMIT)
    except OberoncError as error:
        return [str(error)]
    answer = runner.ask(place, {"call": "plan", "request": secrets.to_wire(request)}, LIMIT)
    if "error" in answer:
        return [str(answer["error"])]
    said = answer.get("said")
    return [str(line) for line in said] if isinstance(said, list) else []
