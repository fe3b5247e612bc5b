"""Several payloads as one: nothing is lost, nothing is there twice, and the same ones
always make the same.
"""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc import jsontext
from oberonc.payload import schema
from oberonc.payload.check import check
from oberonc.payload.digest import joined
from oberonc.payload.schema import Payload
from oberonc.testing import commit, payload

KINDS = (
    "push",
    "commits",
    "branch",
    "merge",
    "forced",
    "tag",
    "delete",
    "all",
)


def _ids(entries: list[Payload]) -> list[str]:
    return [entry["raw_node"] for entry in entries]


@given(st.lists(st.sampled_from(KINDS), min_size=2, max_size=6))
def test_the_joined_payload_is_one_of_schema_1_with_all_there_is(
    kinds: list[str],
) -> None:
    told = [payload(kind, id=f"{n:032x}") for n, kind in enumerate(kinds)]
    before = copy.deepcopy(told)
    made = joined(told)
    assert told == before, "what came is not changed"
    assert check(made) == ""
    assert made["digest"] == [each["id"] for each in told]
    assert made["id"] == told[0]["id"]
    assert made["updates"] == [u for each in told for u in each["updates"]]
    assert set(_ids(made["commits"])) == {i for e in told for i in _ids(e["commits"])}
    both = _ids(made["commits"]) + _ids(made["merged"])
    assert len(both) == len(set(both)), "each commit once"
    assert set(both) >= {i for e in told for i in _ids(e["merged"])}
    assert set(made["published"]) == {i for e in told for i in e["published"]}
    assert len(schema.dumps(made)) <= sum(len(schema.dumps(each)) for each in told)
    assert jsontext.canonical(joined(told)) == jsontext.canonical(made)


def test_one_alone_stays_as_it_is() -> None:
    one = payload()
    assert joined([one]) is one


def test_what_was_new_with_one_push_and_published_with_the_next_is_new() -> None:
    change = commit(1, "one\n", "topic")
    first = payload("branch", commits=[change], merged=[], published=[])
    second = payload(
        "merge", commits=[], merged=[change], published=[change["raw_node"]]
    )
    made = joined([first, second])
    assert _ids(made["commits"]) == [change["raw_node"]]
    assert made["merged"] == []
    assert made["published"] == [change["raw_node"]]


@pytest.mark.parametrize(
    ("key", "one", "other", "made"),
    [
        ("user", "ann", "bob", None),
        ("user", "ann", "ann", "ann"),
        ("truncated", False, True, True),
        ("push_options", ["ci.skip", "x"], ["x"], ["x"]),
        ("event", "commit", "push", "push"),
        ("event", "commit", "commit", "commit"),
    ],
)
def test_what_is_said_of_a_whole_push_stays_where_all_say_it(
    key: str, one: object, other: object, made: object
) -> None:
    both = [payload() | {key: one}, payload() | {key: other}]
    assert joined(both)[key] == made


def test_a_submitter_that_is_not_the_same_is_left_out() -> None:
    both = [payload(submitter={"uid": uid, "name": None}) for uid in (1, 2)]
    assert "submitter" not in joined(both)
