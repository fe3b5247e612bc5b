"""What is larger than the limits: what is kept, what is said, and how the rest is sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from oberonc.config import Limits
from oberonc.issues.embedded import IssueFile
from oberonc.source import commits, entries, git
from tests.support.admin import PATIENT
from tests.support.command import Command
from tests.support.pushes import Server, chain, fast_import, oids
from tests.support.repo import Repo

LATER = "1767270000 +0200"


def configure(home: Path, text: str) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{PATIENT}{text}\n[services.issues]\nbroker = "issues"\n')


@pytest.fixture
def hooked(home: Path, bare: Repo, oberonc: Command, tmp_path: Path) -> Repo:
    """A clone of a bare repository with the hook, where three commits are looked at,
    and something was pushed.
    """
    configure(home, "[limits]\ncommits = 3\nfiles = 2\nupdates = 3")
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    work.push("main")
    return work


def test_a_cut_push_says_how_much_was_cut_and_the_range_that_sends_it_all(
    hooked: Repo, state: Path
) -> None:
    tracker = IssueFile(state)
    for n in range(1, 9):
        tracker.new("shop", f"issue {n}")
    base = hooked.git("rev-parse", "main")
    for n in range(1, 9):
        hooked.commit(f"fixes #{n}")
    said = hooked.push("main")
    tip = hooked.git("rev-parse", "main")
    assert (
        f"the push was cut to 3 of 8 commits; `oberonc send --rev {base[:12]}..{tip[:12]}` sends all of them"
        in said
    )
    assert [row.number for row in tracker.issues("shop") if row.state == "closed"] == [
        6,
        7,
        8,
    ]


def test_the_range_that_is_named_sends_all_of_them_in_portions_and_nothing_twice(
    hooked: Repo, bare: Repo, state: Path, oberonc: Command
) -> None:
    tracker = IssueFile(state)
    for n in range(1, 9):
        tracker.new("shop", f"issue {n}")
    for n in range(1, 9):
        hooked.commit(f"fixes #{n}")
    said = hooked.push("main")
    rev = said.partition("send --rev ")[2].partition("`")[0]
    sent = oberonc("send", "--rev", rev, cwd=bare.path)
    assert len(sent.out.splitlines()) == 3
    assert {row.state for row in tracker.issues("shop")} == {"closed"}
    assert {len(tracker.show("shop", n)["comments"]) for n in range(1, 9)} == {1}


@pytest.mark.parametrize(
    "refs", [("v1", "v2", "v3", "v4"), ("main:a", "main:b", "main:c", "main:d")]
)
def test_where_no_commit_was_cut_nothing_is_offered_to_be_sent(
    hooked: Repo, refs: tuple[str, ...]
) -> None:
    for name in ("v1", "v2", "v3", "v4"):
        hooked.git("tag", name)
    said = hooked.sh("git push -q origin " + " ".join(refs))
    assert "send --rev" not in said


def test_names_of_files_that_were_cut_are_told_and_nothing_is_offered_to_be_sent(
    hooked: Repo, state: Path
) -> None:
    IssueFile(state).new("shop", "issue")
    for n in range(4):
        (hooked.path / f"{n}.txt").write_text("x")
    hooked.sh("git add . && git commit -q -m 'fixes #1'")
    said = hooked.push("main")
    assert (
        "names of files, refs or text that were larger than the limits were cut" in said
    )
    assert "send --rev" not in said


def test_a_long_range_is_sent_in_portions_the_oldest_first(
    hooked: Repo, bare: Repo, oberonc: Command
) -> None:
    made = [hooked.commit(f"step {n}") for n in range(8)]
    hooked.push("main")
    rows = oberonc(
        "send", "--rev", f"{made[0]}~1..main", "--dry-run", "--json", cwd=bare.path
    ).json
    payloads: list[dict[str, Any]] = [row["payload"] for row in rows]
    assert [oids(payload["commits"]) for payload in payloads] == [
        made[:3],
        made[3:6],
        made[6:],
    ]
    assert all(payload["published"] == oids(payload["commits"]) for payload in payloads)
    assert not any(payload["truncated"] for payload in payloads)


def test_portions_hold_as_many_bytes_as_a_payload_may(
    home: Path, repo: Repo, oberonc: Command
) -> None:
    configure(home, "[limits]\nbytes = 100000")
    repo.commit("base")
    made = [repo.commit(f"step {n}\n\n" + "x" * 30_000) for n in range(7)]
    rows = oberonc(
        "send", "--rev", "main~7..main", "--dry-run", "--json", cwd=repo.path
    ).json
    assert [oid for row in rows for oid in oids(row["payload"]["commits"])] == made
    assert len(rows) == 3
    assert all(
        len(json.dumps(row["payload"], separators=(",", ":"))) <= 100_000
        for row in rows
    )
    assert not any(row["payload"]["truncated"] for row in rows)


def test_what_was_cut_and_is_new_stands_among_the_new_commits(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, "[limits]\ncommits = 3")
    server.work.commit("base")
    server.push("main")
    fix = server.work.commit("the fix", "fix.txt")
    server.work.git("checkout", "-q", "-b", "flood", "main~1")
    for n in range(4):
        server.work.commit(f"flood {n}", GIT_COMMITTER_DATE=LATER)
    payload = server.push("flood", "main")
    assert fix in oids(payload["commits"])
    assert payload["merged"] == []
    assert len(payload["commits"]) == 3
    assert payload["published"] == [fix]
    assert (payload["commits_total"], payload["published_total"]) == (5, 1)


def test_what_was_there_before_stands_among_the_merged_also_when_the_new_ones_were_cut(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, "[limits]\ncommits = 3")
    server.work.commit("base")
    server.push("main")
    side = server.work.commit("fixes #1", "fix.txt")
    server.push("main:topic")
    server.work.git("checkout", "-q", "-b", "flood", "main~1")
    for n in range(4):
        server.work.commit(f"flood {n}", GIT_COMMITTER_DATE=LATER)
    payload = server.push("flood", "main")
    assert oids(payload["merged"]) == payload["published"] == [side]
    assert len(payload["commits"]) == 3


# What reading costs


def many_files(count: int, commits: int, size: int = 40) -> bytes:
    """A history that alternates between a tree of *count* files and an empty one."""
    who = b"committer A <a@example.org> %d +0000\n"
    files = b"".join(
        b"M 100644 inline %s-%d\ndata 1\nx\n" % (b"d" * size, n) for n in range(count)
    )
    tree = (files, b"deleteall\n")
    return b"".join(
        b"commit refs/heads/main\n"
        + who % (1767261600 + n)
        + b"data 2\nx\n"
        + tree[n % 2]
        for n in range(commits)
    )


class Counted:
    """How many entries were made with names of files, and how many names they had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names = 0
        self.children = 0
        real_entry, real_start = entries.commit_entry, git.Git._start

        def entry(
            commit: commits.Commit, branch: str | None, link: str
        ) -> dict[str, Any]:
            self.names += len(commit.files)
            return real_entry(commit, branch, link)

        def start(door: git.Git, *args: Any, **more: Any) -> Any:
            self.children += 1
            return real_start(door, *args, **more)

        monkeypatch.setattr(entries, "commit_entry", entry)
        monkeypatch.setattr(git.Git, "_start", start)


