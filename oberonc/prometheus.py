"""The value of `stats` in the text format of Prometheus. Pure functions.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

Value = dict[str, Any]


class Sample(NamedTuple):
    """One number of a metric, and the labels that tell it from the others."""

    number: float
    labels: dict[str, str] = {}  # noqa: RUF012 - nobody writes into it


class Metric(NamedTuple):
    """A family of numbers for Prometheus: its name without `oberonc_`, its kind, what
    it means, how it is found.
    """

    name: str
    kind: str
    help: str
    samples: Callable[[Value], Iterable[Sample]]


def _one(*path: str) -> Callable[[Value], list[Sample]]:
    """The number at *path*."""

    def find(value: Value) -> list[Sample]:
        for key in path:
            value = value[key]
        return [Sample(float(value))]  # type: ignore[arg-type]

    return find


def _each(label: str, *path: str) -> Callable[[Value], list[Sample]]:
    """The numbers of the table at *path*, each labelled with its key."""

    def find(value: Value) -> list[Sample]:
        for key in path:
            value = value[key]
        return [Sample(number, {label: key}) for key, number in value.items()]

    return find


def _per_service(
    number: Callable[[Value], float | None],
) -> Callable[[Value], list[Sample]]:
    """What *number* finds in each service's row; a service without one has no sample."""

    def find(value: Value) -> list[Sample]:
        found = ((name, number(row)) for name, row in value["services"].items())
        return [
            Sample(amount, {"service": name})
            for name, amount in found
            if amount is not None
        ]

    return find


def _depths(value: Value) -> Iterator[Sample]:
    for name, row in value["services"].items():
        for state in ("ready", "leased", "parked", "dead"):
            yield Sample(row[state], {"service": name, "state": state})


def _outcomes(value: Value) -> Iterator[Sample]:
    for name, row in value["services"].items():
        for outcome, number in sorted(row["counters"].items()):
            yield Sample(number, {"service": name, "outcome": outcome})


METRICS = (
    Metric(
        "build_info",
        "gauge",
        "The daemon's version; always 1.",
        lambda v: [Sample(1, {"version": v["version"]})],
    ),
    Metric(
        "generation",
        "gauge",
        "Number of the generation in service; it grows with each reload.",
        _one("generation"),
    ),
    Metric(
        "uptime_seconds", "gauge", "Seconds since the daemon started.", _one("uptime")
    ),
    Metric(
        "connections",
        "gauge",
        "Connections of clients that are open.",
        _one("connections"),
    ),
    Metric(
        "refusals_total",
        "counter",
        "Requests refused since the daemon started.",
        _each("reason", "refused"),
    ),
    Metric(
        "events_total",
        "counter",
        "Payloads handed in, by what became of them.",
        _each("result", "events"),
    ),
    Metric(
        "late_results_total",
        "counter",
        "Results for a lease no longer held.",
        _one("late_results"),
    ),
    Metric(
        "pruned_total",
        "counter",
        "Events, and dead letters with them, forgotten.",
        _each("what", "pruned"),
    ),
    Metric(
        "spool_files",
        "gauge",
        "Pushes in the spool that were not taken in yet.",
        _one("spool"),
    ),
    Metric(
        "spool_unreadable_files",
        "gauge",
        "Those that cannot be read or removed.",
        _one("spool_unreadable"),
    ),
    Metric(
        "spool_bad_files", "gauge", "Spool files put aside in bad/.", _one("spool_bad")
    ),
    Metric(
        "storage_low",
        "gauge",
        "1: new pushes are refused for want of space.",
        _one("storage_low"),
    ),
    Metric(
        "storage_free_bytes",
        "gauge",
        "Free space beside the queue.",
        _one("storage_free"),
    ),
    Metric(
        "storage_threshold_bytes",
        "gauge",
        "Below it new pushes are refused.",
        _one("storage_threshold"),
    ),
    Metric(
        "workers_running",
        "gauge",
        "Workers with a delivery.",
        _one("workers", "running"),
    ),
    Metric(
        "workers_idle", "gauge", "Workers that wait for one.", _one("workers", "idle")
    ),
    Metric(
        "workers_limit",
        "gauge",
        "Deliveries that may run at once.",
        _one("workers", "limit"),
    ),
    Metric(
        "paused_lanes", "gauge", "Lanes paused by themselves.", _one("paused_lanes")
    ),
    Metric(
        "queue_depth",
        "gauge",
        "Deliveries kept, by state; parked ones are among the ready.",
        _depths,
    ),
    Metric(
        "deliveries_total",
        "counter",
        "Deliveries accepted, and attempts by how they ended.",
        _outcomes,
    ),
    Metric(
        "oldest_delivery_seconds",
        "gauge",
        "Age of the oldest delivery that has not ended, since its push was accepted; 0: none.",
        _per_service(lambda row: row["oldest"] or 0),
    ),
    Metric(
        "service_failing",
        "gauge",
        "1: the last attempt that ended failed.",
        _per_service(lambda row: row["last_error_ms"] is not None),
    ),
    Metric(
        "service_failures",
        "gauge",
        "Transient failures in a row.",
        _per_service(lambda row: row["failures"]),
    ),
    Metric(
        "service_last_error_timestamp_seconds",
        "gauge",
        "When the last attempt failed; gone after a success.",
        _per_service(lambda row: row["last_error_ms"] and row["last_error_ms"] / 1000),
    ),
    Metric(
        "service_unavailable",
        "gauge",
        "1: its broker or configuration cannot be used; oberonc brokers says why.",
        _per_service(lambda row: bool(row["problem"])),
    ),
    Metric(
        "service_paused",
        "gauge",
        "1: paused by an administrator.",
        _per_service(lambda row: row["paused"]),
    ),
    Metric(
        "service_breaker_open",
        "gauge",
        "1: its destination seems to be down; one delivery at a time tries.",
        _per_service(lambda row: row["breaker"] != "closed"),
    ),
    Metric(
        "unclaimed_deliveries",
        "gauge",
        "Deliveries that wait for a service nobody is configured to serve.",
        _per_service(lambda row: 0 if row["broker"] else row["ready"]),
    ),
)


def _requests(value: Value) -> Iterator[Sample]:
    for name, row in value["webhooks"].items():
        for result, number in row["requests"].items():
            yield Sample(number, {"webhook": name, "result": result})


def _refusals(value: Value) -> Iterator[Sample]:
    for name, row in value["webhooks"].items():
        for reason, number in row["refused"].items():
            yield Sample(number, {"webhook": name, "reason": reason})


#: What only the HTTP face knows.
WEBHOOKS = (
    Metric(
        "webhook_requests_total",
        "counter",
        "Requests of forges since the HTTP face started, by what became of them; without a name: to none there is.",
        _requests,
    ),
    Metric(
        "webhook_refusals_total",
        "counter",
        "Those that were not believed since the HTTP face started, by why.",
        _refusals,
    ),
)


def exposition(value: Value) -> str:
    """*value*, of the daemon or of the HTTP face (with `webhooks`), in the text format of
    https://prometheus.io/docs/instrumenting/exposition_formats/.
    """
    metrics = METRICS + WEBHOOKS if "webhooks" in value else METRICS
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric, value))


def _lines(metric: Metric, value: Value) -> Iterator[str]:
    name = f"oberonc_{metric.name}"
    yield f"# HELP {name} {metric.help}"
    yield f"# TYPE {name} {metric.kind}"
    for number, labels in metric.samples(value):
        named = ",".join(
            f'{label}="{_escaped(text)}"' for label, text in labels.items()
        )
        yield f"{name}{f'{{{named}}}' if named else ''} {_number(number)}"


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
