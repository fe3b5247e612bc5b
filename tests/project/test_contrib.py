"""What contrib/ says about the numbers is true of the numbers there are."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from oberonc import prometheus
from oberonc.daemon.operations import status
from oberonc.daemon.operations.answers import ERRORS
from oberonc.queue.breaker import BreakerState
from oberonc.queue.values import Room, ServiceStats, Stats
from tests.support.trackers.servers import SERVERS, need

CONTRIB = Path(__file__).parents[2] / "contrib"
ALERTS = CONTRIB / "prometheus-alerts.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads(
    (CONTRIB / "grafana-dashboard.json").read_text()
)["panels"]

#: A daemon with one service that was never in trouble, as `stats --json` tells of it.
SERVICE = ServiceStats(
    ready=0,
    leased=0,
    done=9,
    dead=0,
    cancelled=0,
    expired=0,
    collapsed=0,
    parked=0,
    paused=False,
    breaker=BreakerState.CLOSED,
    failures=0,
    probe_due_ms=None,
    next_ms=None,
    oldest_ms=None,
    oldest_due_ms=None,
    last_error="",
    last_error_ms=None,
    counters={"accepted": 9, "dead": 0},
)
VALUE = status.summary(
    Stats({"chat": SERVICE}, {}, 0, Room(1 << 40, 64 << 20, False)), 0
) | {
    "version": "1",
    "generation": 1,
    "uptime": 1.0,
    "connections": 0,
    "refused": dict.fromkeys(ERRORS, 0),
    "workers": {"running": 0, "idle": 0, "limit": 8},
    "spool": 0,
    "spool_bad": 0,
    "spool_unreadable": 0,
}
VALUE["services"]["chat"]["broker"] = "chat"
#: {metric: its labels}
EXPORTED = {
    f"oberonc_{metric.name}": {
        label for sample in metric.samples(VALUE) for label in sample.labels
    }
    for metric in prometheus.METRICS
}
#: An outage for each alert: what of a healthy daemon's samples is otherwise, as
#: promtool writes it, a minute each.
OUTAGES = {
    "OberoncDown": {},
    "OberoncRestarts": {"oberonc_uptime_seconds": "9 1 9 1 9 1 9 1 9x9999"},
    "OberoncDeliveryOld": {
        'oberonc_oldest_delivery_seconds{service="chat"}': "0+60x9999"
    },
    "OberoncServiceFailing": {'oberonc_service_failing{service="chat"}': "1x9999"},
    "OberoncServiceUnavailable": {
        'oberonc_service_unavailable{service="chat"}': "1x9999"
    },
    "OberoncServicePaused": {'oberonc_service_paused{service="chat"}': "1x9999"},
    "OberoncGivenUp": {
        'oberonc_deliveries_total{outcome="dead",service="chat"}': "0x30 1x9999"
    },
    "OberoncUnclaimed": {'oberonc_unclaimed_deliveries{service="chat"}': "1x9999"},
    "OberoncRefusals": {'oberonc_refusals_total{reason="forbidden"}': "0+1x9999"},
    "OberoncSpoolWaits": {"oberonc_spool_files": "3x9999"},
    "OberoncSpoolUnreadable": {"oberonc_spool_unreadable_files": "1x9999"},
    "OberoncSpoolBad": {"oberonc_spool_bad_files": "0x30 1x9999"},
    "OberoncLowSpace": {"oberonc_storage_low": "1x9999"},
    "OberoncSpaceShrinks": {"oberonc_storage_free_bytes": "100000000x9999"},
}
#: Minutes after which each alert has to fire, where an hour is not it.
MINUTES = {
    "OberoncServicePaused": 1500,
    "OberoncRestarts": 10,
    "OberoncDeliveryOld": 70,
}


def expressions() -> Iterator[tuple[str, str]]:
    """(where it stands, PromQL) of all rules and panels."""
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)
    yield from (
        (panel["title"], target["expr"])
        for panel in PANELS
        for target in panel["targets"]
    )


def test_every_metric_and_label_that_is_named_exists() -> None:
    for where, text in expressions():
        names = re.findall(r"\boberonc_\w+", text)
        assert names, where
        assert set(names) <= EXPORTED.keys(), where
        labels = set().union(*(EXPORTED[name] for name in names))
        matched = re.findall(
            r"(\w+)\s*[!=]", " ".join(re.findall(r"\{([^}]*)\}", text))
        )
        grouped = [
            name.strip()
            for inside in re.findall(r"\bby \(([^)]*)\)", text)
            for name in inside.split(",")
        ]
        assert {*matched, *grouped} <= labels, where


def test_every_label_and_value_in_words_exists() -> None:
    words = [
        (rule["expr"], str(rule["annotations"]), r"\$labels\.(\w+)") for rule in RULES
    ]
    words += [
        (t["expr"], t["legendFormat"], r"\{\{\s*(\w+)\s*\}\}")
        for panel in PANELS
        for t in panel["targets"]
    ]
    for expr, text, pattern in words:
        labels = set().union(
            *(EXPORTED[name] for name in re.findall(r"\boberonc_\w+", expr))
        )
        assert set(re.findall(pattern, text)) <= labels, text
    outcomes = {"accepted", "dead"}
    assert (
        set(re.findall(r'outcome!?="(\w+)"', ALERTS.read_text() + str(PANELS)))
        <= outcomes
    )


def test_the_dashboard_shows_what_the_alerts_speak_of() -> None:
    shown = {
        name
        for panel in PANELS
        for t in panel["targets"]
        for name in re.findall(r"\boberonc_\w+", t["expr"])
    }
    spoken = {
        name for rule in RULES for name in re.findall(r"\boberonc_\w+", rule["expr"])
    }
    assert spoken - shown <= {"oberonc_storage_low", "oberonc_uptime_seconds"}
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def promtool(*args: str | Path, cwd: Path, given: str = "") -> None:
    """Prometheus' own opinion."""
    program = shutil.which("promtool") or str(SERVERS / "promtool")
    need(os.access(program, os.X_OK), "promtool")
    argv = [program, *args]
    done = subprocess.run(
        argv,
        input=given,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.server
def test_prometheus_takes_the_rules_the_dashboards_questions_and_the_numbers(
    tmp_path: Path,
) -> None:
    promtool("check", "rules", ALERTS, cwd=tmp_path)
    asked = [
        {"record": f"panel:{number}", "expr": expr}
        for number, (_, expr) in enumerate(expressions())
    ]
    (tmp_path / "asked.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "asked", "rules": asked}]})
    )
    promtool("check", "rules", "asked.yml", cwd=tmp_path)
    promtool("check", "metrics", cwd=tmp_path, given=prometheus.exposition(VALUE))


def _healthy() -> dict[str, str]:
    """{sample: values} of a daemon that is well for days."""
    lines = [
        line for line in prometheus.exposition(VALUE).splitlines() if line[0] != "#"
    ]
    found = {}
    for line in lines:
        key, number = line.rsplit(" ", 1)
        name, brace, rest = key.partition("{")
        found[
            name
            + brace
            + ",".join(sorted(rest.rstrip("}").split(",")))
            + ("}" if brace else "")
        ] = f"{number}x9999"
    return found


@pytest.mark.server
@pytest.mark.parametrize("alert", [rule["alert"] for rule in RULES])
def test_an_outage_fires_its_alert_and_a_healthy_daemon_none(
    tmp_path: Path, alert: str
) -> None:
    shutil.copy(ALERTS, tmp_path)
    healthy = _healthy()
    assert OUTAGES[alert].keys() <= healthy.keys()
    ill = healthy | OUTAGES[alert] if OUTAGES[alert] else {}
    minutes = MINUTES.get(alert, 60)
    # What Prometheus gives back of an alert's labels and words is compared too; the
    # words are not the point here.
    test = "\n".join(
        [
            "rule_files: [prometheus-alerts.yml]",
            "evaluation_interval: 1m",
            "tests:",
            *_case(healthy, [f"ALERTS{{alertname='{alert}'}}", "0"], minutes),
            *_case(
                ill,
                [f"ALERTS{{alertname='{alert}',alertstate='firing'}}", "1"],
                minutes,
            ),
        ]
    )
    (tmp_path / "test.yml").write_text(test)
    promtool("test", "rules", "test.yml", cwd=tmp_path)


def _case(series: dict[str, str], asked: list[str], minutes: int) -> Iterator[str]:
    """One test of promtool's: with *series*, does the alert exist after *minutes*?"""
    question, number = asked
    yield "  - interval: 1m"
    yield "    input_series:"
    yield "      - {series: 'up', values: '1x9999'}"
    for key, values in series.items():
        yield f"      - {{series: {json.dumps(key)}, values: '{values}'}}"
    yield "    promql_expr_test:"
    yield f"      - expr: {json.dumps(f'count({question}) or vector(0)')}"
    yield f"        eval_time: {minutes}m"
    yield f"        exp_samples: [{{labels: '{{}}', value: {number}}}]"
