"""Properties of any payload, of the name of a change, and of any filter."""

import copy
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oberonc.config import Limits, Service
from oberonc.payload import filters, globs
from oberonc.payload import schema as payloads
from oberonc.payload.check import check, loads
from oberonc.source import entries

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NAMES = st.text("ab/*?.-\n\u00e9", min_size=1, max_size=8)
OIDS = st.integers(0, 50).map(lambda n: f"{n:040x}")
BRANCHES = st.none() | st.sampled_from(["main", "topic", "a/b"])


@st.composite
def commits(draw: st.DrawFn, oids: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "node": oid[:12],
            "raw_node": oid,
            "author": draw(TEXT),
            "raw_author": f"{draw(TEXT)} <{draw(TEXT)}>",
            "message": draw(TEXT),
            "branch": draw(BRANCHES),
            "parents": draw(st.lists(OIDS.map(lambda oid: oid[:12]), max_size=2)),
            "files": [
                {"file": name, "type": "added"}
                for name in draw(st.lists(NAMES, max_size=4))
            ],
            "change": draw(OIDS),
        }
        for oid in oids
    ]


@st.composite
def updates(draw: st.DrawFn) -> list[dict[str, Any]]:
    refs = draw(
        st.lists(
            st.sampled_from(["refs/heads/main", "refs/heads/topic", "refs/tags/v1"]),
            unique=True,
        )
    )
    return [
        {
            "ref": ref,
            "kind": "branch" if ref.startswith("refs/heads/") else "tag",
            "name": ref.split("/")[-1],
            "old": draw(OIDS),
            "new": draw(OIDS),
            **{
                key: draw(st.booleans())
                for key in ("created", "deleted", "forced", "publish")
            },
        }
        for ref in refs
    ]


@st.composite
def full(draw: st.DrawFn) -> dict[str, Any]:
    oids = draw(st.lists(OIDS, unique=True, max_size=8))
    half = len(oids) // 2
    return {
        "schema": 1,
        "id": "0" * 32,
        "event": draw(st.sampled_from(["push", "commit"])),
        "time": draw(TEXT),
        "user": draw(st.none() | TEXT),
        "canon_url": draw(TEXT),
        "repository": {
            "full_name": draw(NAMES.map(lambda name: name.replace("\n", "_")))
        },
        "updates": draw(updates()),
        "commits": draw(commits(oids[half:])),
        "merged": draw(commits(oids[:half])),
        "published": oids[::2],
        "foreign": oids[::4],
        "dropped": draw(commits(draw(st.lists(OIDS, unique=True, max_size=3)))),
        "truncated": False,
        "commits_total": len(oids),
        "published_total": len(oids[::2]),
        "dropped_total": 3,
        "push_options": draw(st.lists(TEXT | st.just("oberonc.skip"), max_size=2)),
    }


patterns = st.lists(
    st.sampled_from(["", "!"]).flatmap(
        lambda sign: NAMES.map(lambda name: sign + name)
    ),
    max_size=3,
)
services = st.builds(
    Service,
    name=st.just("one"),
    broker=st.just("one"),
    settings=st.just({}),
    repositories=st.just(()) | patterns.map(tuple),
    refs=st.just(())
    | st.sampled_from([("main",), ("refs/tags/*",), ("!topic",), ("**",)]),
    paths=st.just(()) | patterns.map(tuple),
    authors=st.just(()) | patterns.map(tuple),
)


@given(full())
def test_a_payload_survives_json(payload: dict[str, Any]) -> None:
    assert check(payload) == ""
    assert loads(payloads.dumps(payload), "it") == payload


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT,
        lambda x: st.lists(x) | st.dictionaries(TEXT, x),
    )
)
def test_any_json_is_judged_without_a_crash(value: Any) -> None:
    assert check(value) != ""


@given(
    full(),
    st.sampled_from(
        [
            "commits",
            "merged",
            "dropped",
            "foreign",
            "updates",
            "repository",
            "published",
        ]
    ),
    st.integers() | TEXT,
)
def test_a_broken_part_is_refused_by_its_name(
    payload: dict[str, Any], key: str, junk: Any
) -> None:
    for value in (junk, [junk], {junk: junk}):
        assert check(payload | {key: value}).startswith(f"'{key}")


