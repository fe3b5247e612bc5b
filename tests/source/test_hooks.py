"""From pushes, revisions and messages to payloads, through the installed hook and
command.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.brokers_for_tests import source
from tests.support.admin import PATIENT
from tests.support.command import Command, Hook
from tests.support.pushes import Server, chain, fast_import, oids
from tests.support.repo import Repo


def test_a_broker_gets_the_payload_of_a_real_push(
    home: Path, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    brokers = home / ".config" / "oberonc" / "brokers"
    brokers.mkdir(parents=True)
    (brokers / "capture.py").write_text(source("capture"))
    (brokers.parent / "config.toml").write_text(
        f'{PATIENT}[services.all]\nbroker = "capture"\nfolder = "{tmp_path}"\n'
        '[services.none]\nbroker = "capture"\nfolder = "/nowhere"\nrefs = ["release/*"]\n'
    )
    oberonc("hook", "install", bare.path)
    bare.git("config", "oberonc.url", "https://git.example.org/")
    work = bare.clone(tmp_path / "work")
    oid = work.commit("great, fixes #42", "app/cart.py")
    said = work.push("main")
    payload = json.loads((tmp_path / "payload.json").read_text())
    assert f"remote: oberonc: all: captured ({payload['id'][:8]})" in said
    assert payload["broker"] == "capture"
    assert payload["service"] == {"folder": str(tmp_path)}
    (commit,) = payload["commits"]
    assert commit["utctimestamp"] == "2026-01-01 10:00:00+00:00"
    assert commit["timestamp"] == "2026-01-01 10:00:00"
    assert (
        commit["raw_author"] == commit["committer"] == "Ann Example <ann@example.org>"
    )
    assert commit["author"] == "Ann Example"
    assert commit["files"] == [{"file": "app/cart.py", "type": "added"}]
    assert commit["url"] == f"https://git.example.org/shop/commit/{oid}"
    assert (
        payload["schema"],
        payload["event"],
        payload["repository"]["full_name"],
    ) == (1, "push", "shop")
    assert "no ref of the push is in `refs`" in oberonc("log", oid).out


def test_hostile_text_arrives_whole_and_never_raw_at_the_pusher(server: Server) -> None:
    hostile = "Mallory \x1b[31mred\x07 \u202eevil\u202c \u2066x \x9b2J"
    server.work.sh('git config user.name "$WHO"', WHO=hostile)
    oid = server.work.commit(f"{hostile}\n\nfixes #1")
    payload = server.push("main", f"main:refs/heads/{chr(0x202E)}x{chr(0x9B)}")
    assert payload["commits"][0]["message"] == f"{hostile}\n\nfixes #1\n"
    assert payload["commits"][0]["author"] == hostile
    assert oids(payload["commits"]) == [oid]
    remote = "".join(
        line for line in server.said.splitlines() if line.startswith("remote: oberonc")
    )
    assert not any(mark in remote for mark in "\x1b\x07\u202e\u2066\x9b")


def test_a_hostile_branch_reaches_no_terminal_and_no_shell(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare)
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    server.work.commit("one")
    server.push(f"main:refs/heads/$(reboot)\u202e;x{chr(0x9B)}")
    (line,) = [line for line in server.said.splitlines() if "oberonc" in line]
    assert "git symbolic-ref HEAD 'refs/heads/$(reboot)\\u202e;x\\x9b'" in line
    assert "\u202e" not in line


@pytest.mark.parametrize(
    ("message", "kept"),
    [("", ""), ("x" * 70_000, "x" * 65_536), ("é" * 500_000, "é" * 32_768)],
    ids=["empty", "70 KB", "1 MB"],
)
def test_messages_of_every_size_arrive_and_a_cut_is_flagged(
    server: Server, message: str, kept: str
) -> None:
    (server.work.path / "message").write_text(message)
    server.work.sh(
        "git commit -q --allow-empty --allow-empty-message --cleanup=verbatim -F message"
    )
    payload = server.push("main")
    (commit,) = payload["commits"]
    assert commit["message"] == kept
    assert commit.get("truncated", False) == payload["truncated"] == (message != kept)


def test_a_commit_of_3500_files_keeps_3000_names_and_says_so(server: Server) -> None:
    lines = b"".join(b"M 100644 inline d/%d\ndata 1\nx\n" % n for n in range(3500))
    fast_import(
        server.work,
        b"commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\nmany\n" + lines,
    )
    payload = server.push("main")
    assert len(payload["commits"][0]["files"]) == 3000
    assert payload["commits"][0]["truncated"]
    assert payload["truncated"]


def test_a_payload_above_8_mib_is_cut_to_it(server: Server) -> None:
    text = b"m" * 60_000
    stream = b"".join(
        b"commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata %d\n%s\nM 100644 inline f%d\ndata 1\nx\n"
        % (n, len(text), text, n)
        for n in range(200)
    )
    fast_import(server.work, stream)
    payload = server.push("main")
    assert (
        7 * 1024 * 1024
        < len(json.dumps(payload, separators=(",", ":")))
        <= 8 * 1024 * 1024
    )
    assert payload["truncated"]
    assert payload["commits_total"] == 200
    assert payload["commits"][-1]["raw_node"] == payload["updates"][0]["new"]
    assert payload["published"] == oids(payload["commits"])


def test_push_options_arrive(server: Server) -> None:
    server.bare.git("config", "receive.advertisePushOptions", "true")
    server.work.commit("one")
    payload = server.push("main", options="-o oberonc.skip=chat -o 'a b' -o ''")
    assert payload["push_options"] == ["oberonc.skip=chat", "a b", ""]


@pytest.mark.parametrize("count", ["", "x", "-1", "99999", "3"])
def test_a_nonsensical_count_of_push_options_harms_nothing(
    server: Server, count: str
) -> None:
    oid = server.work.commit("one")
    (server.bare.path / "hooks" / "post-receive").unlink()
    server.work.push("main")
    line = f"{'0' * 40} {oid} refs/heads/main\n"
    env = {
        "GIT_DIR": ".",
        "GIT_PUSH_OPTION_COUNT": count,
        "GIT_PUSH_OPTION_0": "a\udcff",
    }
    Hook()("post-receive", stdin=line, cwd=server.bare.path, env=env)
    (payload,) = server.catch.take()
    assert payload["push_options"] == (["a\ufffd", "", ""] if count == "3" else [])


@pytest.mark.parametrize(
    "stdin",
    [
        "garbage\n",
        "1 2 refs/heads/main\n",
        f"{'0' * 40} {'Z' * 40} x\n",
        "\x1b[31m a b\n",
        "\u202e\n",
    ],
)
def test_a_post_receive_that_gets_no_updates_says_so_in_one_line(
    server: Server, stdin: str
) -> None:
    done = Hook()(
        "post-receive", stdin=stdin, cwd=server.bare.path, env={"GIT_DIR": "."}
    )
    assert done.err.startswith(
        "oberonc: post-receive wants lines of 'old new ref' on stdin"
    )
    assert done.err.count("\n") == 1
    assert done.err.isprintable() or done.err.rstrip("\n").isprintable()


def test_a_hook_that_is_not_ours_or_in_quarantine_is_refused_in_one_line(
    server: Server,
) -> None:
    for name, env in (
        ("pre-receive", {}),
        ("update", {}),
        ("post-receive", {"GIT_QUARANTINE_PATH": "/q"}),
    ):
        done = Hook()(name, cwd=server.bare.path, env={"GIT_DIR": ".", **env})
        assert done.err.count("\n") == 1
        assert "nothing was delivered" in done.err
    assert server.catch.take() == []


def test_a_repository_may_switch_itself_off(server: Server) -> None:
    server.bare.git("config", "oberonc.enabled", "off")
    server.work.commit("one")
    server.work.push("main")
    assert server.catch.take() == []


def dry_run(oberonc: Command, repo: Repo, *args: str, **more: Any) -> dict[str, Any]:
    payload: dict[str, Any] = oberonc(
        "send", *args, "--dry-run", "--json", cwd=repo.path, **more
    ).json["payload"]
    return payload


def test_send_of_one_revision_is_that_commit_published_where_main_reaches_it(
    oberonc: Command, repo: Repo
) -> None:
    oid = repo.commit("one", "a.txt")
    repo.commit("two")
    payload = dry_run(oberonc, repo, "--rev", "HEAD~1")
    assert oids(payload["commits"]) == payload["published"] == [oid]
    assert payload["commits"][0]["files"] == [{"file": "a.txt", "type": "added"}]
    assert payload["commits"][0]["branch"] == "main"
    assert (payload["event"], payload["updates"], payload["commits_total"]) == (
        "commit",
        [],
        1,
    )


def test_send_of_a_range_is_its_commits_oldest_first(
    oberonc: Command, repo: Repo
) -> None:
    made = [repo.commit(f"step {n}") for n in range(4)]
    for rev in (f"{made[0]}..{made[2]}", "HEAD~3..HEAD~1"):
        assert oids(dry_run(oberonc, repo, "--rev", rev)["commits"]) == made[1:3]
    assert oids(dry_run(oberonc, repo, "--rev", "HEAD~2..")["commits"]) == made[2:]


def test_send_of_an_unmerged_branch_publishes_nothing(
    oberonc: Command, repo: Repo
) -> None:
    repo.commit("base")
    repo.git("checkout", "-q", "-b", "feature")
    made = [repo.commit(f"step {n}") for n in range(3)]
    payload = dry_run(oberonc, repo, "--rev", "main..feature")
    assert oids(payload["commits"]) == made
    assert payload["published"] == []
    assert dry_run(oberonc, repo, "--rev", "feature")["published"] == []


def test_a_long_unmerged_branch_is_not_taken_for_published(
    oberonc: Command, repo: Repo
) -> None:
    repo.commit("base")
    fast_import(repo, chain(3000, "long"))
    payload = dry_run(oberonc, repo, "--rev", "long~2900")
    assert payload["published"] == []
    assert len(payload["commits"]) == 1


def test_a_partial_clone_without_trees_gives_messages_and_fetches_nothing(
    oberonc: Command, repo: Repo, tmp_path: Path
) -> None:
    oid = repo.commit("fixes #1", "deep/er.txt")
    repo.commit("more", "deep/er.txt")
    repo.git("config", "uploadpack.allowFilter", "true")
    partial = Repo(tmp_path / "partial")
    repo.sh(
        f"git clone -q --filter=tree:0 --no-checkout file://{repo.path} {partial.path}"
    )
    before = partial.git("count-objects", "-v")
    payload = dry_run(oberonc, partial, "--rev", oid)
    (commit,) = payload["commits"]
    assert (commit["message"], commit["files"]) == ("fixes #1\n", [])
    assert commit["truncated"]
    assert payload["truncated"]
    assert partial.git("count-objects", "-v") == before


@pytest.mark.parametrize(
    ("rev", "code", "why"),
    [
        ("nonsense", 65, "'nonsense' is not a commit"),
        ("a..b", 65, "'b' is not a commit"),
        ("HEAD...HEAD", 2, "three dots"),
        ("--all", 65, "'--all' is not a commit"),
        ("--output=x..HEAD", 65, "is not a commit"),
        ("^HEAD", 65, "is not a commit"),
        ("HEAD^{tree}", 65, "is not a commit"),
        ("0" * 40, 65, "is not a commit"),
        ("", 65, "is not a commit"),
        ("\x1b[31m\u202e", 65, "is not a commit"),
    ],
)
def test_a_bad_revision_is_one_line_and_a_code(
    oberonc: Command, repo: Repo, rev: str, code: int, why: str
) -> None:
    repo.commit("one")
    done = oberonc("send", f"--rev={rev}", code=code, cwd=repo.path)
    assert why in done.err
    assert done.err.count("\n") == 1
    assert not {"\x1b", "\u202e"} & set(done.err)


def test_send_outside_a_repository_is_one_line(
    oberonc: Command, tmp_path: Path
) -> None:
    assert (
        "is not in a git repository"
        in oberonc("send", "--rev", "HEAD", code=65, cwd=tmp_path).err
    )


def test_a_message_on_stdin_is_one_published_commit_without_an_id(
    oberonc: Command, repo: Repo
) -> None:
    payload = dry_run(oberonc, repo, stdin="great, fixes #42\n")
    (commit,) = payload["commits"]
    assert (commit["raw_node"], commit["node"]) == ("0" * 40, "0" * 12)
    assert commit["message"] == "great, fixes #42\n"
    assert commit["raw_author"] == "Ann Example <ann@example.org>"
    assert commit["branch"] == "main"
    assert payload["published"] == ["0" * 40]
    assert (payload["event"], payload["updates"], payload["merged"]) == (
        "commit",
        [],
        [],
    )


def test_each_message_is_a_change_of_its_own(oberonc: Command, repo: Repo) -> None:
    one, two = (dry_run(oberonc, repo, stdin="refs #1") for _ in range(2))
    assert one["commits"][0]["change"] != two["commits"][0]["change"]
    assert one["id"] != two["id"]


def test_strange_messages_on_stdin_are_taken_or_refused_in_one_line(
    oberonc: Command, repo: Repo
) -> None:
    assert (
        dry_run(oberonc, repo, stdin=b"caf\xe9\x00 #1")["commits"][0]["message"]
        == "caf\ufffd\x00 #1"
    )
    long = dry_run(oberonc, repo, stdin="é" * 40_000)
    assert long["commits"][0]["message"] == "é" * 32_768
    assert long["truncated"]
    assert (
        "the commit message is empty"
        in oberonc("send", stdin=" \n", code=65, cwd=repo.path).err
    )


def test_a_payload_file_is_sent_as_it_is_and_a_bad_one_is_refused(
    oberonc: Command, repo: Repo, tmp_path: Path
) -> None:
    repo.commit("fixes #1")
    payload = dry_run(oberonc, repo, "--rev", "HEAD")
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(payload | {"from_a_later_version": [1]}))
    assert dry_run(oberonc, repo, "--payload", str(file)) == payload | {
        "from_a_later_version": [1]
    }
    assert (
        dry_run(oberonc, repo, "--payload", "-", stdin=json.dumps(payload)) == payload
    )
    for broken in (
        "",
        "[]",
        "{}",
        json.dumps(payload | {"schema": 2}),
        json.dumps(payload | {"commits": [1]}),
    ):
        file.write_text(broken)
        assert (
            oberonc("send", "--payload", file, code=65, cwd=repo.path).err.count("\n")
            == 1
        )
    assert (
        oberonc(
            "send", "--payload", tmp_path / "gone", code=65, cwd=repo.path
        ).err.count("\n")
        == 1
    )
