"""What the daemon did and has to do, as one JSON value, and that value as Prometheus' text. Pure functions."""

from collections.abc import Iterator
from typing import Any

from oberonc.queue.base import ServiceStats, Stats


def service(known: ServiceStats | None, now: int) -> dict[str, Any]:
    """One service's row, as of one that is not configured; *known* is None before its first event."""
    if known is None:
        known = ServiceStats(0, 0, 0, 0, 0, 0, False, "closed", 0, None, None, "", None, {})
    row = known._asdict()
    due = row.pop("oldest_due_ms")
    row["oldest"] = max(0.0, (now - due) / 1000) if due is not None else None
    return row | {"broker": None, "problem": ""}


def summary(stats: Stats, now: int) -> dict[str, Any]:
    """The queue's part of `stats --json`."""
    rows = stats.services.values()
    states = ("ready", "leased", "done", "dead", "cancelled", "parked")
    counters = stats.counters
    return {
        "events": {name: counters.get(name, 0) for name in ("accepted", "duplicates", "conflicts", "storage_low")},
        "deliveries": {state: sum(getattr(row, state) for row in rows) for state in states},
        "late_results": counters.get("late_results", 0),
        "pruned": {"events": counters.get("pruned_events", 0), "dead": counters.get("pruned_dead", 0)},
        "services": {name: service(row, now) for name, row in sorted(stats.services.items())},
        "paused_lanes": stats.paused_lanes,
        "storage_low": stats.storage_low,
    }


def prometheus(value: dict[str, Any]) -> str:
    """The same numbers for Prometheus; names as in its conventions."""
    return "\n".join([*_totals(value), *_services(value["services"]), ""])


def _totals(value: dict[str, Any]) -> Iterator[str]:
    for name, kind, number in (
        ("generation", "gauge", value["generation"]),
        ("uptime_seconds", "gauge", value["uptime"]),
        ("spool_files", "gauge", value["spool"]),
        ("late_results_total", "counter", value["late_results"]),
        ("storage_low", "gauge", int(value["storage_low"])),
        ("workers_running", "gauge", value["workers"]["running"]),
        ("workers_idle", "gauge", value["workers"]["idle"]),
    ):
        yield f"# TYPE oberonc_{name} {kind}"
        yield f"oberonc_{name} {number}"
    yield "# TYPE oberonc_events_total counter"
    for result, number in value["events"].items():
        yield f'oberonc_events_total{{result="{result}"}} {number}'


def _services(services: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "# TYPE oberonc_queue_depth gauge"
    for name, row in services.items():
        for state in ("ready", "leased", "parked", "dead"):
            yield f'oberonc_queue_depth{{service="{_label(name)}",state="{state}"}} {row[state]}'
    yield "# TYPE oberonc_deliveries_total counter"
    for name, row in services.items():
        for outcome, number in sorted(row["counters"].items()):
            yield f'oberonc_deliveries_total{{service="{_label(name)}",outcome="{_label(outcome)}"}} {number}'
    yield "# TYPE oberonc_oldest_delivery_seconds gauge"
    for name, row in services.items():
        yield f'oberonc_oldest_delivery_seconds{{service="{_label(name)}"}} {row["oldest"] or 0}'
    yield "# TYPE oberonc_breaker_open gauge"
    for name, row in services.items():
        yield f'oberonc_breaker_open{{service="{_label(name)}"}} {int(row["breaker"] != "closed")}'


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
