"""What message buses are sent, and where."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc import Reject, testing
from oberonc.kit import event

AT_DELIVERY = {"service": {"token": "x"}, "broker": "b", "attempt": 2, "order": {}}


def test_the_body_is_the_payload_without_what_is_for_the_broker_alone() -> None:
    payload = testing.payload("all")
    raw = event.body(payload | AT_DELIVERY | {"delivery_id": "d"})
    assert json.loads(raw) == payload


@pytest.mark.parametrize("most", [3000, 6000, 12_000])
def test_a_body_that_is_too_long_is_cut_and_says_so(most: int) -> None:
    payload = testing.payload("many")
    raw = event.body(payload, most)
    cut = json.loads(raw)
    assert len(raw) <= most
    assert cut["truncated"]
    assert cut["commits_total"] == 30
    kept = cut["commits"]
    assert kept == [] or kept[-1]["raw_node"] == payload["commits"][-1]["raw_node"]


def test_a_body_that_cannot_be_cut_enough_is_rejected() -> None:
    with pytest.raises(Reject, match="and 100 can be sent"):
        event.body(testing.payload(), 100)


def test_attributes_are_those_of_a_cloudevent() -> None:
    payload = testing.payload("hostile") | {"delivery_id": "d"}
    named = event.attributes(payload, "ce_")
    assert sorted(named) == [
        *("ce_id", "ce_source", "ce_specversion", "ce_time", "ce_type")
    ]
    assert all(re.fullmatch(r"[!-~]+", value) for value in named.values())


@given(st.text(max_size=40))
def test_no_name_gets_more_levels_or_wildcards_into_a_place(name: str) -> None:
    payload = testing.payload()
    payload["repository"]["full_name"] = name
    found = event.place("a.${repository.full_name}.b", payload, "[.*>]")
    assert found.startswith("a.")
    assert found.endswith(".b")
    inner = found[2:-2]
    assert inner
    assert not set(inner) & set(".*> \x00\n\r\t")


def test_a_missing_library_is_one_line_that_names_the_extra() -> None:
    with pytest.raises(ValueError, match=re.escape("pip install 'oberonc[kafka]'")):
        event.library("oberonc_no_such_module", "kafka")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mqtt://bus.example.org", (False, "bus.example.org", 1883)),
        ("mqtts://bus.example.org:99/x", (True, "bus.example.org", 99)),
        ("mqtt://[::1]:7", (False, "::1", 7)),
    ],
)
def test_an_address_gives_host_and_port(url: str, found: tuple[bool, str, int]) -> None:
    assert event.address(url, {"mqtt": 1883, "mqtts": 8883}) == found


@pytest.mark.parametrize(
    "url",
    ["", "bus", "http://x", "mqtt://", "mqtt://u:p@x", "mqtt://x:99999", "mqtt://[x"],
)
def test_an_address_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="setting"):
        event.address(url, {"mqtt": 1883, "mqtts": 8883})
