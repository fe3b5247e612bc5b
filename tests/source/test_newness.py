"""What a push brought, and what it published: real pushes of every shape."""

from pathlib import Path

import pytest

from tests.support.command import Hook
from tests.support.pushes import Server, chain, fast_import, oids
from tests.support.repo import Repo

LATER = "1767270000 +0200"


def test_a_first_push_brings_every_commit_oldest_first(server: Server) -> None:
    made = [server.work.commit(f"step {n}") for n in range(3)]
    payload = server.push("main")
    assert oids(payload["commits"]) == payload["published"] == made
    assert payload["merged"] == []
    assert payload["commits_total"] == 3
    assert not payload["truncated"]
    (update,) = payload["updates"]
    assert update == {
        "ref": "refs/heads/main",
        "kind": "branch",
        "name": "main",
        "old": "0" * 40,
        "new": made[-1],
        "created": True,
        "deleted": False,
        "forced": False,
        "publish": True,
        "first": True,
    }


def test_the_next_push_brings_only_what_is_new_and_is_no_import(server: Server) -> None:
    server.work.commit("one")
    server.push("main")
    oid = server.work.commit("two")
    payload = server.push("main")
    assert oids(payload["commits"]) == payload["published"] == [oid]
    assert not payload["updates"][0]["first"]
    assert payload["commits"][0]["branch"] == "main"


def test_a_new_branch_on_old_commits_brings_nothing(server: Server) -> None:
    server.work.commit("one")
    server.push("main")
    payload = server.push("main:refs/heads/copy")
    assert payload["commits"] == payload["merged"] == payload["published"] == []
    assert payload["updates"][0]["created"]
    assert not payload["updates"][0]["publish"]


def test_two_branches_that_share_commits_bring_each_once(server: Server) -> None:
    base = server.work.commit("base")
    server.push("main")
    shared = server.work.commit("shared")
    server.work.git("checkout", "-q", "-b", "feature")
    own = server.work.commit("own", "own.txt")
    payload = server.push("feature", "main")
    assert oids(payload["commits"]) == [shared, own]
    assert {c["raw_node"]: c["branch"] for c in payload["commits"]} == {
        shared: "main",
        own: "feature",
    }
    assert payload["published"] == [shared]
    assert payload["commits"][0]["parents"] == [base[:12]]


def test_a_merge_with_a_merge_commit_publishes_what_was_there_before(
    server: Server,
) -> None:
    server.work.commit("base")
    server.push("main")
    server.work.git("checkout", "-q", "-b", "feature")
    side = [server.work.commit(f"side {n}", "side.txt") for n in range(2)]
    assert server.push("feature")["published"] == []
    server.work.git("checkout", "-q", "main")
    server.work.git("merge", "-q", "--no-ff", "-m", "Merge feature", "feature")
    merge = server.work.git("rev-parse", "main")
    payload = server.push("main")
    assert oids(payload["commits"]) == [merge]
    assert oids(payload["merged"]) == side
    assert payload["published"] == [*side, merge]
    assert {c["branch"] for c in payload["merged"]} == {"main"}
    assert len(payload["commits"][0]["parents"]) == 2
    assert not payload["updates"][0]["forced"]


