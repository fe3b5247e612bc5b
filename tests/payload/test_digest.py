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
from oberonc.payload.digest import joined, moves
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


def _moved(old: str, new: str, **more: object) -> Payload:
    made: Payload = payload("push", id=new * 32)
    made["updates"][0] |= {"old": old * 40, "new": new * 40, **more}
    return made


def _all(*pushes: Payload) -> list[Payload]:
    shown = ("old", "new", "created", "deleted", "forced")
    return [{key: made[key] for key in shown} for made in moves(joined(pushes))]


def test_the_moves_of_one_ref_are_one_move() -> None:
    zeros = "0"
    quiet = {"created": False, "deleted": False, "forced": False}
    between = {"old": "1" * 40, "new": "3" * 40}
    one, two = _moved("1", "2"), _moved("2", "3")
    assert _all(one, two) == [between | quiet]
    assert _all(one, _moved("2", "3", forced=True)) == [
        between | quiet | {"forced": True}
    ]
    made, gone = _moved(zeros, "2", created=True), _moved("2", zeros, deleted=True)
    new = {"old": zeros * 40, "new": "3" * 40}
    assert _all(made, _moved("2", "3", forced=True)) == [
        new | quiet | {"created": True}
    ]
    moved, ended = _all(made, two, _moved("3", zeros, deleted=True))
    assert moved == new | quiet | {"created": True}
    assert ended == {"old": "3" * 40, "new": zeros * 40} | quiet | {"deleted": True}
    assert _all(_moved("1", "2"), gone, _moved(zeros, "3", created=True)) == [
        between | quiet | {"forced": True}
    ]


def test_moves_of_several_refs_stay_apart_and_only_a_digest_has_any() -> None:
    everything = payload("all")
    assert moves(everything) == everything["updates"]
    twice = joined([everything, payload("push", id="1" * 32)])
    assert [u["ref"] for u in moves(twice)] == [u["ref"] for u in everything["updates"]]
