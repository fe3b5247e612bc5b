"""`oberonc parse`: each reference underlined, with its action and rule; a history
summed up.
"""

import json

from click.testing import CliRunner, Result

from oberonc.commands.parse import BATCH, command
from oberonc.grammar.message import find_references
from tests.support.command import Command
from tests.support.repo import Repo


def parse(*args: str, stdin: str | bytes = "") -> Result:
    result = CliRunner().invoke(command, args, input=stdin)
    assert result.exit_code == 0, result.output
    return result


def test_a_reference_is_underlined_with_its_action_and_the_rule() -> None:
    result = parse(stdin="great, all done,\tfixes #42 @1h30\n")
    assert result.stdout.splitlines() == [
        "  great, all done, fixes #42 @1h30",
        "                         ^^^ close #42, 1:30 h  ('fixes')",
    ]


def test_near_misses_and_warnings_are_shown() -> None:
    out = parse(stdin="see `fixes #1`, pr #3\nfixes #5-#6").stdout
    assert "^^^^^^^^ not read: 'fixes #1' is dead: code" in out
    assert "^^ not read: 'pr' makes it something else than an issue" in out
    assert "^^ warning: a range is not expanded" in out


def test_a_message_without_references_says_so() -> None:
    assert parse(stdin="nothing here").stdout == "no references\n"


def test_json_is_a_list_with_the_fields_of_a_reference() -> None:
    text = "fixes o/r#42 @2h, see #3"
    found = json.loads(parse("--json", stdin=text).stdout)
    assert [list(each) for each in found] == [
        ["action", "repository", "key", "issue", "start", "end", "time", "why"],
    ] * 2
    assert [tuple(each.values()) for each in found] == [
        tuple(each)[:8] for each in find_references(text)
    ]
    assert json.loads(parse("--json", stdin="").stdout) == []


def test_the_words_of_a_kind_and_keys() -> None:
    out = parse(
        "--words", "jira", "--key", "PROJ", "--key", "AB", stdin="fixes PROJ-1, AB-2"
    ).stdout
    assert "close PROJ-1" in out
    assert "close AB-2" in out


def test_hostile_text_is_shown_not_obeyed() -> None:
    out = parse(stdin="\x1b[31m fixes #1 \u202e\x07\n").stdout
    assert "\x1b" not in out
    assert "\\x1b[31m fixes #1 \\u202e\\x07" in out
    assert out.splitlines()[1].index("^") == out.splitlines()[0].index("#1")


def test_bytes_that_are_no_text_are_read_all_the_same() -> None:
    assert "close #1" in parse(stdin=b"caf\xe9 fixes #1").stdout


def test_a_commits_message(repo: Repo, oberonc: Command) -> None:
    repo.commit("Mend the café, fixes #7")
    assert "close #7" in oberonc("parse", "--rev", "HEAD", cwd=repo.path).out
    assert (
        oberonc("parse", "--rev", "HEAD", "--json", cwd=repo.path).json[0]["issue"]
        == "7"
    )


def test_a_history_is_summed_up(repo: Repo, oberonc: Command) -> None:
    for message in (
        "start",
        "fixes #1",
        "fixes #2, #3\n\nsee `#9`",
        "does not fix #4",
        "Update (#5)",
    ):
        repo.commit(message)
    done = oberonc("parse", "--log", "HEAD", "--json", cwd=repo.path)
    summary = done.json
    assert (summary["commits"], summary["commits_with_references"]) == (5, 4)
    assert summary["actions"] == {"close": 3, "mention": 1, "reference": 1}
    assert summary["rules"]["close: 'fixes'"] == 3
    assert summary["near_misses"] == 1
    assert summary["samples"]["mention"][0]["line"] == "Update (#5)"
    assert done.err == ""
    shown = oberonc("parse", "--log", "HEAD~1..HEAD", cwd=repo.path).out
    assert "1 commit, 1 with references" in shown
    assert "mention #5: Update (#5)" in shown


def test_a_history_lists_what_was_refused_and_why(repo: Repo, oberonc: Command) -> None:
    for message in (
        "fixes #1",
        "does not fix #2",
        "closes #3 (partial)",
        "run `fixes #4`",
        "see #5, `#6`",
        "say 'it fixes #7'",
    ):
        repo.commit(message)
    refused = oberonc("parse", "--log", "HEAD", "--json", cwd=repo.path).json["refused"]
    assert {each["reference"]: (each["wanted"], each["why"]) for each in refused} == {
        "#2": ("close", "'fix': negated by 'not'"),
        "#3": ("close", "'closes': only 'partial'"),
        "fixes #4": ("close", "'fixes #4' is dead: code"),
        "#7": ("close", "'fixes' is quoted"),
    }
    assert all(
        set(each) == {"commit", "wanted", "reference", "why", "line"}
        for each in refused
    )
    shown = oberonc("parse", "--log", "HEAD", cwd=repo.path).out
    assert "refused, though a verb asks for it: 4" in shown
    assert "close #2: does not fix #2  ('fix': negated by 'not')" in shown
    assert "refused" not in oberonc("parse", "--log", "HEAD~5", cwd=repo.path).out


def test_a_history_longer_than_one_batch_is_read_whole(
    repo: Repo, oberonc: Command
) -> None:
    script = "".join(
        f"commit refs/heads/long\ncommitter A <a@example.org> {1_700_000_000 + n} +0000\ndata <<E\nfixes #{n}\nE\n"
        for n in range(1, BATCH + 11)
    )
    (repo.path / "stream").write_text(script)
    repo.sh("git fast-import --quiet < stream")
    summary = oberonc("parse", "--log", "long", "--json", cwd=repo.path).json
    assert summary["actions"] == {"close": BATCH + 10}


def test_what_cannot_be_read_is_one_line_and_its_exit_code(
    repo: Repo, oberonc: Command
) -> None:
    repo.commit("one")
    for code, args in (
        (65, ("--rev", "nowhere")),
        (65, ("--rev", "--all")),
        (65, ("--log", "nowhere..HEAD")),
        (65, ("--log", "--output=x")),
        (2, ("--words", "githb")),
        (2, ("--key", "proj")),
        (2, ("--rev", "HEAD", "--log", "HEAD")),
    ):
        done = oberonc("parse", *args, code=code, cwd=repo.path)
        assert done.out == ""
        assert len(done.err.splitlines()) == 1
    assert not (repo.path / "x").exists()


def test_a_place_that_is_no_repository(oberonc: Command, repo: Repo) -> None:
    outside = repo.path.parent
    assert (
        "is not in a git repository"
        in oberonc("parse", "--rev", "HEAD", code=65, cwd=outside).err
    )
