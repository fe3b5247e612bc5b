"""Frames: what goes in comes out, and nothing but `BadFrame` comes of anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc import wire

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_what_is_encoded_is_decoded(value: dict[str, object]) -> None:
    frame = wire.encode(value)
    length = wire.body_length(frame[: wire.HEADER.size])
    assert length == len(frame) - wire.HEADER.size
    assert wire.decode(frame[wire.HEADER.size :]) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_bad_frame(raw: bytes) -> None:
    try:
        assert isinstance(wire.decode(raw), dict)
    except wire.BadFrame as fault:
        assert fault.kind == "invalid"


@given(st.binary(min_size=8, max_size=8))
def test_any_header_is_a_length_within_the_limit_or_a_bad_frame(raw: bytes) -> None:
    try:
        assert 0 <= wire.body_length(raw, 1000) <= 1000
    except wire.BadFrame as fault:
        assert fault.kind in ("invalid", "version", "too_large")


def test_a_frame_that_is_too_large_is_not_made() -> None:
    with pytest.raises(wire.BadFrame, match="at most 10"):
        wire.encode({"key": "much too long"}, 10)


def test_depth() -> None:
    assert wire.decode(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}")
    with pytest.raises(wire.BadFrame):
        wire.decode(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}")
