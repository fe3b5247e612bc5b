"""Frames: what goes in comes out, and nothing but `BadFrame` comes of anything else."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc import jsontext
from oberonc.delivery import frames

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_what_is_encoded_is_decoded(value: dict[str, object]) -> None:
    frame = frames.encode(value)
    length = frames.body_length(frame[: frames.HEADER.size])
    assert length == len(frame) - frames.HEADER.size
    assert frames.decode(frame[frames.HEADER.size :]) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_bad_frame(raw: bytes) -> None:
    try:
        assert isinstance(frames.decode(raw), dict)
    except frames.BadFrame as fault:
        assert fault.kind == "invalid"


@given(st.binary(min_size=8, max_size=8))
def test_any_header_is_a_length_within_the_limit_or_a_bad_frame(raw: bytes) -> None:
    try:
        assert 0 <= frames.body_length(raw, 1000) <= 1000
    except frames.BadFrame as fault:
        assert fault.kind in ("invalid", "version", "too_large")


def test_a_frame_that_is_too_large_is_not_made() -> None:
    with pytest.raises(frames.BadFrame, match="at most 10"):
        frames.encode({"key": "much too long"}, 10)


@pytest.mark.parametrize("value", [b"[],", b"{},", b"0,", b'"",', b"[0,[]],"])
def test_more_values_than_any_payload_has_are_refused_before_they_are_made(
    value: bytes,
) -> None:
    many = b"[" + value * (jsontext.MOST_VALUES // value.count(b",") + 1) + b"0]"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than 1179648 values"):
            jsontext.strict(many)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(many)


def test_what_stands_in_texts_is_not_counted_as_values() -> None:
    text = '[{,\\"' * (jsontext.MOST_VALUES // 3 + 1)
    assert jsontext.strict(jsontext.canonical({"a": text, "b": [text]})) == {
        "a": text,
        "b": [text],
    }


def test_depth() -> None:
    assert frames.decode(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}")
    with pytest.raises(frames.BadFrame):
        frames.decode(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}")
