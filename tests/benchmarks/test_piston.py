"""What Piston costs, beside a bare Django view, DRF and django-ninja in the same run.

`pytest tests/benchmarks/test_piston.py -m benchmark -n 0 -s`
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark
TOP = Path(__file__).parents[2]
#: At most so many times a bare view, and so many times DRF.
LIMITS = {"one": (2.5, 0.7), "many": (1.35, 1.0), "orders": (2.8, 0.5)}
NAMES = (
    "BaseHandler, Resource, paginate, validate, throttle, idempotent, HttpBasicSimple"
)


def _run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=TOP, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_request_costs_little_more_than_in_a_bare_view() -> None:
    found = json.loads(_run("-m", "tests.benchmarks.piston_peers"))
    print()
    for case, times in found.items():
        print(case, {peer: round(ratio, 2) for peer, ratio in times.items()})
    for case, (of_bare, of_drf) in LIMITS.items():
        assert found[case]["piston"] <= of_bare, case
        assert found[case]["piston"] <= of_drf * found[case]["drf"], case


SETUP = """
import sys, time, django
from django.conf import settings
settings.configure(INSTALLED_APPS=[])
django.setup()
before, began = set(sys.modules), time.process_time()
"""


def _import_cost(statement: str) -> tuple[float, int, list[str]]:
    """Milliseconds (the median of several), modules, and which of the heavy ones."""
    script = (
        SETUP
        + statement
        + (
            "\nmilliseconds = (time.process_time() - began) * 1000"
            "\nmore = set(sys.modules) - before"
            "\nheavy = [n for n in ('yaml', 'defusedxml', 'pydantic') if n in more]"
            "\nimport json; print(json.dumps([milliseconds, len(more), heavy]))"
        )
    )
    runs = [json.loads(_run("-c", script)) for _ in range(9)]
    return statistics.median(run[0] for run in runs), runs[0][1], runs[0][2]


def test_importing_it_is_cheap() -> None:
    ours = _import_cost(f"from oberonc.piston import {NAMES}")
    peer = _import_cost(
        "from rest_framework import views, serializers, pagination, throttling"
    )
    print(
        f"\npiston {ours[0]:.0f} ms, {ours[1]} modules; DRF {peer[0]:.0f} ms, {peer[1]}"
    )
    assert ours[2] == []
    assert ours[0] <= 30
    assert ours[1] <= 40


STREAM = """
import resource, sys
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], INSTALLED_APPS=[], ROOT_URLCONF="x")
import django; django.setup()
from django.test import RequestFactory
from oberonc.piston import BaseHandler, Resource

class Rows(BaseHandler):
    def read(self, request, count):
        return ({"number": number, "text": "row"} for number in range(count))

def peak(count):
    answer = Resource(Rows)(RequestFactory().get("/?format=" + sys.argv[1]), count=count)
    assert answer.status_code == 200
    lines = sum(block.count(b"row") for block in answer)
    return lines, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

peak(1000)
_, before = peak(10_000)
lines, after = peak(1_000_000)
print(lines, after - before)
"""


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "xml"])
def test_a_million_rows_stream_in_flat_memory(format: str) -> None:
    lines, grown = _run("-c", STREAM, format).split()
    print(f"\n{format}: {grown} KiB more than for ten thousand")
    assert int(lines) >= 1_000_000
    assert int(grown) < 4096
