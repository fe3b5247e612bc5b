"""Foreign text is dead in every markup, whatever it says."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from oberonc.kit.markup import BREAK, FLAVOURS, MARKUPS, plain_text, safe_url

#: What people write into commits to be noticed, followed or to break out.
HOSTILE = [
    "@everyone @here @channel @ann",
    "<!channel> <!here> <@U0123> <#C01|general> <@&99>",
    "[x](javascript:alert(1)) ![i](http://evil.example/i.png) <javascript:x>",
    "http://evil.example https://evil.example www.evil.example mailto:a@b.example",
    "<b>bold</b><script>alert(1)</script>&amp;&#64;",
    "*bold* _it_ ~~no~~ ||spoiler|| `code` ```\nfence\n```",
    "# head\n> quote\n- list\n1. one\n| a | b |\n|---|---|",
    "\u202eevil\u202c \u2066x\u2069 \u200f",
    "\x1b[31mred\x1b[0m \x07 \x00 \x02bold\x0304red",
    "PRIVMSG #x :y\r\nQUIT :bye",
    "\ud800 lone",
    "שלום עולם",
    ":smile: <:custom:123> <t:1618953630>",
    "\\*already\\* \\\\",
    "x" * 65536,
]
foreign = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(alphabet="@<>[]()*_~`#!|\\&:./\n -+=wh t1.:ae", max_size=60),
    st.text(max_size=60),
)


@pytest.mark.parametrize("name", MARKUPS)
@given(text=foreign)
def test_no_markup_lets_controls_or_mentions_through(name: str, text: str) -> None:
    written = MARKUPS[name].dead(text)
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", written
    )
    written.encode()
    if name != "plain":
        assert not re.search(r"@(?!\u200b)", re.sub(r"\\(?=\u200b)", "", written))


@given(text=foreign)
def test_markdown_reads_as_the_text_itself(text: str) -> None:
    """By a real parser: nothing but paragraphs and text comes out of it."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    written = "x " + MARKUPS["markdown"].dead(text.replace("\n", " "))
    kinds = {
        inner.type
        for token in reader.parse(written)
        for inner in [token, *(token.children or [])]
    }
    assert kinds <= {
        "paragraph_open",
        "paragraph_close",
        "inline",
        "text",
        "text_special",
        "softbreak",
    }


@given(text=foreign)
def test_a_quote_in_markdown_reads_as_the_text_itself(text: str) -> None:
    """By the real parser: one block quote with one block of code in it."""
    said = plain_text(f"said: {text}")
    written = f"Closed by commit:\n\n{FLAVOURS['markdown'].quote(said)}\n"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(written)
    assert [token.type for token in tokens] == [
        *("paragraph_open", "inline", "paragraph_close"),
        *("blockquote_open", "code_block", "blockquote_close"),
    ]
    code = tokens[4].content.replace(BREAK, "")
    assert code.split() == said.replace(BREAK, "").split()


@given(text=foreign, name=st.sampled_from(["discord", "post", "quiet", "irc"]))
def test_no_address_and_no_sign_of_a_chat_s_own_acts(name: str, text: str) -> None:
    """What each turns into something stands behind a backslash, or is broken up."""
    written = MARKUPS[name].dead(text)
    assert not re.search(r"(?i)\b(https?|javascript|mailto|www)[:.]\S", written)
    if name == "discord":
        assert not re.search(r"(?<!\\)(\\\\)*[*_~|>#\[\]()`<]", written)
    if name == "post":
        assert not re.search(r"[#$!]\w|\w\.[^\W\d_]{2}", written)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(text=foreign)
def test_html_reads_as_the_text_itself(text: str) -> None:
    reader = _Reader()
    reader.feed(MARKUPS["html"].link(text, "https://git.example.org/a?b=1&c=2"))
    reader.close()
    assert reader.tags == [("a", {"href": "https://git.example.org/a?b=1&c=2"})]


@given(text=foreign)
def test_slack_finds_no_link_mention_or_format(text: str) -> None:
    """By Slack's rule: whatever stands between < and > acts, and so do pairs of * _ ~ `
    at the edges of words.
    """
    written = MARKUPS["slack"].dead(text)
    assert "<" not in written
    assert ">" not in written
    assert not re.search(r"(?<!\u200b)[*_~`]|[*_~`](?!\u200b)", written)


@given(text=foreign)
def test_irc_gets_one_line(text: str) -> None:
    assert MARKUPS["irc"].dead(" pushed ") == " pushed ", "a part of a line"
    written = MARKUPS["irc"].dead(text)
    assert "\n" not in written
    assert "\r" not in written


@pytest.mark.parametrize("name", MARKUPS)
def test_links_of_ours_lead_where_they_say(name: str) -> None:
    url = "https://git.example.org/web/shop/commit/1f2e3d4c"
    assert url in MARKUPS[name].link("1f2e3d4c", url)
    assert "git.example.org" not in MARKUPS[name].link("1f2e3d4c", "")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://a.example/ x",
        "https://a.example/)",
        "https://a.example/>",
        'https://a.example/"',
        "https://a.example/|x",
        "https://a.example/\u202e",
        "ftp://a.example/",
        "https://a.example/" + "x" * 2000,
        "",
    ],
)
def test_addresses_that_could_end_a_link_are_left_out(url: str) -> None:
    assert safe_url(url) == ""


def test_what_breaks_words_up_cannot_be_seen() -> None:
    assert BREAK == "\u200b"


@pytest.mark.parametrize("name", MARKUPS)
def test_marks_that_are_heaped_upon_a_letter_stay_in_their_line(name: str) -> None:
    heap = "\u0301\u0489\u0335\u1dc4" * 50
    dead = MARKUPS[name].dead(f"Z{heap}algo{heap} Tie\u0302\u0301ng")
    assert not re.search("[\u0300-\u036f\u0489\u1dc4]{5}", dead)
    assert "Tie\u0302\u0301ng" in dead
