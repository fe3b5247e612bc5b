"""`oberonc issues`, as people and programs use it."""

import json

from tests.support.admin import Admin
from tests.support.command import Command
from tests.support.repo import Repo

HERE = ("--repository", "web/shop")


def test_an_issue_from_its_opening_to_its_reopening(oberonc: Command) -> None:
    assert oberonc("issues", "new", "crash on start", *HERE).out == "#1\n"
    assert (
        oberonc("issues", "comment", "1", "seen\ttoo", *HERE).out == "commented on #1\n"
    )
    assert oberonc("issues", "close", "#1", *HERE).out == "closed #1\n"
    assert "closed" in oberonc("issues", "list", *HERE).out
    shown = json.loads(oberonc("issues", "show", "1", "--json", *HERE).out)
    assert {key: shown[key] for key in ("repository", "number", "title", "state")} == {
        "repository": "web/shop",
        "number": 1,
        "title": "crash on start",
        "state": "closed",
    }
    (comment,) = shown["comments"]
    assert set(comment) == {"author", "text", "commit", "time"}
    assert (comment["text"], comment["commit"]) == ("seen\ttoo", None)
    assert (
        json.loads(oberonc("issues", "reopen", "1", "--json", *HERE).out)["state"]
        == "open"
    )


def test_the_repository_is_the_one_one_stands_in(oberonc: Command, repo: Repo) -> None:
    made = oberonc("issues", "new", "x", "--json", cwd=repo.path)
    assert json.loads(made.out) == {"repository": "app", "number": 1}


def test_what_is_not_there_is_bad_input_in_one_line(oberonc: Command) -> None:
    for words in (
        ("show", "9"),
        ("close", "9"),
        ("reopen", "9"),
        ("comment", "9", "x"),
        ("show", "x"),
        ("new", " "),
    ):
        failed = oberonc("issues", *words, *HERE, code=65)
        assert failed.err.startswith("oberonc: ")
        assert failed.err.count("\n") == 1


def test_text_that_would_steer_the_terminal_is_shown(oberonc: Command) -> None:
    oberonc("issues", "new", "a\x1b[31mb\u202e", *HERE)
    for words in (("list",), ("show", "1")):
        said = oberonc("issues", *words, *HERE).out
        assert "\x1b" not in said
        assert "\\x1b[31mb\\u202e" in said


def test_a_comment_cannot_look_like_another_one_or_another_issue(
    oberonc: Command,
) -> None:
    oberonc("issues", "new", "one\n#99    closed  forged\ttab", *HERE)
    oberonc(
        "issues",
        "comment",
        "1",
        "first\n\nroot, 2026-01-01T00:00:00Z:\nforged\u2028line\r#2\x85x",
        *HERE,
    )
    assert len(oberonc("issues", "list", *HERE).out.splitlines()) == 1
    title, empty, head, *text = oberonc("issues", "show", "1", *HERE).out.split("\n")[
        :-1
    ]
    assert title.startswith("#1 one #99")
    assert (empty, head[-2:]) == ("", "Z:")
    assert len(text) == 4
    assert all(line.startswith("    ") for line in text)


def test_who_opens_an_issue_that_no_service_acts_on_is_told(
    admin: Admin, oberonc: Command
) -> None:
    assert oberonc("issues", "new", "x", *HERE).err == ""
    foreign = "broker = 'issues'\ntracker = 'github'\ntoken = 'env:T'\n"
    admin.configure(f"[services.hub]\n{foreign}")
    said = oberonc("issues", "new", "x", *HERE)
    assert said.out == "#2\n"
    assert said.err == (
        "oberonc: no service acts on the embedded tracker: 'hub' acts on github\n"
    )
    admin.configure(f"[services.hub]\n{foreign}[services.own]\nbroker = 'issues'\n")
    assert oberonc("issues", "new", "x", *HERE).err == ""
