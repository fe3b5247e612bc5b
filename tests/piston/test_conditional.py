"""Conditional requests (RFC 9110, 13): the comparison, then the rows of the table."""

import re
import time
from datetime import UTC, datetime

import pytest
from django.test import RequestFactory
from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.piston.conditional import check, entity_tag, version_tag

NOW = datetime(1994, 11, 6, 8, 49, 37, 999999, UTC)
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
THEN = "Sun, 06 Nov 1994 08:49:37 GMT"
JSON, YAML = '"json"', '"yaml"'


def checked(
    method: str,
    headers: dict[str, str],
    current: str | None = JSON,
    modified: datetime | None = None,
    exists: bool = True,
) -> int | None:
    request = RequestFactory().generic(method, "/", headers=headers)
    tags = [JSON, YAML] if exists else []
    return check(request, tags, current if exists else None, modified, exists)


def test_a_tag_is_strong_and_differs_by_format_and_by_body() -> None:
    tags = {entity_tag(body, name) for body in (b"", b"1") for name in ("json", "yaml")}
    assert len(tags) == 4
    assert all(re.fullmatch(r'"[0-9a-f]{32}"', tag) for tag in tags)


@pytest.mark.parametrize(
    "version",
    [7, 'a"b\r\n', "\ud800", NOW],
    ids=["number", "text", "surrogate", "time"],
)
def test_a_version_of_any_text_makes_a_tag_that_a_header_can_have(
    version: object,
) -> None:
    assert re.fullmatch(r'"[0-9a-f]{32}"', version_tag(version, "json"))
    assert version_tag(version, "json") != version_tag(version, "yaml")


@pytest.mark.parametrize(
    ("value", "get", "put"),
    [
        ('"json"', None, None),
        ('W/"json"', 412, 412),
        ('"yaml"', None, None),
        ('"other", "json"', None, None),
        (' ,, "json" ,', None, None),
        ('"a,b","json"', None, None),
        ('"other"', 412, 412),
        ("json", 412, 412),
        ("*", None, None),
        ("", 412, 412),
    ],
)
def test_if_match_compares_strongly_with_a_tag_of_any_format(
    value: str, get: int | None, put: int | None
) -> None:
    assert checked("GET", {"If-Match": value}) == get
    assert checked("PUT", {"If-Match": value}) == put


@pytest.mark.parametrize("value", ["*", '"json"', 'W/"json"'])
def test_if_match_is_false_where_nothing_is(value: str) -> None:
    assert checked("PUT", {"If-Match": value}, exists=False) == 412


@pytest.mark.parametrize(
    ("value", "get", "put"),
    [
        ('"json"', 304, 412),
        ('W/"json"', 304, 412),
        ('"yaml"', None, 412),
        ('"other", "json"', 304, 412),
        ('"other"', None, None),
        ("*", 304, 412),
        ("json", None, 412),
        ('json, "json"', 304, 412),
    ],
)
def test_if_none_match_compares_weakly_and_reads_with_the_tag_of_the_answer(
    value: str, get: int | None, put: int | None
) -> None:
    assert checked("GET", {"If-None-Match": value}) == get
    assert checked("HEAD", {"If-None-Match": value}) == get
    assert checked("PUT", {"If-None-Match": value}) == put


def test_if_none_match_with_a_star_creates_where_nothing_is() -> None:
    assert checked("PUT", {"If-None-Match": "*"}, exists=False) is None


@pytest.mark.parametrize(
    "text",
    [THEN, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
def test_if_modified_since_takes_the_three_forms_of_a_date(text: str) -> None:
    assert checked("GET", {"If-Modified-Since": text}, modified=NOW) == 304


@pytest.mark.parametrize(
    "text",
    [BEFORE, "", "yesterday", f"{THEN}, {THEN}", "Sun, 31 Feb 1994 08:49:37 GMT", "1"],
)
def test_an_older_or_malformed_date_makes_no_304(text: str) -> None:
    assert checked("GET", {"If-Modified-Since": text}, modified=NOW) is None


def test_dates_are_ignored_where_the_handler_has_none_and_for_writes() -> None:
    assert checked("GET", {"If-Modified-Since": THEN}) is None
    assert checked("PUT", {"If-Modified-Since": THEN}, modified=NOW) is None
    assert checked("PUT", {"If-Unmodified-Since": BEFORE}) is None


def test_if_unmodified_since_is_412_for_what_changed_later() -> None:
    assert checked("PUT", {"If-Unmodified-Since": THEN}, modified=NOW) is None
    assert checked("PUT", {"If-Unmodified-Since": BEFORE}, modified=NOW) == 412
    assert checked("PUT", {"If-Unmodified-Since": "soon"}, modified=NOW) is None


def test_a_time_without_a_zone_is_the_handlers_error() -> None:
    with pytest.raises(ValueError, match="time zone"):
        checked("GET", {}, modified=NOW.replace(tzinfo=None))


def test_the_order_is_that_of_rfc_9110_13_2_2() -> None:
    # A tag decides before a date ...
    ignored = {"If-Match": JSON, "If-Unmodified-Since": BEFORE}
    assert checked("PUT", ignored, modified=NOW) is None
    ignored = {"If-None-Match": '"other"', "If-Modified-Since": THEN}
    assert checked("GET", ignored, modified=NOW) is None
    # ... and what must match before what must not.
    both = {"If-Match": '"other"', "If-None-Match": JSON}
    assert checked("GET", both) == 412
    both = {"If-Match": JSON, "If-None-Match": JSON}
    assert checked("GET", both) == 304


#: An element of a list: well-formed tags, and texts without quotes and commas.
_TAGS = st.from_regex(r'(W/)?"[!#-~\x80-\xff]{0,6}"', fullmatch=True)
_WRONG = st.text("abcW/ *", max_size=4).filter(str.strip)


@settings(deadline=None)
@given(st.lists(st.one_of(_TAGS, _WRONG), min_size=2), st.sampled_from([",", " , "]))
def test_any_list_of_tags_is_read_as_the_rfc_says(parts: list[str], comma: str) -> None:
    header = comma.join(parts)
    strong = {part for part in parts if part.startswith('"')}
    weak = {part.removeprefix("W/") for part in parts if part.endswith('"')}
    for current in ('"a"', *weak):
        matches = None if current in strong else 412
        assert checked("PUT", {"If-Match": header}, current) in (
            (matches,) if not strong & {JSON, YAML} else (None,)
        )
        is_known = 304 if current in weak else None
        assert checked("GET", {"If-None-Match": header}, current) == is_known


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_text_is_an_answer_and_no_error(text: str) -> None:
    for header in ("If-Match", "If-None-Match", "If-Modified-Since"):
        assert checked("GET", {header: text}, modified=NOW) in (None, 304, 412)


@pytest.mark.parametrize(
    "piece", ['"x",', '"', '",', "x,", ",", " ", 'W/"x', '"x" "x', " \t"]
)
def test_thousands_of_tags_cost_time_in_proportion(piece: str) -> None:
    def seconds(length: int) -> float:
        request = RequestFactory().get("/", headers={"If-None-Match": piece * length})
        times = []
        for _ in range(3):
            begun = time.thread_time()
            check(request, [], JSON, None, True)
            times.append(time.thread_time() - begun)
        return min(times)

    # Ten times as long; the square of that would be a hundred times.
    assert seconds(100_000) < 40 * max(seconds(10_000), 0.001)