def test_a_fast_forward_merge_publishes_without_a_new_commit(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    server.work.git("checkout", "-q", "-b", "feature")
    side = server.work.commit("side")
    server.push("feature")
    payload = server.push("feature:main")
    assert payload["commits"] == []
    assert payload["commits_total"] == 0
    assert oids(payload["merged"]) == payload["published"] == [side]
    assert not payload["updates"][0]["forced"]


def test_a_branch_that_left_main_long_ago_brings_only_its_own(server: Server) -> None:
    old = server.work.commit("old")
    server.work.commit("newer")
    server.push("main")
    server.work.git("checkout", "-q", "-b", "side", old)
    side = server.work.commit("side", "side.txt")
    server.work.git("checkout", "-q", "main")
    server.work.git("merge", "-q", "--no-ff", "-m", "Merge side", "side")
    payload = server.push("main")
    assert (
        oids(payload["commits"])
        == payload["published"]
        == [side, server.work.git("rev-parse", "main")]
    )
    assert payload["merged"] == []


@pytest.mark.parametrize("kind", ["-f", "-fam note"], ids=["lightweight", "annotated"])
def test_a_tag_on_old_commits_brings_nothing_and_one_that_moves_is_forced(
    server: Server, kind: str
) -> None:
    first = server.work.commit("one")
    second = server.work.commit("two")
    server.push("main")
    server.work.git("tag", *kind.split(), "v1", first)
    payload = server.push("v1")
    (update,) = payload["updates"]
    assert (update["kind"], update["name"], update["created"], update["publish"]) == (
        "tag",
        "v1",
        True,
        False,
    )
    assert payload["commits"] == payload["published"] == []
    server.work.git("tag", *kind.split(), "v1", second)
    payload = server.push("+v1")
    assert payload["updates"][0]["forced"]
    assert payload["commits"] == []


def test_a_tag_before_its_branch_brings_the_commits_and_the_branch_publishes_them(
    server: Server,
) -> None:
    made = [server.work.commit(f"step {n}") for n in range(2)]
    server.work.git("tag", "-am", "first", "v1")
    payload = server.push("v1")
    assert oids(payload["commits"]) == made
    assert {c["branch"] for c in payload["commits"]} == {None}
    assert payload["published"] == []
    payload = server.push("main")
    assert payload["commits"] == []
    assert oids(payload["merged"]) == payload["published"] == made


def test_a_tag_of_a_tag_counts_as_the_commit_below_both(server: Server) -> None:
    oid = server.work.commit("one")
    server.work.git("tag", "-am", "inner", "inner")
    server.work.git("tag", "-am", "outer", "outer", "inner")
    assert oids(server.push("outer")["commits"]) == [oid]
    assert server.push("main")["commits"] == []


def test_a_tag_of_a_file_brings_nothing_and_harms_nothing(server: Server) -> None:
    oid = server.work.commit("one")
    server.work.git("tag", "blob", "HEAD:file.txt")
    server.work.git("tag", "tree", "HEAD^{tree}")
    payload = server.push("blob", "tree")
    assert payload["commits"] == []
    assert len(payload["updates"]) == 2
    assert oids(server.push("main")["commits"]) == [oid]


def test_an_amended_and_forced_push_is_forced_and_brings_the_new_commit(
    server: Server,
) -> None:
    server.work.commit("base")
    old = server.work.commit("worng")
    server.push("main")
    server.work.git("commit", "-q", "--amend", "-m", "wrong")
    new = server.work.git("rev-parse", "HEAD")
    payload = server.push("+main")
    (update,) = payload["updates"]
    assert (update["forced"], update["old"], update["new"]) == (True, old, new)
    assert oids(payload["commits"]) == payload["published"] == [new]


def test_a_branch_set_back_is_forced_and_brings_nothing(server: Server) -> None:
    base = server.work.commit("base")
    server.work.commit("undone")
    server.push("main")
    payload = server.push(f"+{base}:main")
    assert payload["updates"][0]["forced"]
    assert payload["commits"] == payload["merged"] == payload["published"] == []


def test_a_deletion_is_an_update_without_commits(server: Server) -> None:
    oid = server.work.commit("base")
    server.push("main", "main:gone")
    payload = server.push(":gone")
    (update,) = payload["updates"]
    assert (update["deleted"], update["forced"], update["old"], update["new"]) == (
        True,
        False,
        oid,
        "0" * 40,
    )
    assert payload["commits"] == payload["published"] == []


def test_a_branch_that_is_renamed_in_one_push_brings_nothing(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    server.work.git("checkout", "-q", "-b", "before")
    server.work.commit("work")
    server.push("before")
    payload = server.push(":before", "before:after")
    assert len(payload["updates"]) == 2
    assert payload["commits"] == payload["published"] == []


@pytest.mark.parametrize(
    "ref", ["refs/notes/commits", "refs/pull/1/head", "refs/changes/01/1/1"]
)
def test_other_namespaces_neither_bring_commits_nor_hide_them(
    server: Server, ref: str
) -> None:
    oid = server.work.commit("one")
    payload = server.push(f"main:{ref}")
    (update,) = payload["updates"]
    assert (update["kind"], update["name"], update["publish"]) == ("other", ref, False)
    assert payload["commits"] == payload["published"] == []
    assert oids(server.push("main")["commits"]) == [oid]
    server.work.commit("two")
    assert not server.push(f"main:{ref}")["updates"][0]["forced"]


def test_the_first_publish_ref_is_marked_and_a_second_is_not(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, 'publish = ["HEAD", "release/*"]')
    oid = server.work.commit("one")
    assert not server.push("main:topic")["updates"][0]["first"]
    payload = server.push("main")
    assert payload["updates"][0]["first"]
    assert payload["published"] == [oid]
    release = server.work.commit("for the release")
    payload = server.push("main:release/1.0")
    assert payload["updates"][0]["publish"]
    assert not payload["updates"][0]["first"]
    assert payload["published"] == [release]
    payload = server.push("main")
    assert payload["updates"][0]["publish"]
    assert payload["merged"] == payload["published"] == []


def test_a_push_that_creates_every_publish_ref_marks_each_as_first(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, 'publish = ["HEAD", "release/*"]')
    server.work.commit("one")
    assert [
        u["first"]
        for u in server.push("main", "main:release/1", "main:topic")["updates"]
    ] == [True, True, False]


def test_what_was_pushed_counts_where_the_ref_has_moved_again(server: Server) -> None:
    base = server.work.commit("base")
    server.push("main")
    first, second = server.work.commit("first"), server.work.commit("second")
    (server.bare.path / "hooks" / "post-receive").unlink()
    server.work.push("main")
    for old, new in ((base, first), (first, second)):
        Hook()(
            "post-receive",
            stdin=f"{old} {new} refs/heads/main\n",
            cwd=server.bare.path,
            env={"GIT_DIR": "."},
        )
        (payload,) = server.catch.take()
        assert oids(payload["commits"]) == payload["published"] == [new]


def test_a_line_separator_in_a_branch_does_not_break_later_pushes(
    server: Server,
) -> None:
    server.work.commit("one")
    assert (
        server.push("main:refs/heads/a\u2028b\u0085c")["updates"][0]["name"]
        == "a\u2028b\u0085c"
    )
    oid = server.work.commit("two")
    assert oids(server.push("main")["commits"])[-1:] == [oid]


def test_refs_named_like_options_are_names(server: Server) -> None:
    oid = server.work.commit("one")
    payload = server.push("main:refs/heads/--output=x", "main:refs/tags/--all")
    assert [u["name"] for u in payload["updates"]] == ["--output=x", "--all"]
    assert oids(payload["commits"]) == [oid]
    assert server.push("main")["published"] == [oid]


def test_a_sha256_repository_has_long_ids_and_a_long_null(
    home: Path, tmp_path: Path
) -> None:
    server = Server(
        home, Repo.init(tmp_path / "long.git", True, "--object-format=sha256")
    )
    server.work = Repo.init(tmp_path / "long", False, "--object-format=sha256")
    server.work.git("remote", "add", "origin", str(server.bare.path))
    oid = server.work.commit("one")
    payload = server.push("main")
    assert len(oid) == 64
    assert payload["updates"][0]["old"] == "0" * 64
    assert payload["updates"][0]["created"]
    assert oids(payload["commits"]) == payload["published"] == [oid]
    assert payload["commits"][0]["node"] == oid[:12]
    server.push("main:other")
    assert server.push(":other")["updates"][0]["deleted"]


def test_a_push_from_a_shallow_clone_brings_its_own_commit(
    server: Server, tmp_path: Path
) -> None:
    for n in range(3):
        server.work.commit(f"step {n}")
    server.push("main")
    shallow = Repo(tmp_path / "shallow")
    server.bare.sh(f"git clone -q --depth 1 file://{server.bare.path} {shallow.path}")
    oid = shallow.commit("from the shallow clone")
    shallow.push("main")
    (payload,) = server.catch.take()
    assert oids(payload["commits"]) == payload["published"] == [oid]


def test_a_shallow_repository_ends_at_its_boundary(
    home: Path, repo: Repo, tmp_path: Path
) -> None:
    for n in range(3):
        repo.commit(f"step {n}")
    repo.sh(
        f"git clone -q --bare --depth 1 file://{repo.path} {tmp_path / 'shallow.git'}"
    )
    server = Server(home, Repo(tmp_path / "shallow.git"))
    oid = server.work.commit("on top")
    payload = server.push("main")
    assert oids(payload["commits"]) == payload["published"] == [oid]


def test_a_missing_old_commit_is_forced_and_not_an_error(server: Server) -> None:
    server.work.commit("one")
    server.push("main")
    new = server.work.git("rev-parse", "main")
    line = f"{'1' * 40} {new} refs/heads/main\n"
    done = Hook()(
        "post-receive", stdin=line, cwd=server.bare.path, env={"GIT_DIR": "."}
    )
    (payload,) = server.catch.take()
    assert payload["updates"][0]["forced"], done.err


def test_a_push_of_2000_commits_is_whole(server: Server) -> None:
    fast_import(server.work, chain(2000))
    payload = server.push("main")
    assert (
        len(payload["commits"])
        == len(payload["published"])
        == payload["commits_total"]
        == 2000
    )
    assert not payload["truncated"]
    assert payload["commits"][0]["message"] == "change 0\n"
    assert payload["commits"][0]["files"] == [{"file": "file0.txt", "type": "added"}]
    assert payload["commits"][-1]["files"] == [
        {"file": "file49.txt", "type": "modified"}
    ]


def test_a_cut_push_keeps_the_newest_says_how_many_there_were_and_still_publishes(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, "[limits]\ncommits = 3")
    made = [server.work.commit(f"step {n}") for n in range(5)]
    payload = server.push("main")
    assert oids(payload["commits"]) == payload["published"] == made[2:]
    assert payload["commits_total"] == 5
    assert payload["truncated"]


def test_a_flood_on_another_branch_does_not_push_out_what_is_published(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, "[limits]\ncommits = 3")
    server.work.commit("base")
    server.push("main")
    oid = server.work.commit("the fix", "fix.txt")
    server.work.git("checkout", "-q", "-b", "flood", "main~1")
    for n in range(4):
        server.work.commit(f"flood {n}", GIT_COMMITTER_DATE=LATER)
    payload = server.push("flood", "main")
    assert payload["truncated"]
    assert payload["commits_total"] == 5
    assert oid in payload["published"]
    assert oid in oids(payload["commits"]) + oids(payload["merged"])


def test_1200_updates_are_one_push_and_the_publish_ref_is_among_those_kept(
    server: Server,
) -> None:
    fast_import(server.work, chain(3))
    heads = "".join(f"create refs/heads/b{n:04} refs/heads/main\n" for n in range(1200))
    server.work.sh("printf '%s' \"$HEADS\" | git update-ref --stdin", HEADS=heads)
    payload = server.push("refs/heads/b*", "main")
    assert len(payload["updates"]) == 1000
    assert payload["updates"][0]["ref"] == "refs/heads/main"
    assert payload["truncated"]
    assert len(payload["commits"]) == len(payload["published"]) == 3
