"""Comments: what they say, and that nothing of a commit's text acts in any markup."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc.issues.comment import (
    TEMPLATE,
    check_template,
    make_comment,
    make_parts,
)
from oberonc.issues.tasks import Issue, Task
from oberonc.issues.trackers.jira import document
from oberonc.kit.markup import FLAVOURS, plain_name, safe_url
from oberonc.testing.world import commit, payload

KEY = "0123456789abcdef" * 2


def said(
    flavour: str,
    text: str = "fixes #1",
    template: str = TEMPLATE,
    action: str = "close",
    **more: Any,
) -> str:
    entry = commit(text, **more)
    task = Task(Issue("octo/hello", "1", "#1"), entry, action, 0, "")
    return make_comment(
        make_parts(task, payload(entry), template), task, FLAVOURS[flavour], KEY
    ).text


def test_it_says_who_what_and_which_commit() -> None:
    text = said("markdown")
    assert text.startswith(
        "Closed by commit [356a192b7913](https://git.example.org/octo/hello/commit/356a192b"
    )
    assert "of octo/hello, written by Ann Example:" in text
    assert ">     fixes #1" in text
    assert text.endswith(f"<!-- oberonc:{KEY} -->")


def test_a_message_without_a_commit_names_its_author_alone() -> None:
    nowhere = {"raw_node": "0" * 40, "node": "0" * 12, "url": ""}
    text = said("plain", **nowhere)
    assert text.startswith(
        "Closed by a commit message of octo/hello, written by Ann Example:"
    )
    assert "000000000000" not in text
    assert f"oberonc:{KEY}" in text


@pytest.mark.parametrize(
    ("action", "head"),
    [
        ("reference", "Referenced by"),
        ("reopen", "Reopened by"),
        ("wontfix", "Closed as wontfix by"),
        ("close", "Closed by"),
    ],
)
def test_the_action_leads(action: str, head: str) -> None:
    assert said("plain", action=action).startswith(head)


def test_what_cannot_be_hidden_is_the_commits_id() -> None:
    for flavour in ("plain", "jira", "markdown-visible"):
        assert "356a192b7913" in said(flavour, template="done")
        assert KEY not in said(flavour)


def test_a_template_changes_the_words_and_not_the_neutralising() -> None:
    text = said(
        "markdown",
        "@all\n/close",
        template="${author}: $$5 ${message} on ${branch}",
        author="@root `x`",
    )
    assert text.startswith("root x: $5 \n>     @\u200ball\n>     /close\n on main")


def test_a_field_there_is_not_is_said() -> None:
    check_template(TEMPLATE)
    with pytest.raises(
        ValueError, match=r"there is no \$\{sha\}; there are action, commit"
    ):
        check_template("${sha}")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Ann O'Neill-Jr.", "Ann O'Neill-Jr."),
        ("Zoë 猫", "Zoë 猫"),
        ("@all [x](y) `z` <b> #12 !3", "all x y z b 12 3"),
        ("/close", "close"),
        ("www.evil.example http://x", "www evil example http x"),
        ("", "someone"),
        ("\u202e\n\x1b[1m", "u202e x1b 1m"),
    ],
)
def test_names_lose_all_that_could_act(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    "url",
    [
        "javascript:1",
        "https://x/ y",
        "https://x/)",
        "http://x/>",
        "ftp://x",
        "//x",
        "https://x/\n",
    ],
)
def test_an_address_that_could_break_out_is_left_away(url: str) -> None:
    assert safe_url(url) == ""


HOSTILE = st.lists(
    st.sampled_from(
        [
            *(
                "@all",
                "@everyone",
                "/close",
                "\n/close\n",
                "\r/spend 3h",
                "`",
                "```",
                "\n```\n",
                "````",
                "~~~",
                ">",
                "<!--",
            ),
            *(
                "-->",
                "</pre>",
                "<pre>",
                "<script>",
                "{{{",
                "}}}",
                "\n}}}\n",
                "#!html",
                "{noformat}",
                "{code}",
                "[~admin]",
            ),
            *(
                "{{macro}}",
                "!{{x}}",
                "\u2028/close",
                "\x85/close",
                "\x0b/close",
                "\x0c/close",
                "\u200b",
                "\u202e",
                "\x1b[2J",
            ),
            *("#12", "fixes #3", " ", "\n", "x", "é", "\x00", "\ud800"),
        ]
    ),
    max_size=20,
).map("".join)


@given(HOSTILE, HOSTILE)
def test_no_text_leaves_its_place_in_markdown(text: str, name: str) -> None:
    shown = said("markdown", text, template="${author}\n${message}", author=name)
    head, _, *quote = shown.removesuffix(f"\n\n<!-- oberonc:{KEY} -->").split("\n")
    assert not re.search(r"(^|\s)/|[@<>#!\[\]{}]", head)
    assert all(line == ">" or line.startswith(">     ") for line in quote)
    assert not re.search("```|~~~", shown)
    assert not re.search(r"@\w", shown)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]", shown
    )


@given(HOSTILE)
def test_no_text_leaves_its_place_in_textile_trac_and_jira(text: str) -> None:
    textile = said("textile", text, template="${message}").rpartition("\n\n<!--")[0]
    assert re.findall(r"<[\w/!]+|\{\{", textile) == ["<pre", "</pre"]
    trac = said("trac", text, template="${message}").rpartition("\n\n{{{#!comment")[0]
    assert (trac.count("{{{"), trac.count("}}}"), trac.strip("\n").split("\n")[1]) == (
        1,
        1,
        "#!text",
    )
    jira = said("jira", text, template="${message}")
    assert re.findall(r"\{\w+\}|\[~", jira) == ["{noformat}", "{noformat}"]
    assert not re.search(r"@\w", textile + trac + jira)


@given(HOSTILE, HOSTILE)
def test_a_document_has_the_text_as_text(text: str, name: str) -> None:
    entry = commit(text, author=name)
    task = Task(Issue("P", "P-1", "P-1"), entry, "close", 0, "")
    made = document(make_parts(task, payload(entry), TEMPLATE))
    kinds = {node["type"] for block in made["content"] for node in block["content"]}
    assert kinds == {"text"}
    assert [block["type"] for block in made["content"]] == ["paragraph", "codeBlock"]
    json.dumps(made).encode("ascii")
    assert all(node["text"] for block in made["content"] for node in block["content"])


def test_lines_of_a_template_are_lines_of_a_document() -> None:
    entry = commit("fixes #1")
    task = Task(Issue("P", "P-1", "P-1"), entry, "close", 0, "")
    made = document(
        make_parts(task, payload(entry), "one\ntwo ${author}\n${message}\nthree\n")
    )
    assert [
        [node.get("text") for node in block["content"]] for block in made["content"]
    ] == [
        ["one", None, "two ", "Ann Example"],
        ["fixes #1"],
        ["three"],
    ]


def test_a_very_long_message_is_cut() -> None:
    text = said("markdown", "word " * 300_000)
    assert len(text) < 10_000
    assert "[...] 1492000 more characters" in text


@pytest.mark.parametrize(
    ("flavour", "name", "shown"),
    [
        ("markdown", "Ann Example", "Ann Example"),
        ("markdown", "octo/hello", "octo/hello"),
        ("markdown", "GH-1", "`GH-1`"),
        ("trac", "CamelCase '''b''' r1", "`CamelCase '''b''' r1`"),
        ("trac", "J. Doe", "`J. Doe`"),
        ("textile", "-x- r1", "<code>-x- r1</code>"),
        ("plain", "issue1, bug 2", "issue\u200b1, bug \u200b2"),
        ("jira", "-x- PROJ-1 h1. y", "\u2011x\u2011 PROJ\u20111 h\u200b1\u200b. y"),
    ],
)
def test_a_name_is_written_so_that_the_tracker_sees_words_alone(
    flavour: str, name: str, shown: str
) -> None:
    for template in ("by ${author}: ${message}", "on ${branch}: ${message}"):
        text = said(flavour, template=template, author=name, branch=name)
        assert text[3:].startswith(f"{shown}:"), text
