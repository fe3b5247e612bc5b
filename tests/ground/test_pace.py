"""Lengths of time and rates, as a configuration has them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc import config, pace


@pytest.mark.parametrize(
    ("text", "length"),
    [("30s", 30), ("5m", 300), ("6h", 21_600), ("2d", 172_800), ("1w", 604_800)],
)
def test_a_length_of_time_is_a_number_and_a_unit(text: str, length: int) -> None:
    assert pace.seconds(text) == length


@pytest.mark.parametrize(
    "text", ["", "5", "m", "-5m", "1.5h", "5 m", "5m ", "٣m", "5M"]
)
def test_anything_else_is_none(text: str) -> None:
    assert pace.seconds(text) is None


@pytest.mark.parametrize(
    ("text", "length"), [("1/s", 1), ("30/m", 2), ("100/h", 36), ("500/d", 172.8)]
)
def test_a_rate_is_the_time_from_one_to_the_next(text: str, length: float) -> None:
    assert pace.spacing(text) == length


@pytest.mark.parametrize(
    "text", ["", "1", "/s", "0/s", "1001/s", "1/w", "1 / s", "-1/s"]
)
def test_what_is_no_rate_is_none(text: str) -> None:
    assert pace.spacing(text) is None


@given(st.text(max_size=20))
def test_no_text_at_all_makes_them_fail(text: str) -> None:
    length, apart = pace.seconds(text), pace.spacing(text)
    assert length is None or length >= 0
    assert apart is None or 0.001 <= apart <= 86_400


def test_a_service_has_them_in_seconds(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        "[services.chat]\nbroker = 'slack'\nrate = '30/m'\nmax_age = '6h'\ncollapse = 'ref'\ndigest = '5m'\n"
    )
    chat = config.load(str(file)).services["chat"]
    assert (chat.rate, chat.max_age, chat.collapse, chat.digest) == (
        2,
        21_600,
        "ref",
        300,
    )
    assert chat.settings == {}