@pytest.mark.parametrize("commits", [100, 400])
def test_names_of_files_are_read_only_as_far_as_a_payload_goes(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    from oberonc.source import repository

    fast_import(repo, many_files(300, commits))
    order = repo.git("rev-list", "main").split()
    counted = Counted(monkeypatch)
    found = entries.read(
        repository.describe(repo.path / ".git", ()), order, {}, Limits(bytes=1_000_000)
    )
    assert list(found) == order  # all messages fit, the newest with their files
    assert found[order[0]]["files"]
    assert found[order[-1]]["truncated"]
    assert counted.names < 1_000_000 / 40 + 300


def test_messages_are_read_only_as_far_as_a_payload_goes(repo: Repo) -> None:
    from oberonc.source import repository

    fast_import(repo, chain(50))
    repo.git("checkout", "-q", "main")
    for n in range(20):
        repo.commit(f"{n}" + "m" * 60_000)
    order = repo.git("rev-list", "main").split()
    found = entries.read(
        repository.describe(repo.path / ".git", ()), order, {}, Limits(bytes=300_000)
    )
    assert list(found) == order[: len(found)]
    assert 4 <= len(found) <= 6


def test_a_payload_of_many_files_keeps_the_newest_names_and_all_messages(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, "[limits]\nbytes = 500000")
    fast_import(server.work, many_files(300, 200))
    payload = server.push("main")
    assert len(payload["commits"]) == 200
    assert payload["commits"][-1]["files"]
    assert payload["commits"][0]["files"] == []
    assert payload["truncated"]


def forced_branches(server: Server, count: int) -> None:
    """*count* branches, each with a commit of its own, pushed; and then each rewritten."""
    server.work.commit("base")
    for text in (b"one\n", b"two\n"):
        stream = (
            b"commit refs/heads/b%04d\ncommitter A <a@b> 2 +0000\ndata %d\n%sfrom refs/heads/main^0\n"
            % (n, len(text), text)
            for n in range(count)
        )
        fast_import(server.work, b"".join(stream))
        if text == b"one\n":
            server.push("refs/heads/*")


def test_all_forced_branches_of_a_push_cost_one_child(
    home: Path, bare: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oberonc.source import memory, newness, repository

    server = Server(home, bare)
    forced_branches(server, 60)
    before = {
        line.split()[2]: line.split()[0]
        for line in bare.git("for-each-ref").splitlines()
    }
    (bare.path / "hooks" / "post-receive").unlink()
    server.work.push("+refs/heads/*")
    repo = repository.describe(bare.path, ("HEAD",))
    updates = [
        newness.update(repo, before[name], ref.oid, name)
        for name, ref in repo.refs.items()
    ]
    counted = Counted(monkeypatch)
    with memory.hold(str(bare.path)) as held:
        newness.news(repo, updates, Limits(), held.memory)
    assert sum(u["forced"] for u in updates) == 60
    assert counted.children <= 4


@pytest.mark.parametrize("count", [2, 20])
def test_merges_of_many_old_branches_cost_one_child_more_where_foreign_history_was_merged(
    home: Path, bare: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    from oberonc.source import memory, newness, repository

    server = Server(home, bare)
    other = Repo.init(tmp_path / "other")
    other.commit("theirs", "theirs.txt")
    base = [server.work.commit(f"step {n}") for n in range(count)]
    server.push("main")
    server.work.git("fetch", "-q", str(other.path), "main:theirs")
    server.work.git(
        "merge", "-q", "--allow-unrelated-histories", "-m", "Take them in", "theirs"
    )
    assert len(server.push("main")["foreign"]) == 1
    for n, start in enumerate(base):
        server.work.git("checkout", "-q", "-b", f"b{n}", start)
        server.work.commit(f"fixes #{n}", f"{n}.txt")
        server.work.git("checkout", "-q", "main")
        server.work.git("merge", "-q", "--no-ff", "-m", f"Merge b{n}", f"b{n}")
    old = bare.git("rev-parse", "main")
    (bare.path / "hooks" / "post-receive").unlink()
    server.work.push("main")
    repo = repository.describe(bare.path, ("HEAD",))
    counted = Counted(monkeypatch)
    with memory.hold(str(bare.path)) as held:
        news = newness.news(
            repo,
            [
                newness.update(
                    repo, old, bare.git("rev-parse", "main"), "refs/heads/main"
                )
            ],
            Limits(),
            held.memory,
        )
    assert (len(news.published), news.foreign) == (2 * count, [])
    assert counted.children <= 3


@pytest.mark.parametrize("count", [3, 30])
def test_forced_is_told_truly_of_branches_that_swap_grow_and_shrink(
    home: Path, bare: Repo, count: int
) -> None:
    server = Server(home, bare)
    fast_import(server.work, chain(count + 2))
    made = server.work.git("rev-list", "--reverse", "main").split()
    names = {"grow": 0, "shrink": -1, "stay": 1}
    for name, place in names.items():
        server.work.git("branch", name, made[place])
    for n in range(count):
        server.work.git("branch", f"up{n}", made[0])
        server.work.git("branch", f"down{n}", made[-1])
    server.push("refs/heads/*")
    for n in range(count):
        server.work.git("branch", "-f", f"up{n}", made[n + 1])
        server.work.git("branch", "-f", f"down{n}", made[n])
    server.work.git("branch", "-f", "grow", made[-1])
    server.work.git("branch", "-f", "shrink", made[0])
    payload = server.push("+refs/heads/*")
    forced = {u["name"] for u in payload["updates"] if u["forced"]}
    assert forced == {"shrink", *(f"down{n}" for n in range(count))}


# Merges


def test_the_files_of_a_merge_are_those_it_brought_to_its_first_parent(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare)
    server.work.commit("base")
    server.work.git("checkout", "-q", "-b", "side")
    server.work.commit("work", "lib/cart.py")
    server.work.commit("more work", "lib/pay.py")
    server.work.git("checkout", "-q", "main")
    server.work.commit("elsewhere", "docs/page.md")
    server.work.git("merge", "-q", "--no-ff", "-m", "Merge side\n\ncloses #5", "side")
    merge = server.push("main")["commits"][-1]
    assert {entry["file"] for entry in merge["files"]} == {"lib/cart.py", "lib/pay.py"}
    assert {entry["type"] for entry in merge["files"]} == {"added"}


def test_a_merge_of_work_in_lib_closes_for_a_service_of_lib(
    home: Path, bare: Repo, oberonc: Command, tmp_path: Path, state: Path
) -> None:
    configure(home, "")
    with (home / ".config" / "oberonc" / "config.toml").open("a") as file:
        file.write('paths = ["lib/**"]\n')
    tracker = IssueFile(state)
    for n in range(2):
        tracker.new("shop", f"issue {n}")
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    work.push("main")
    for number, file_name in ((1, "lib/cart.py"), (2, "docs/page.md")):
        work.git("checkout", "-q", "-b", f"side{number}")
        work.commit("work", file_name)
        work.git("checkout", "-q", "main")
        work.git(
            "merge",
            "-q",
            "--no-ff",
            "-m",
            f"Merge side\n\ncloses #{number}",
            f"side{number}",
        )
        work.push("main")
    assert [row.state for row in tracker.issues("shop")] == ["closed", "open"]


# First a topic, later the default branch


@pytest.mark.parametrize("text", ["fixes #1", "refs #1"])
def test_the_comment_of_an_unpublished_commit_is_true_when_it_is_published(
    home: Path, bare: Repo, oberonc: Command, tmp_path: Path, state: Path, text: str
) -> None:
    configure(home, "")
    with (home / ".config" / "oberonc" / "config.toml").open("a") as file:
        file.write('other_refs = "reference"\n')
    tracker = IssueFile(state)
    tracker.new("shop", "issue")
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    work.push("main")
    work.commit(text)
    work.push("main:dev")
    assert tracker.state("shop", 1) == "open"
    work.push("main")
    assert tracker.state("shop", 1) == ("closed" if text == "fixes #1" else "open")
    (comment,) = tracker.show("shop", 1)["comments"]
    assert "on dev, before it was published" in comment["text"]
    assert "left as it is" not in comment["text"]
    assert "not on a publish ref" not in comment["text"]
