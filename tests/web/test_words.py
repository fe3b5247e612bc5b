"""What the page says of the daemon's rows, and how it draws an hour."""

from typing import Any

import pytest

from oberonc.web.page import words
from oberonc.web.page.chart import HEIGHT, MINUTES, STEP, chart

SERVICE: dict[str, Any] = {
    "ready": 0,
    "dead": 0,
    "paused": False,
    "broker": "issues",
    "problem": "",
    "breaker": "closed",
    "last_error": "",
}
STATS: dict[str, Any] = {
    "services": {},
    "unclaimed": {},
    "paused_lanes": 0,
    "storage_low": False,
    "storage_free": 5 << 20,
    "storage_threshold": 64 << 20,
    "spool_unreadable": 0,
    "spool_bad": 0,
}


def needs(**changes: Any) -> list[words.Need]:
    return words.needs(STATS | {"services": {"chat": SERVICE | changes}})


def test_what_is_well_needs_nobody() -> None:
    assert words.needs(STATS) == []
    assert needs() == []


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"dead": 2}, "bad", "chat: 2 dead letters."),
        ({"problem": "no such file"}, "bad", "chat: no such file"),
        ({"last_error": "HTTP 401"}, "bad", "chat is not let in: HTTP 401"),
        (
            {"breaker": "open", "last_error": "timed out"},
            "odd",
            "chat is failing: timed out",
        ),
        ({"paused": True, "ready": 3}, "odd", "chat is paused, and 3 wait."),
    ],
    ids=["dead", "problem", "credentials", "failing", "paused"],
)
def test_each_trouble_of_a_service_is_named(
    changes: dict[str, Any], kind: str, text: str
) -> None:
    [need] = needs(**changes)
    assert (need.kind, need.text) == (kind, text)
    assert need.path


def test_what_is_worst_comes_first() -> None:
    stats = STATS | {
        "services": {"chat": SERVICE | {"paused": True, "dead": 1}},
        "unclaimed": {"old": 4},
        "paused_lanes": 1,
        "storage_low": True,
        "spool_bad": 1,
    }
    found = words.needs(stats)
    assert [need.kind for need in found] == ["bad"] * 3 + ["odd"] * 3
    assert found[0].text.startswith(
        "The disk is nearly full: 5 MiB free, daemon.low_space is 64 MiB; new pushes"
    )
    assert found[-1].text == "1 repository paused for one service."
    assert "1 file of the spool put aside in bad/: look at the .why beside each." in {
        need.text for need in found
    }


DELIVERY: dict[str, Any] = {
    "state": "ready",
    "attempts": [],
    "note": "",
    "paused": False,
    "joined": None,
    "behind": None,
    "due_ms": 0,
}
TRY = {"note": "closed #1"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Not done yet (due now)."),
        (
            {"due_ms": 60_000},
            "Not done yet (next try 1970-01-01T00:01:00Z).",
        ),
        ({"behind": 7}, "Not done yet (behind delivery 7)."),
        ({"joined": 7}, "Not done yet (goes together with delivery 7)."),
        (
            {"attempts": [TRY], "note": "busy"},
            "Not done yet after 1 try: busy (due now).",
        ),
        ({"state": "leased", "attempts": [TRY]}, "It runs now, try 1."),
        ({"state": "done", "attempts": [TRY]}, "Done after 1 try: closed #1"),
        (
            {"state": "dead", "attempts": [TRY] * 2, "note": "no"},
            "Given up after 2 tries: no",
        ),
        ({"state": "expired", "note": "too old"}, "Expired: too old"),
    ],
    ids=range(9),
)
def test_what_became_of_a_delivery_is_a_sentence(
    changes: dict[str, Any], said: str
) -> None:
    assert words.told(None, DELIVERY | changes, None, 1000) == said


WAITED_FOR: dict[str, Any] = {
    "breaker": "closed",
    "probe_due_ms": None,
    "next_ms": None,
}


@pytest.mark.parametrize(
    ("changes", "service", "said"),
    [
        (
            {"paused": True, "behind": 7},
            {},
            "its service, or its repository there, is paused; behind delivery 7",
        ),
        ({}, {"next_ms": 60_000}, "its rate lets it start 1970-01-01T00:01:00Z"),
        ({"due_ms": 60_000}, {"next_ms": 90_000}, "next try 1970-01-01T00:01:00Z"),
        (
            {"due_ms": 10**20},
            {"breaker": "open", "probe_due_ms": 60_000},
            "next try never; the service is failing, tried again 1970-01-01T00:01:00Z",
        ),
        ({}, {"breaker": "open"}, "the service is failing"),
    ],
    ids=range(5),
)
def test_all_that_a_delivery_waits_for_is_told(
    changes: dict[str, Any], service: dict[str, Any], said: str
) -> None:
    assert words.waits(DELIVERY | changes, WAITED_FOR | service, 1000) == said


def test_why_a_service_got_nothing_is_its_filters_reason() -> None:
    assert words.told({"reason": "no ref"}, None, None, 0) == "It got nothing: no ref."
    assert words.told(None, None, None, 0) == "It got nothing: not configured then."


def minute(
    began: int, done: int = 0, retried: int = 0, dead: int = 0
) -> dict[str, Any]:
    row = {"began": began, "done": done, "retried": retried, "dead": dead}
    return row | {"latency": 2.0 if done else None}


def test_an_hour_without_anything_is_a_line() -> None:
    drawn = chart([], 7200)
    assert [bar.kind for bar in drawn.bars] == ["base"]
    assert drawn.label == "Last hour: 0 done, 0 tried again, 0 given up"
    assert drawn.latency == ""


def test_bars_stand_in_their_minute_and_within_the_box() -> None:
    now = 7200
    rows = [
        minute(0, done=9),
        minute(now, done=1000, dead=1),
        minute(now - 3540, done=1),
    ]
    drawn = chart(rows, now)
    assert drawn.label == (
        "Last hour: 1001 done, 0 tried again, 1 given up, 2.0 s from push to end"
    )
    places = [bar.x // STEP for bar in drawn.bars[1:]]
    assert places == [0, MINUTES - 1, MINUTES - 1]
    for bar in drawn.bars:
        assert bar.y >= 0
        assert bar.y + bar.height <= HEIGHT
        assert bar.height >= 1
