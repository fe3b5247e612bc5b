"""Text that is not ours steers nothing."""

import unicodedata

import pytest

from oberonc.text import nearest, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\rb", "a\\x0db"),
        ("a\r\nb", "a\nb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\x9b31m", "\\x9b31m"),
        ("\x7f\x00", "\\x7f\\x00"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("tab\tline\n", "tab\tline\n"),
        ("naïve 日本 🙂", "naïve 日本 🙂"),
    ],
)
def test_what_would_steer_a_terminal_is_shown_instead(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_no_character_of_a_steering_class_passes() -> None:
    for code in range(0x110000):
        if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp"):
            assert visible(chr(code)) != chr(code) or chr(code) in "\n\t", hex(code)
        if unicodedata.bidirectional(chr(code)) in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        ):
            assert visible(chr(code)) != chr(code), hex(code)


def test_visible_text_is_left_alone_the_second_time() -> None:
    once = visible("\x1b\u202e\udc80 fine")
    assert visible(once) == once


def test_one_line_is_one_line_of_the_length_that_was_asked_for() -> None:
    assert one_line("a\n\n  b\t\x1b") == "a b \\x1b"
    assert one_line("x" * 1000, 10) == "xxxxxxxxx…"
    assert len(one_line("\x1b" * 1000, 10)) == 10


def test_the_nearest_word_is_offered_only_when_it_is_near() -> None:
    assert nearest("delivry", ["delivery", "state"]) == "; did you mean 'delivery'?"
    assert nearest("zzz", ["delivery"]) == ""
