"""`oberonc log`: every run, decision and outcome, by event and by commit."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from oberonc.source.frame import submitter
from tests.support.admin import PATIENT, Admin
from tests.support.command import Command
from tests.support.repo import Repo


def test_a_push_is_found_by_event_and_commit_with_each_services_reason(
    admin: Admin, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    admin.handle("rec", "return 'noted'")
    admin.configure(
        f"{PATIENT}[services.yes]\nbroker = 'rec'\n[services.no]\nbroker = 'rec'\nrefs = ['release/*']\n"
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
    own = submitter()
    account = f"{own['name'] or 'an account without a name'} (uid {own['uid']})"
    assert (
        lines[0].split(" ", 1)[1]
        == f"{event} push shop refs/heads/main (1 commit, here, from {account})"
    )
    assert lines[1].startswith("  yes: done, attempt 1, ")
    assert lines[1].endswith(" ms: noted")
    assert lines[2] == "  no: nothing: no ref of the push is in `refs`"
    assert lines[3].startswith("  gone: retry, ")
    [record] = oberonc("log", event, "--json").json
    assert record["commits"] == [oid]
    assert record["services"]["no"] == {"why": "no ref of the push is in `refs`"}


def test_the_reason_of_a_push_of_no_wanted_kind_is_told(
    admin: Admin, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    admin.handle("rec", "return ' '.join(u['name'] for u in payload['updates'])")
    admin.configure(f"{PATIENT}[services.tags]\nbroker = 'rec'\nevents = ['tag']\n")
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    oid = work.commit("a change, fixes #7")
    assert work.push("main").count("remote:") == 0
    assert "tags: nothing: nothing in the push is one of `events`" in oberonc("log").out
    assert "a change" not in oberonc("log").out
    assert "one of `events`" in oberonc("log", oid).out
    work.git("tag", "v1")
    assert "remote: oberonc: tags: v1 (" in work.push("v1")
    work.commit("another")
    work.git("tag", "v2")
    assert "remote: oberonc: tags: v2 (" in work.push("main", "v2")


def test_without_a_key_the_latest_runs_are_shown(
    admin: Admin, repo: Repo, oberonc: Command
) -> None:
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
    assert (
        "no push or commit beginning with 'abcd'" in oberonc("log", "abcd", code=65).err
    )


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
    assert [(entry["via"], entry["updates"][0]["old"]) for entry in said] == [
        ("nowhere", before)
    ]
    assert "oberonc.service" in oberonc("log", first).out
    bare.path.rename(tmp_path / "gone")
    oberonc("log", first, code=65)


def test_a_commit_that_was_cut_away_is_found_with_that_reason(
    admin: Admin, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    admin.configure("[limits]\ncommits = 2\n[services.issues]\nbroker = 'issues'\n")
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    before = work.commit("before")
    work.push("main")
    first, *_, last = [work.commit(f"step {n}, fixes #{n}") for n in range(1, 6)]
    assert "was cut" in work.push("main")
    assert "(2 commits, cut to the limits from 5, here" in oberonc("log", last).out
    said = oberonc("log", first).out
    assert "(2 commits, cut to the limits from 5, here" in said
    assert (
        f"  commit {first[:12]}, which names #1 was cut away, as the push was larger than the limits"
        in said
    )
    assert f"`oberonc send --rev {first[:12]}` sends it" in said
    assert before[:12] not in oberonc("log", "--json", first).out.replace(before, "")


def test_what_a_push_that_was_not_read_names_is_told_when_it_is_looked_up(
    admin: Admin, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    admin.configure("[services.issues]\nbroker = 'issues'\nrefs = ['main']\n")
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    oid = work.commit("fixes #2")
    work.push("main:topic")
    said = oberonc("log", oid).out
    assert (
        f"  commit {oid[:12]}, which names #2 was not read: no service could want it\n"
        in said
    )
    assert "  issues: nothing: no ref of the push is in `refs`\n" in said


@pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to make a folder somebody else's"
)
def test_a_repository_that_only_the_log_names_is_not_opened_where_it_is_somebody_elses(
    bare: Repo, oberonc: Command, tmp_path: Path, state: Path
) -> None:
    oberonc("hook", "install", bare.path)
    bare.git("config", "oberonc.service", "nobody")
    work = bare.clone(tmp_path / "work")
    oid, _ = work.commit("a change"), work.commit("another")
    work.push("main")
    assert oid in oberonc("log", oid, "--json").out
    os.chown(bare.path, 54321, 54321)
    oberonc("log", oid, code=65)
    assert oid in oberonc("log", oid, "--git-dir", work.path, "--json").out
    assert oid in oberonc("log", oid, "--json", cwd=work.path).out


def test_a_record_cannot_look_like_another(oberonc: Command, state: Path) -> None:
    (state / "log").mkdir(parents=True)
    row = {
        "outcome": "done",
        "note": "x\n2026-01-01T00:00:00Z aaaaaaaa push forged\u2028y\u202ez\x1b[2K\rw\tv",
    }
    record: dict[str, Any] = {
        "time": "t\nu",
        "id": "a" * 32,
        "via": "here",
        "event": "push",
        "repository": "r\n\ns",
        "user": "u\nv",
    }
    record |= {
        "updates": [{"ref": "refs/heads/a\nb", "old": "", "new": ""}],
        "commits": [],
    }
    (state / "log" / "2026-01-01.jsonl").write_text(
        json.dumps(record | {"services": {"one\ntwo": row}}) + "\n"
    )
    lines = oberonc("log").out.split("\n")
    assert len(lines) == 3
    assert lines[1].startswith("  one two: done")
    assert not set("\r\x1b\u2028\u202e\t") & set("".join(lines))


def test_names_of_commits_are_taken_and_the_latest_are_chosen(
    admin: Admin, repo: Repo, oberonc: Command, tmp_path: Path
) -> None:
    admin.handle("rec", "if 'bad' in str(payload['commits']): raise Reject('no')")
    admin.configure(f"{PATIENT}[services.rec]\nbroker = 'rec'\n")
    repo.commit("history")
    oberonc("hook", "install", repo.path)
    ids = [repo.commit(text) for text in ("good", "bad", "good again")]

    def commits(*args: str) -> list[str]:
        found = oberonc("log", "--json", *args, cwd=repo.path).json
        return [oid for entry in found for oid in entry["commits"]]

    assert commits("HEAD") == commits("main") == ids[2:]
    assert commits("HEAD~2..main") == ids[1:]
    assert commits("--limit", "2") == ids[1:]
    assert commits("--failed") == ids[1:2]
    assert commits("--repository", "app") == ids
    assert commits("--repository", "other") == []
    none = oberonc("log", "--repository", "other", cwd=repo.path)
    assert (none.out, none.err) == ("", "no push of these is in the log\n")
    said = oberonc("log", "nonsense", cwd=repo.path, code=65).err
    assert "names no commit" in said
    said = oberonc("log", "HEAD", cwd=tmp_path, code=65).err
    assert "you stand in no git repository" in said


def test_why_a_commit_has_no_entry_is_said(repo: Repo, oberonc: Command) -> None:
    def why(rev: str) -> str:
        return oberonc("log", rev, cwd=repo.path, code=65).err

    old = repo.commit("history")
    assert "no hook of oberonc ran in" in why("HEAD")
    oberonc("hook", "install", repo.path)
    assert "before the hooks were" in why(old[:10])
    repo.git("-c", "core.hooksPath=/none", "commit", "-q", "--allow-empty", "-m", "x")
    assert "no hook told of it yet" in why("HEAD")
    repo.git("config", "oberonc.enabled", "false")
    assert "is switched off in" in why("HEAD")
    repo.git("commit", "-q", "--allow-empty", "-m", "y")
    repo.git("config", "--unset", "oberonc.enabled")
    assert "or none since it was switched off" in why("HEAD")
    assert oberonc("log").err == "no push is in the log\n"