LINES = st.lists(TEXT.map(lambda line: re.sub(r"\s", " ", line)), max_size=5).map(
    "\n".join
)
ADDED = st.sampled_from(
    [
        "(cherry picked from commit 0123456789abcdef)",
        "Signed-off-by: Ann <ann@example.org>",
        "reviewed-by: Bob",
        "Tested-by: x",
        "Acked-by: x",
        "Change-Id: I0123",
        "",
        "\n",
    ]
)


@given(LINES, st.lists(ADDED, max_size=5))
def test_a_change_keeps_its_name_whatever_lines_are_added(
    message: str, added: list[str]
) -> None:
    name = entries.change("Ann <a@b>", (1, "+0000"), message)
    assert (
        entries.change("Ann <a@b>", (1, "+0000"), "\n".join([message, *added])) == name
    )
    assert re.fullmatch("[0-9a-f]{40}", name)


@given(full(), st.integers(600, 6000))
def test_fit_never_exceeds_and_always_flags(payload: dict[str, Any], cap: int) -> None:
    before = copy.deepcopy(payload)
    lists = (
        "commits",
        "merged",
        "dropped",
        "updates",
        "push_options",
        "published",
        "foreign",
    )
    floor = {**payload, **{name: [] for name in lists}}
    cut = payloads.fit(payload, Limits(bytes=cap))
    size = len(payloads.dumps(cut))
    assert size <= max(cap, len(payloads.dumps(floor)))
    assert cut["truncated"] == (cut != before)
    assert (len(payloads.dumps(before)) > cap) == cut["truncated"]
    kept = {entry["raw_node"] for entry in [*cut["commits"], *cut["merged"]]}
    assert set(cut["published"]) <= kept or not cut["truncated"]


def naive(pattern: str, value: str) -> bool:
    """The glob by its definition, letter by letter."""
    if not pattern:
        return not value
    return _naive(pattern, value, 0, 0)


def _naive(pattern: str, value: str, i: int, j: int) -> bool:
    if i == len(pattern):
        return j == len(value)
    if pattern.startswith("**/", i) and (i == 0 or pattern[i - 1] == "/"):
        ends = [j, *(k + 1 for k in range(j, len(value)) if value[k] == "/")]
        return any(_naive(pattern, value, i + 3, k) for k in ends)
    if pattern.startswith("**", i):
        return any(_naive(pattern, value, i + 2, k) for k in range(j, len(value) + 1))
    if pattern[i] == "*":
        stop = value.find("/", j)
        return any(
            _naive(pattern, value, i + 1, k)
            for k in range(j, (len(value) if stop < 0 else stop) + 1)
        )
    if j == len(value):
        return False
    return (
        value[j] != "/" if pattern[i] == "?" else value[j] == pattern[i]
    ) and _naive(pattern, value, i + 1, j + 1)


@given(st.text("ab/*?[]\n.", max_size=8), st.text("ab/[]\n.", max_size=8))
def test_globs_mean_what_they_say(pattern: str, value: str) -> None:
    assert globs.matches(pattern, value) == naive(pattern, value)


@given(patterns, NAMES)
def test_an_excluding_pattern_wins_and_no_pattern_passes_all(
    some: list[str], value: str
) -> None:
    assert globs.passes((), [value])
    assert not globs.passes((*some, f"!{value}", value), [value]) or not globs.matches(
        value, value
    )
    assert not globs.passes((*some, "!**"), [value])
    assert globs.passes((*some, "**"), [value]) == (
        not any(globs.matches(p[1:], value) for p in some if p[0] == "!")
    )


@given(services, full())
def test_choose_invents_nothing_changes_nothing_and_has_a_reason(
    service: Service, payload: dict[str, Any]
) -> None:
    before = copy.deepcopy(payload)
    choice = filters.choose(service, payload)
    assert payload == before
    assert choice.reason
    if choice.payload is not None:
        for name in ("commits", "merged", "updates", "published"):
            chosen = choice.payload[name]
            assert chosen == [entry for entry in payload[name] if entry in chosen]
        kept = {
            entry["raw_node"]
            for entry in [*choice.payload["commits"], *choice.payload["merged"]]
        }
        assert set(choice.payload["published"]) <= kept


@given(services, full())
def test_what_cannot_match_does_not(service: Service, payload: dict[str, Any]) -> None:
    if payload["updates"] and not filters.possible(service, payload):
        assert filters.choose(service, payload).payload is None
