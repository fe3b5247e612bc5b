"""Dead text: code, quotes, comments, commits. And what looks like it and is alive."""

import pytest

from oberonc.grammar.masks import mask
from oberonc.grammar.message import find_references, scan
from tests.grammar.brief import brief

DEAD = {
    "a fence": "```\nfixes #1\n```",
    "a fence with a language": "```python\nfixes #1\n```",
    "a fence closed by a longer run": "```\nfixes #1\n`````",
    "a tilde fence": "~~~\nfixes #1\n~~~",
    "an indented fence": "  ```\n  fixes #1\n  ```",
    "a fence in a fence": "````\n```\nfixes #1\n```\n````",
    "a fence closed at the end of a line": "```\nThis is code.\n#1 fixes #1```",
    "a code span": "see `fixes #1` there",
    "a code span of two": "``fixes `#1` ``",
    "a code span over two lines": "`fixes\n#1`",
    "code": "<code>fixes #1</code>",
    "code in code": "<code>a <code>b</code> fixes #1</code>",
    "pre": "<PRE class='x'>\n\nfixes #1\n</PRE>",
    "code in pre": "<pre><code>fixes #1</code> fixes #1</pre>",
    "an HTML comment": "<!-- fixes #1\n\n fixes #1 -->",
    "a quoted line": "> fixes #1",
    "an indented quoted line": "  > fixes #1",
    "a quote in a quote": ">> fixes #1",
    "a link's target": "[see](#1)",
    "a commit of the kernel's kind": 'Fixes: 0123456789ab ("x: fixes #1")',
    "an all-digit commit": "fixes: 1234567 fixes #1",
    "a whole commit id": f"Fixes: {'a1' * 20} #1",
    "a commit with the word": "Fixes: commit 536a38582a2d92da84f82d850e22f581b00d2082 #1",
    "a commit of the kernel's kind in a list": "- Fixes: 0123456789ab (closes #1)",
    "the subject of a merge": "Merge branch 'fixes #1' into main",
    "quoted HTML": "<blockquote>\n<li>fixes #1</li>\n\n<p>Closes #1</p></blockquote>",
    "quoted HTML in capitals": "<BLOCKQUOTE cite='x'>fixes #1</BLOCKQUOTE>",
    "a quotation in a quotation": "<blockquote><blockquote>a</blockquote> fixes #1</blockquote>",
    "quoted HTML in details": "<details>\n<summary>Notes</summary>\n<blockquote>\nCloses #1\n</blockquote>\n</details>",
    "a short quotation": "the author says <q>fixes #1</q>",
    "a quotation over attributes and lines": '<blockquote class="a"\n id="b">\nfixes #1\n</blockquote>',
    "struck-out HTML": "<del>fixes #1</del>",
}


@pytest.mark.parametrize("text", DEAD.values(), ids=DEAD)
def test_dead(text: str) -> None:
    assert brief(text) == ""
    assert "#1" in text


@pytest.mark.parametrize("text", DEAD.values(), ids=DEAD)
def test_what_follows_dead_text_is_alive(text: str) -> None:
    assert brief(f"{text}\n\nfixes #2") == "close #2"


ALIVE = {
    "a fence never closed": "```\nfixes #1",
    "a fence closed by a shorter run": "````\nfixes #1\n```",
    "a back-tick never closed": "a ` b, fixes #1",
    "runs of different length": "` fixes #1 ``",
    "back-ticks in two paragraphs": "a ` fixes #1\n\nb `",
    "an escaped back-tick": "\\` fixes #1 \\`",
    "code never closed": "<code> fixes #1",
    "a comment never closed": "<!-- fixes #1",
    "indented text": "        Closes: #1",
    "a list in a squash": "    * fixes #1",
    "a greater-than sign inside a line": "a > b, fixes #1",
    "a tag in a code span": "`<code>` fixes #1 </code>",
    "a quotation never closed": "<blockquote> fixes #1",
    "a quotation that is over": "<blockquote>a</blockquote> fixes #1",
    "a tag that only begins alike": "<blockquotes> fixes #1 </blockquotes>",
    "a tag's name in words": "escape blockquote tags, fixes #1",
    "a closing tag alone": "</blockquote> fixes #1",
    "a tag in a list": "- drop `<blockquote>`\n- fixes #1",
    "a back-tick for an apostrophe": "don`t crash, fixes #1, see `foo`",
    "a stray back-tick before code": "a ` stray, fixes #1 and `code` here",
    "code that lost its end": "`foo is broken, fixes #1 and `bar`",
    "text that begins like a merge": "Merge fixes: fixes #1",
}


@pytest.mark.parametrize("text", ALIVE.values(), ids=ALIVE)
def test_alive(text: str) -> None:
    assert brief(text) == "close #1"


def test_code_between_a_verb_and_its_reference_parts_them() -> None:
    assert brief("fixes `x` #1") == "mention #1"
    assert brief("`fixes` #1") == "mention #1"


def test_a_blank_line_in_dead_text_parts_what_is_around_it_in_every_line_ending() -> (
    None
):
    text = "a ```\n```\np\n\n```\nfixes #1 ```\n"
    assert brief(text) == brief(text.replace("\n", "\r\n")) == "close #1"


def test_masking_keeps_every_place_and_every_line() -> None:
    text = "a `b\nc` d\n> e\nf <!-- \n -->"
    live = mask(text).live
    assert len(live) == len(text)
    assert [n for n, char in enumerate(live) if char == "\n"] == [
        n for n, char in enumerate(text) if char == "\n"
    ]
    assert live.replace("\0", "").split() == ["a", "d", "f"]


def test_dead_references_are_near_misses_with_a_reason() -> None:
    found = scan("```\nfixes #1\n```\n> #2\nfixes #3")
    assert [note.text for note in found.near_misses] == [
        "'fixes #1' is dead: a code block",
        "'#2' is dead: a quoted line",
    ]
    assert [reference.issue for reference in find_references("fixes #3")] == ["3"]
