"""`oberonc send`: a message, commits or a payload, and what would become of it."""

import json
from pathlib import Path

import pytest

from tests.support.admin import Admin, sample
from tests.support.command import Command
from tests.support.repo import Repo


@pytest.fixture(autouse=True)
def recorder(admin: Admin) -> None:
    """One service that writes down what it gets."""
    text = "open(DONE, 'a').write(payload['commits'][0]['message'].strip() + '\\n')\nreturn 'noted'"
    admin.handle(
        "rec",
        text,
        "def plan(self, payload):\n    return ['would note ' + payload['commits'][0]['message'].strip()]",
    )
    admin.configure(
        "[services.one]\nbroker = 'rec'\n[services.two]\nbroker = 'rec'\nrepositories = ['other/*']"
    )


def test_a_message_comes_from_stdin_or_the_option(
    admin: Admin, repo: Repo, oberonc: Command
) -> None:
    assert oberonc("send", stdin="from stdin\n", cwd=repo.path).out.startswith(
        "one: noted ("
    )
    oberonc("send", "--message", "from the option", cwd=repo.path)
    assert admin.lines() == ["from stdin", "from the option"]


def test_commits_come_by_revision_or_range(
    admin: Admin, repo: Repo, oberonc: Command
) -> None:
    for name in ("a", "b", "c"):
        repo.commit(name)
    oberonc("send", "--rev", "HEAD~1", cwd=repo.path)
    oberonc("send", "--rev", "HEAD~2..HEAD", cwd=repo.path)
    assert admin.lines() == ["b", "b"]
    assert "nosuch" in oberonc("send", "--rev", "nosuch", cwd=repo.path, code=65).err
    assert (
        oberonc("send", "--rev", "--all", cwd=repo.path, code=65).err.count("\n") == 1
    )


def test_a_payload_comes_from_a_file_or_stdin(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(sample()))
    oberonc("send", "--payload", file)
    said = oberonc("send", "--payload", "-", "--json", stdin=json.dumps(sample())).json
    assert said["services"]["one"]["note"] == "noted"
    assert "is not in `repositories`" in said["services"]["two"]["why"]
    assert len(admin.lines()) == 2


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is not JSON"),
        (b"{}", "is not a payload of schema 1"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"schema": 1, "schema": 1}', "given twice"),
        (b"\xff", "is not JSON"),
        (json.dumps(sample(schema=2)).encode(), "'schema' is 2, not 1"),
    ],
    # a sample's own text differs in each process
    ids=["empty", "no keys", "deep", "twice", "no text", "schema 2"],
)
def test_what_is_no_payload_is_one_line(
    oberonc: Command, raw: bytes, said: str
) -> None:
    done = oberonc("send", "--payload", "-", stdin=raw, code=65)
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_payload_file_that_cannot_be_read_is_named(
    oberonc: Command, tmp_path: Path
) -> None:
    assert (
        "No such file" in oberonc("send", "--payload", tmp_path / "none", code=65).err
    )
    assert "Is a directory" in oberonc("send", "--payload", tmp_path, code=65).err
    assert "larger than" in oberonc("send", "--payload", "/dev/zero", code=65).err


def test_dry_run_shows_payload_and_reasons_and_changes_nothing(
    admin: Admin, repo: Repo, oberonc: Command
) -> None:
    oid = repo.commit("a change")
    said = oberonc("send", "--rev", "HEAD", "--dry-run", cwd=repo.path)
    assert said.json["commits"][0]["raw_node"] == oid
    assert "one: would get this: matches\n  would note a change" in said.err
    assert "two: nothing: repository app is not in `repositories`" in said.err
    rows = oberonc("send", "--rev", "HEAD", "--dry-run", "--json", cwd=repo.path).json[
        "services"
    ]
    assert rows["one"] == {
        "matches": True,
        "why": "matches",
        "plan": ["would note a change"],
    }
    assert not admin.state.exists()
    assert admin.lines() == []


def test_what_contradicts_itself_is_a_usage_error(
    oberonc: Command, admin: Admin
) -> None:
    assert (
        "only one of" in oberonc("send", "--rev", "HEAD", "--message", "x", code=2).err
    )
    assert "only one of" in oberonc("send", "--spooled", "--payload", "-", code=2).err
    assert (
        "takes in the spool by itself"
        in oberonc("send", "--spooled", "--daemon", code=2).err
    )
    admin.configure("delivery = 'daemon'")
    assert "takes in the spool by itself" in oberonc("send", "--spooled", code=2).err
    assert "the spool is empty" in oberonc("send", "--spooled", "--here").err


def test_outside_a_repository_and_without_a_message_it_is_bad_input(
    repo: Repo, oberonc: Command, tmp_path: Path
) -> None:
    assert (
        "is not in a git repository"
        in oberonc("send", "--message", "x", cwd=tmp_path, code=65).err
    )
    assert "message is empty" in oberonc("send", cwd=repo.path, code=65).err


def test_a_failed_broker_is_exit_1_and_says_where_to_look(
    admin: Admin, repo: Repo, oberonc: Command
) -> None:
    admin.handle("rec", "raise Reject('no\\nnever')")
    said = oberonc("send", "--message", "x", cwd=repo.path, code=1)
    assert said.out.startswith("one: failed for good: no never (")
    assert "`oberonc log " in said.err
    event = said.err.split("`oberonc log ")[1][:8]
    assert "one: dead, attempt 1" in oberonc("log", event).out


def test_nothing_to_do_says_why(admin: Admin, repo: Repo, oberonc: Command) -> None:
    admin.configure("[services.two]\nbroker = 'rec'\nrepositories = ['other/*']")
    assert (
        "nothing to do: two: repository app is not in"
        in oberonc("send", "--message", "x", cwd=repo.path).out
    )
    admin.configure("[services]")
    assert (
        "no service is configured"
        in oberonc("send", "--message", "x", cwd=repo.path).out
    )
