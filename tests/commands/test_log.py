"""`oberonc log`: every run, decision and outcome, by event and by commit."""

from pathlib import Path

from oberonc import repository
from tests.support.admin import Admin
from tests.support.command import Command
from tests.support.repo import Repo


def test_a_push_is_found_by_event_and_commit_with_each_services_reason(
    admin: Admin, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    admin.handle("rec", "return 'noted'")
    admin.configure(
        "[services.yes]\nbroker = 'rec'\n[services.no]\nbroker = 'rec'\nrefs = ['release/*']\n"
        "[services.gone]\nbroker = 'none'\n"
    )
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    oid = work.commit("a change")
    event = work.push("main").split("(")[-1][:8]
    said = oberonc("log", event).out
    assert oberonc("log", oid[:10]).out == said
    assert oberonc("log", oid.upper()).out == said
    lines = said.splitlines()
    own = repository.submitter()
    account = f"{own['name'] or 'an account without a name'} (uid {own['uid']})"
    assert lines[0].split(" ", 1)[1] == f"{event} push shop refs/heads/main (1 commits, here, from {account})"
    assert lines[1].startswith("  yes: done, attempt 1, ")
    assert lines[1].endswith(" ms: noted")
    assert lines[2] == "  no: nothing: no ref of the push is in `refs`"
    assert lines[3].startswith("  gone: retry, ")
    [record] = oberonc("log", event, "--json").json
    assert record["commits"] == [oid]
    assert record["services"]["no"] == {"why": "no ref of the push is in `refs`"}


def test_without_a_key_the_latest_runs_are_shown(admin: Admin, repo: Repo, oberonc: Command) -> None:
    assert oberonc("log").out == ""
    assert oberonc("log", "--json").json == []
    admin.configure("[services]")
    for n in range(3):
        oberonc("send", "--message", f"m{n}", cwd=repo.path)
    assert len(oberonc("log").out.splitlines()) == 3
    assert len(oberonc("log", "--json").json) == 3


def test_an_id_that_is_none_or_unknown_is_one_line(oberonc: Command) -> None:
    for key in ("abc", "xyz1", "../..", "--"):
        assert "is not an id" in oberonc("log", "--", key, code=65).err
    assert "no push or commit beginning with 'abcd'" in oberonc("log", "abcd", code=65).err


def test_a_log_that_cannot_be_read_is_exit_77(state: Path, oberonc: Command) -> None:
    (state / "log" / "2026-01-01.jsonl").mkdir(parents=True)
    assert "cannot read the log" in oberonc("log", code=77).err


def test_each_commit_of_a_push_that_no_service_wanted_is_found_with_its_repository(
    bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    oberonc("hook", "install", bare.path)
    bare.git("config", "oberonc.service", "nobody")
    work = bare.clone(tmp_path / "work")
    before = work.commit("before")
    work.push("main")
    first, _second = work.commit("first"), work.commit("second")
    work.push("main")
    said = oberonc("log", first[:10], "--json").json
    assert [(entry["via"], entry["updates"][0]["old"]) for entry in said] == [("nowhere", before)]
    assert "oberonc.service" in oberonc("log", first).out
    bare.path.rename(tmp_path / "gone")
    oberonc("log", first, code=65)
