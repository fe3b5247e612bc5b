"""That an outage is seen: what `oberonc stats` tells people, and what it tells
Prometheus.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from oberonc import prometheus
from oberonc.daemon.operations import status
from oberonc.queue.values import Room, Stats
from tests.support.command import Command
from tests.support.daemon_site import Site, recorder
from tests.support.eventually import eventually

#: A broker that fails for as long as the file is there, and is tried again by hand.
FAILS_WHILE = """
        if os.path.exists(self.settings.ledger + '.down'):
            raise Retry('connection refused', after=600)"""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """{(name, labels): number}, read as Prometheus reads it."""
    families = list(text_string_to_metric_families(text))
    assert len(families) == len({family.name for family in families})
    found = {
        (s.name, frozenset(s.labels.items())): s.value
        for family in families
        for s in family.samples
    }
    assert len(found) == sum(len(family.samples) for family in families), (
        "a sample was given twice"
    )
    return found


def metrics(site: Site, oberonc: Command) -> Samples:
    """What Prometheus would know now."""
    return samples(oberonc("--config", site.file, "stats", "--prometheus").out)


def of(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """The key of a sample."""
    return f"oberonc_{name}", frozenset(labels.items())


def test_every_metric_says_what_it_means_and_of_which_kind_it_is(
    site: Site, oberonc: Command
) -> None:
    site.start()
    text = oberonc("--config", site.file, "stats", "--prometheus").out
    for family in text_string_to_metric_families(text):
        assert family.documentation.endswith(".") or ";" in family.documentation, (
            family.name
        )
        assert family.type in ("gauge", "counter"), family.name
    names = {f"oberonc_{metric.name}" for metric in prometheus.METRICS}
    assert {
        line.split()[2] for line in text.splitlines() if line.startswith("# HELP")
    } == names
    assert {
        line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")
    } == names
    assert all(
        (metric.kind == "counter") == metric.name.endswith("_total")
        for metric in prometheus.METRICS
    )


def test_an_outage_is_seen_while_it_lasts_and_gone_after_it(
    site: Site, oberonc: Command
) -> None:
    """Its age grows whenever the next try is due, and the error has a time."""
    site.write("rec", recorder(FAILS_WHILE))
    down = site.folder / "ledger.jsonl.down"
    down.touch()
    site.start()
    began = time.time()
    site.submit()
    eventually(
        lambda: metrics(site, oberonc)[of("service_failing", service="rec")] == 1
    )
    found = metrics(site, oberonc)
    assert found[of("service_failures", service="rec")] >= 1
    assert (
        began - 1
        <= found[of("service_last_error_timestamp_seconds", service="rec")]
        <= time.time()
    )
    assert (
        0
        < found[of("oldest_delivery_seconds", service="rec")]
        <= time.time() - began + 1
    )
    assert (
        site.stats()["services"]["rec"]["behind"] is None
        or site.stats()["services"]["rec"]["behind"] == 0
    )
    shown = oberonc("--config", site.file, "stats").out
    assert "Z connection refused" in shown
    down.unlink()
    oberonc("--config", site.file, "queue", "retry", "1")
    site.settled(done=1)
    found = metrics(site, oberonc)
    assert (
        found[of("service_failing", service="rec")]
        == found[of("oldest_delivery_seconds", service="rec")]
        == 0
    )
    assert of("service_last_error_timestamp_seconds", service="rec") not in found
    assert "connection refused" not in oberonc("--config", site.file, "stats").out


def test_what_nobody_serves_and_what_is_paused_is_seen(
    site: Site, oberonc: Command
) -> None:
    site.write("old", recorder())
    site.configure(site.services("rec", "old"))
    site.start()
    for name in ("rec", "old"):
        oberonc("--config", site.file, "queue", "pause", name)
    site.submit()
    site.configure(site.services("rec"))
    site.reload()
    found = metrics(site, oberonc)
    assert found[of("unclaimed_deliveries", service="old")] == 1
    assert found[of("unclaimed_deliveries", service="rec")] == 0
    assert found[of("service_paused", service="rec")] == 1
    assert found[of("oldest_delivery_seconds", service="rec")] > 0
    assert (
        "nobody serves old: 1 delivery waits"
        in oberonc("--config", site.file, "stats").out
    )


def test_a_bad_spool_file_and_a_refusal_are_counted(
    site: Site, oberonc: Command
) -> None:
    from tests.support.daemon_wire import Raw

    site.start()
    (site.config.spool / "new" / "00000000000000000001-x.ob").write_text("nonsense")
    eventually(lambda: site.stats()["spool_bad"] == 1)
    with Raw(site.socket) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert not client.answer()["ok"]
    found = metrics(site, oberonc)
    assert found[of("spool_bad_files")] == 1
    assert (
        sum(
            number
            for (name, _), number in found.items()
            if name == "oberonc_refusals_total"
        )
        == 1
    )
    assert (
        "1 file of the spool put aside in bad/"
        in oberonc("--config", site.file, "stats").out
    )


def test_versions_of_daemon_and_command_are_shown(site: Site, oberonc: Command) -> None:
    import oberonc as package

    site.start()
    version = package.__version__
    assert oberonc("--config", site.file, "stats").out.startswith(
        f"daemon {version}, this command {version}\n"
    )
    assert metrics(site, oberonc)[of("build_info", version=version)] == 1
    shown = oberonc("--config", site.file, "stats", "--json").json
    assert (shown["version"], shown["command_version"]) == (version, version)


def _value(**more: Any) -> dict[str, Any]:
    """What `stats --json` has, of a daemon that did nothing."""
    workers = {"running": 0, "idle": 0, "limit": 8}
    own = {
        "version": "1",
        "generation": 1,
        "uptime": 0.5,
        "connections": 0,
        "refused": {},
        "workers": workers,
    }
    spool = {"spool": 0, "spool_bad": 0, "spool_unreadable": 0}
    return own | spool | status.summary(Stats({}, {}, 0, Room(0, 0, False)), 0) | more


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True))
def test_whatever_a_label_holds_it_is_read_as_it_was(texts: list[str]) -> None:
    services = {text: status.service_row(None, 0) for text in texts}
    found = samples(prometheus.exposition(_value(services=services)))
    named = {
        dict(labels)["service"]
        for name, labels in found
        if name == "oberonc_service_paused"
    }
    assert named == set(texts)


def test_watched_json_is_a_document_a_line_over_a_restart(site: Site) -> None:
    first = site.start()
    argv = [
        sys.executable,
        "-I",
        "-m",
        "oberonc",
        "--config",
        str(site.file),
        "stats",
        "--watch",
        "--json",
    ]
    errors = site.folder / "errors"
    with (
        errors.open("wb") as log,
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=log, text=True, env=dict(os.environ)
        ) as watching,
    ):
        try:
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())["pid"] == first.pid
            first.kill()
            eventually(lambda: b"waiting for it" in errors.read_bytes())
            second = site.start()
            pids = set()
            while second.pid not in pids:
                pids.add(json.loads(watching.stdout.readline())["pid"])
            assert pids <= {first.pid, second.pid}
            assert errors.read_text().count("waiting for it") == 1
        finally:
            watching.terminate()
    assert "Traceback" not in errors.read_text()
