"""Every commit is new once and published once, whatever moved meanwhile and whatever a
branch is called.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from oberonc.issues.embedded import IssueFile
from oberonc.source import memory
from tests.support.admin import PATIENT
from tests.support.command import Command, Hook
from tests.support.pushes import Payload, Server, chain, fast_import, oids
from tests.support.repo import REFTABLE, Repo

LATER = "1767270000 +0200"


def without_hook(server: Server, *refs: str) -> None:
    """Push before there was a hook, or while it was away."""
    hook = server.bare.path / "hooks" / "post-receive"
    hook.rename(hook.with_suffix(".away"))
    server.work.push(*refs)
    hook.with_suffix(".away").rename(hook)


def history(server: Server, count: int) -> list[str]:
    """Commits on main from before there was a hook."""
    made = [
        server.work.commit(f"old work {n}, fixes #{n}") for n in range(1, count + 1)
    ]
    without_hook(server, "main")
    return made


def published(payload: Payload) -> list[str]:
    return list(payload["published"])


# The default branch is renamed


@pytest.mark.parametrize(
    "hooked", [False, True], ids=["before the hook", "after the hook"]
)
def test_a_renamed_default_branch_publishes_nothing(
    server: Server, hooked: bool
) -> None:
    for n in range(3):
        server.work.commit(f"old work {n}, fixes #{n}")
    server.push("main") if hooked else without_hook(server, "main")
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    payload = server.push("main:trunk")
    assert payload["commits"] == payload["merged"] == payload["published"] == []
    assert payload["updates"][0]["publish"]
    assert not payload["updates"][0]["first"]


@pytest.mark.parametrize(
    "hooked", [False, True], ids=["before the hook", "after the hook"]
)
def test_what_is_new_on_a_renamed_default_branch_is_published_and_no_import(
    server: Server, hooked: bool
) -> None:
    fast_import(server.work, chain(25))
    server.work.git("checkout", "-q", "main")
    server.push("main") if hooked else without_hook(server, "main")
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    made = [server.work.commit(f"new {n}") for n in range(2)]
    payload = server.push("main:trunk")
    assert oids(payload["commits"]) == published(payload) == made
    assert not payload["updates"][0]["first"]


@pytest.mark.parametrize("first", ["install", "topic", "main"])
def test_a_rename_before_anybody_looked_publishes_nothing_whatever_is_seen_first(
    server: Server, oberonc: Command, first: str
) -> None:
    history(server, 3)
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    if first == "install":
        oberonc("hook", "install", server.bare.path)
        made = []
    else:
        made = [server.work.commit("between, fixes #8")]
        assert (
            published(
                server.push(
                    f"main:{first}" if first == "main" else "main:refs/heads/topic"
                )
            )
            == []
        )
    made.append(server.work.commit("fixes #9"))
    assert published(server.push("main:trunk")) == made


def test_a_rename_that_deletes_the_old_name_in_the_same_push_publishes_nothing(
    server: Server,
) -> None:
    history(server, 3)
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    payload = server.push(":main", "main:trunk")
    assert published(payload) == []
    assert payload["commits"] == []


def test_a_rename_that_deletes_the_old_name_before_or_after_publishes_nothing(
    server: Server,
) -> None:
    server.work.commit("fixes #1")
    server.push("main")
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    assert published(server.push(":main")) == []
    assert published(server.push("main:trunk")) == []
    oid = server.work.commit("fixes #2")
    assert published(server.push("main:trunk")) == [oid]


def test_a_publish_ref_by_configuration_that_is_renamed_publishes_nothing(
    server: Server,
) -> None:
    server.bare.git("config", "oberonc.publish", "stable")
    server.work.commit("fixes #1")
    server.push("main:stable")
    server.bare.git("config", "oberonc.publish", "release")
    assert published(server.push("main:release")) == []


def test_a_second_rename_publishes_nothing_either(server: Server) -> None:
    history(server, 3)
    for name in ("trunk", "develop", "main2"):
        server.bare.git("symbolic-ref", "HEAD", f"refs/heads/{name}")
        assert published(server.push(f"main:{name}")) == []


def test_work_that_was_only_on_another_branch_is_published_by_a_new_publish_ref(
    server: Server,
) -> None:
    made = [server.work.commit(f"fixes #{n}") for n in range(3)]
    assert published(server.push("main:topic")) == []
    payload = server.push("main")
    assert published(payload) == oids(payload["merged"]) == made
    assert payload["updates"][0]["first"]


def test_a_feature_that_is_merged_while_the_branch_is_renamed_is_published(
    server: Server,
) -> None:
    server.work.commit("base")
    server.push("main")
    server.work.git("checkout", "-q", "-b", "feature")
    side = server.work.commit("fixes #5", "side.txt")
    server.push("feature")
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    payload = server.push("feature:trunk")
    assert published(payload) == oids(payload["merged"]) == [side]


def test_a_history_of_its_own_beside_another_branch_is_an_import(
    server: Server,
) -> None:
    server.work.commit("pages")
    without_hook(server, "main:gh-pages")
    server.work.git("checkout", "-q", "--orphan", "real")
    fast_import(server.work, chain(25, "real2"))
    payload = server.push("real2:main")
    assert payload["published_total"] == 25
    assert payload["updates"][0]["first"]


def test_an_existing_branch_that_becomes_the_default_is_history(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    server.work.commit("fixes #1")
    server.push("main:develop")
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/develop")
    oid = server.work.commit("fixes #2")
    assert published(server.push("main:develop")) == [oid]


# A publish ref leaves and returns


def test_a_publish_ref_that_is_forced_back_and_forward_publishes_nothing(
    server: Server,
) -> None:
    made = history(server, 5)
    assert published(server.push(f"+{made[0]}:main")) == []
    assert published(server.push("main")) == []
    oid = server.work.commit("fixes #9")
    assert published(server.push("main")) == [oid]


def test_a_publish_ref_that_is_forced_away_and_back_publishes_only_what_was_between(
    server: Server,
) -> None:
    made = history(server, 5)
    server.work.git("checkout", "-q", "--orphan", "other")
    other = server.work.commit("something else", "other.txt")
    assert published(server.push("+other:main")) == [other]
    assert published(server.push(f"+{made[-1]}:main")) == []
    assert published(server.push("+other:main")) == []


def test_a_publish_ref_that_is_deleted_and_made_again_publishes_nothing(
    server: Server,
) -> None:
    server.bare.git("config", "receive.denyDeleteCurrent", "ignore")
    made = history(server, 3)
    assert published(server.push(":main")) == []
    assert published(server.push(f"{made[1]}:refs/heads/main")) == []
    payload = server.push("main")
    assert published(payload) == []
    assert payload["commits"] == []


def test_a_publish_ref_that_returns_in_steps_publishes_nothing(server: Server) -> None:
    made = history(server, 6)
    server.push(f"+{made[0]}:main")
    for oid in made[1:]:
        assert published(server.push(f"{oid}:main")) == []


def test_what_was_dropped_comes_back_by_a_merge_and_is_not_published_again(
    server: Server,
) -> None:
    made = history(server, 3)
    server.push(f"+{made[0]}:main")
    server.work.git("branch", "kept")
    server.work.git("reset", "-q", "--hard", made[0])
    between = server.work.commit("between", "between.txt")
    server.work.git("merge", "-q", "--no-ff", "-m", "Merge kept", "kept")
    assert published(server.push("main")) == [
        between,
        server.work.git("rev-parse", "main"),
    ]


def test_a_branch_that_was_never_published_is_published_when_it_returns_as_main(
    server: Server,
) -> None:
    made = history(server, 2)
    server.work.git("checkout", "-q", "-b", "side", made[0])
    side = server.work.commit("fixes #7", "side.txt")
    server.push("side")
    assert published(server.push("+side:main")) == [side]
    assert published(server.push(f"+{made[1]}:main")) == []
    assert published(server.push("+side:main")) == []


def test_garbage_collection_does_not_make_what_returns_new(server: Server) -> None:
    made = history(server, 3)
    server.push(f"+{made[0]}:main")
    server.bare.git("reflog", "expire", "--all", "--expire=now")
    server.bare.git("gc", "-q", "--prune=now")
    payload = server.push("main")
    assert published(payload) == []
    assert payload["commits"] == []


# Two pushes at once


def at_once(server: Server, *pushes: str) -> list[Payload]:
    """Push each of *pushes* by a process of its own, all at the same time; the
    payloads, as they came.
    """
    running = [
        subprocess.Popen(
            ["git", "push", "-q", "origin", *refs.split()],
            cwd=server.work.path,
            stderr=subprocess.DEVNULL,
        )
        for refs in pushes
    ]
    assert [process.wait(60) for process in running] == [0] * len(pushes)
    return server.catch.take()


def once(payloads: list[Payload], key: str) -> list[str]:
    """All that *payloads* hold under *key*, sorted; none of it twice."""
    found = [
        entry if key == "published" else entry["raw_node"]
        for payload in payloads
        for entry in payload[key]
    ]
    assert len(set(found)) == len(found)
    return sorted(found)


def test_two_publish_refs_pushed_at_once_publish_each_commit_once(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, 'publish = ["HEAD", "release"]')
    made = [server.work.commit("base")]
    assert once(at_once(server, "main", "main:release"), "published") == made
    for n in range(10):
        oid = server.work.commit(f"fixes #{n}")
        payloads = at_once(server, "main", "main:release")
        assert len(payloads) == 2
        assert once(payloads, "published") == once(payloads, "commits") == [oid]


def test_a_commit_on_two_branches_pushed_at_once_is_new_in_one_payload(
    server: Server,
) -> None:
    server.work.commit("base")
    server.push("main", "main:topic")
    for n in range(5):
        oid = server.work.commit(f"fixes #{n}")
        payloads = at_once(
            server, "main", "main:topic", f"main:new{n}", f"main:refs/tags/v{n}"
        )
        assert once(payloads, "commits") == once(payloads, "published") == [oid]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["main first", "release first"])
@pytest.mark.parametrize(
    "base", [True, False], ids=["on top of a base", "in an empty repository"]
)
def test_two_hooks_that_see_each_others_refs_publish_once(
    home: Path, bare: Repo, order: tuple[int, int], base: bool
) -> None:
    server = Server(home, bare, 'publish = ["HEAD", "release"]')
    old = server.work.commit("base") if base else "0" * 40
    if base:
        without_hook(server, "main", "main:release")
    oid = server.work.commit("fixes #1")
    without_hook(server, "main", "main:release")
    names = ("main", "release")
    payloads = [
        hook(server, f"{old} {oid} refs/heads/{names[index]}") for index in order
    ]
    assert once(payloads, "published") == once(payloads, "commits") == [oid]


def hook(server: Server, *lines: str, **env: str) -> Payload:
    """Run the hook as git does, later than git would."""
    stdin = "".join(f"{line}\n" for line in lines)
    Hook()(
        "post-receive", stdin=stdin, cwd=server.bare.path, env={"GIT_DIR": ".", **env}
    )
    (payload,) = server.catch.take()
    return payload


def test_two_pushes_of_one_branch_whose_hooks_run_the_wrong_way_round_publish_once(
    server: Server,
) -> None:
    base = server.work.commit("base")
    server.push("main")
    first, second = server.work.commit("fixes #1"), server.work.commit("fixes #2")
    without_hook(server, "main")
    payloads = [
        hook(server, f"{first} {second} refs/heads/main"),
        hook(server, f"{base} {first} refs/heads/main"),
    ]
    assert (
        once(payloads, "published")
        == once(payloads, "commits")
        == sorted([first, second])
    )


def test_what_was_pushed_while_the_hook_was_away_is_told_by_the_next(
    server: Server,
) -> None:
    server.work.commit("base")
    server.push("main")
    missed = server.work.commit("fixes #1")
    without_hook(server, "main")
    oid = server.work.commit("fixes #2")
    payload = server.push("main")
    assert published(payload) == oids(payload["commits"]) == [missed, oid]


def test_a_push_that_nobody_wants_is_not_told_of_later(home: Path, bare: Repo) -> None:
    server = Server(home, bare)
    file = home / ".config" / "oberonc" / "config.toml"
    wanted = file.read_text()
    server.work.commit("base")
    server.push("main")
    file.write_text(
        '[services.issues]\nbroker = "issues"\nrepositories = ["nobody/*"]\n'
    )
    server.work.commit("fixes #1")
    server.work.push("main")
    server.work.push(f"+{server.work.git('rev-parse', 'main~1')}:main")
    file.write_text(wanted)
    assert published(server.push("main")) == []
    oid = server.work.commit("fixes #2")
    assert published(server.push("main")) == [oid]


def test_what_happens_while_oberonc_is_switched_off_is_history(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    server.bare.git("config", "oberonc.enabled", "false")
    server.work.commit("fixes #1")
    server.work.push("main")
    server.bare.git("config", "--unset", "oberonc.enabled")
    oid = server.work.commit("fixes #2")
    assert published(server.push("main")) == [oid]


def test_a_push_that_could_not_be_kept_is_told_by_the_next(
    server: Server, home: Path
) -> None:
    server.work.commit("base")
    server.push("main")
    spool = home / "spool"
    spool.rename(home / "aside")
    spool.write_text("in the way")
    missed = server.work.commit("fixes #1")
    assert "nothing was delivered" in server.work.push("main")
    spool.unlink()
    (home / "aside").rename(spool)
    oid = server.work.commit("fixes #2")
    assert published(server.push("main")) == [missed, oid]


@pytest.mark.parametrize(
    "slip", ['publish = ["stable"', 'publis = ["stable"]', 'publish = "stable"']
)
def test_a_push_under_a_broken_configuration_is_told_again_when_its_publish_refs_are_known(
    home: Path, bare: Repo, slip: str
) -> None:
    server = Server(home, bare, 'publish = ["stable"]')
    file = home / ".config" / "oberonc" / "config.toml"
    whole = file.read_text()
    server.work.commit("base")
    server.push("main:stable")
    file.write_text(whole.replace('publish = ["stable"]', slip))
    missed = server.work.commit("fixes #1")
    server.work.push("main:stable")
    server.catch.take()
    file.write_text(whole)
    oid = server.work.commit("fixes #2")
    assert published(server.push("main:stable")) == [missed, oid]


@pytest.mark.parametrize(
    "fault",
    ["[services.x]\nnonsense = \n", "[services.x]\nnonsense = 1\n", "wrong = 1\n"],
)
@pytest.mark.parametrize(
    "setting", ['publish = ["HEAD", "stable"]', ""], ids=["said", "not said"]
)
def test_a_push_under_a_broken_configuration_whose_publish_refs_are_known_is_told_once(
    home: Path, bare: Repo, setting: str, fault: str
) -> None:
    server = Server(home, bare, setting)
    file = home / ".config" / "oberonc" / "config.toml"
    server.work.commit("base")
    server.push("main")
    whole = file.read_text()
    file.write_text(f"{whole}\n{fault}")
    for n in range(2):
        oid = server.work.commit(f"fixes #{n}")
        payload = server.push("main")
        assert payload["commits_total"] == 1
        assert published(payload) == [oid]
        assert "the configuration is broken" in server.said
    file.write_text(whole)
    oid = server.work.commit("fixes #3")
    assert published(server.push("main")) == [oid]


# Other names of a branch


def test_a_push_to_another_name_of_a_branch_counts_as_one_to_the_branch(
    server: Server,
) -> None:
    server.work.commit("base")
    server.push("main")
    server.bare.git("symbolic-ref", "refs/heads/master", "refs/heads/main")
    oid = server.work.commit("fixes #1")
    payload = server.push("main:master")
    assert published(payload) == oids(payload["commits"]) == [oid]
    assert (payload["updates"][0]["ref"], payload["updates"][0]["publish"]) == (
        "refs/heads/main",
        True,
    )
    second = server.work.commit("fixes #2")
    payload = server.push("main", "main:master")
    assert published(payload) == [second]
    assert len(payload["updates"]) == 1


def test_another_name_of_a_topic_branch_publishes_nothing(server: Server) -> None:
    server.work.commit("base")
    server.push("main", "main:topic")
    server.bare.git("symbolic-ref", "refs/heads/also", "refs/heads/topic")
    oid = server.work.commit("fixes #1")
    payload = server.push("main:also")
    assert oids(payload["commits"]) == [oid]
    assert payload["commits"][0]["branch"] == "topic"
    assert published(payload) == []
    assert published(server.push("main")) == [oid]


def test_names_of_names_and_a_head_that_names_one_lead_to_the_branch(
    server: Server,
) -> None:
    server.work.commit("base")
    server.push("main")
    server.bare.git("symbolic-ref", "refs/heads/master", "refs/heads/main")
    server.bare.git("symbolic-ref", "refs/heads/old", "refs/heads/master")
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/old")
    oid = server.work.commit("fixes #1")
    assert published(server.push("main:old")) == [oid]


def test_a_configured_default_branch_that_is_another_name_counts_as_the_branch(
    server: Server,
) -> None:
    server.work.commit("base")
    server.push("main")
    server.bare.git("symbolic-ref", "refs/heads/master", "refs/heads/main")
    server.bare.git("config", "oberonc.defaultBranch", "master")
    oid = server.work.commit("fixes #1")
    assert published(server.push("main")) == [oid]


@pytest.mark.parametrize(
    ("ref", "told"), [("refs/heads/master", True), ("refs/heads/topic", False)]
)
def test_a_service_of_main_gets_what_was_pushed_to_another_name_of_it(
    home: Path,
    bare: Repo,
    state: Path,
    tmp_path: Path,
    oberonc: Command,
    ref: str,
    told: bool,
) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'{PATIENT}[services.issues]\nbroker = "issues"\nrefs = ["main"]\n')
    tracker = IssueFile(state)
    tracker.new("shop", "issue")
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    work.push("main")
    bare.git("symbolic-ref", "refs/heads/master", "refs/heads/main")
    work.commit("fixes #1")
    work.push(f"main:{ref}")
    assert (tracker.state("shop", 1) == "closed") is told


def test_another_name_made_by_renaming_publishes_nothing(server: Server) -> None:
    history(server, 3)
    server.bare.git("branch", "-m", "main", "trunk")
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    server.bare.git("symbolic-ref", "refs/heads/main", "refs/heads/trunk")
    oid = server.work.commit("fixes #9")
    assert published(server.push("main")) == [oid]


def test_deleting_another_name_deletes_the_branch_and_its_return_publishes_nothing(
    server: Server,
) -> None:
    server.work.commit("fixes #1")
    server.push("main")
    server.bare.git("symbolic-ref", "refs/heads/master", "refs/heads/main")
    server.push(":master")
    assert published(server.push("main")) == []


def test_a_namespace_is_not_the_real_main(server: Server) -> None:
    base = server.work.commit("base")
    server.push("main")
    oid = server.work.commit("fixes #1")
    payload = server.push(
        "main", options="--receive-pack='git --namespace=fork receive-pack'"
    )
    (update,) = payload["updates"]
    assert (update["ref"], update["publish"]) == (
        "refs/namespaces/fork/refs/heads/main",
        False,
    )
    assert payload["commits"] == payload["published"] == []
    assert server.bare.git("rev-parse", "main") == base
    assert published(server.push("main")) == [oid]


def test_a_namespace_in_a_namespace_is_not_the_real_main(server: Server) -> None:
    server.work.commit("base")
    payload = server.push(
        "main", options="--receive-pack='git --namespace=a/b receive-pack'"
    )
    assert (
        payload["updates"][0]["ref"]
        == "refs/namespaces/a/refs/namespaces/b/refs/heads/main"
    )
    assert published(payload) == []


# Another project's history


def foreign(server: Server, count: int, name: str = "foreign") -> Repo:
    """A repository of *count* commits that knows nothing of ours, as the remote *name*
    of the clone.
    """
    other = Repo.init(server.home / name)
    for n in range(1, count + 1):
        other.commit(f"theirs {n}, closes #{n}", "theirs.txt")
    server.work.git("remote", "add", name, str(other.path))
    server.work.git("fetch", "-q", name)
    return other


def test_another_projects_history_that_is_merged_in_is_foreign(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    foreign(server, 5)
    own = server.work.commit("ours, fixes #9")
    server.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-m",
        "Take them in",
        "foreign/main",
    )
    payload = server.push("main")
    theirs = server.work.git("rev-list", "--reverse", "foreign/main").split()
    assert sorted(published(payload)) == sorted(
        [*theirs, own, server.work.git("rev-parse", "main")]
    )
    assert sorted(payload["foreign"]) == sorted(theirs)


def test_what_comes_later_from_that_project_is_foreign_too(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    other = foreign(server, 3)
    server.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-m",
        "Take them in",
        "foreign/main",
    )
    server.push("main")
    later = other.commit("theirs, closes #9", "theirs.txt")
    other.git("checkout", "-q", "-b", "side", "main~2")
    side = other.commit("theirs, closes #8", "side.txt")
    other.git("checkout", "-q", "main")
    other.git("merge", "-q", "--no-ff", "-m", "theirs", "side")
    server.work.git("fetch", "-q", "foreign")
    own = server.work.commit("ours, fixes #10")
    server.work.git("merge", "-q", "-m", "Take more", "foreign/main")
    payload = server.push("main")
    merge = server.work.git("rev-parse", "main")
    assert set(payload["foreign"]) == {later, side, other.git("rev-parse", "main")}
    assert set(published(payload)) == {*payload["foreign"], own, merge}


def test_a_foreign_history_that_was_pushed_to_a_branch_first_is_foreign_when_it_is_merged(
    server: Server,
) -> None:
    server.work.commit("base")
    server.push("main")
    foreign(server, 3)
    server.push("foreign/main:refs/heads/vendor")
    server.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-m",
        "Take them in",
        "foreign/main",
    )
    assert len(server.push("main")["foreign"]) == 3


def test_our_history_merged_into_theirs_makes_theirs_foreign(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    foreign(server, 3)
    server.work.git("checkout", "-q", "-b", "turned", "foreign/main")
    server.work.git(
        "merge", "-q", "--allow-unrelated-histories", "-m", "Take ours in", "main"
    )
    payload = server.push("turned:main")
    assert len(payload["foreign"]) == 3
    assert not payload["updates"][0]["forced"]


def test_a_foreign_history_larger_than_the_limits_holds_all_of_the_push(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, "[limits]\ncommits = 4")
    server.work.commit("base")
    server.push("main")
    foreign(server, 10)
    server.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-m",
        "Take them in",
        "foreign/main",
    )
    payload = server.push("main")
    assert payload["foreign"] == published(payload) != []


def test_more_of_it_than_the_limits_hold_the_next_time_holds_all_of_that_push(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, "[limits]\ncommits = 4")
    server.work.commit("base")
    server.push("main")
    other = foreign(server, 2)
    server.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-m",
        "Take them in",
        "foreign/main",
    )
    assert len(server.push("main")["foreign"]) == 2
    for n in range(8):
        other.commit(f"theirs, closes #{n}", "theirs.txt")
    server.work.git("fetch", "-q", "foreign")
    server.work.git("merge", "-q", "-m", "Take more", "foreign/main")
    payload = server.push("main")
    assert payload["foreign"] == published(payload) != []
    for n in range(8):
        oid = server.work.commit(f"ours, fixes #{n}")
    payload = server.push("main")
    assert payload["foreign"] == []
    assert oid in published(payload)


def subtree(server: Server, squash: str) -> None:
    server.work.sh(f"git subtree add -q --prefix=lib {squash} foreign main")


@pytest.mark.parametrize("squash", ["", "--squash"])
def test_a_subtree_is_foreign_and_its_merge_is_ours(
    server: Server, squash: str
) -> None:
    if "usage: git subtree" not in server.work.sh("git subtree -h || true"):
        pytest.skip("git subtree is not installed")
    server.work.commit("base")
    server.push("main")
    other = foreign(server, 3)
    subtree(server, squash)
    payload = server.push("main")
    assert len(payload["foreign"]) == (1 if squash else 3)
    other.commit("theirs, closes #9", "theirs.txt")
    server.work.sh(f"git subtree pull -q --prefix=lib {squash} foreign main")
    payload = server.push("main")
    assert len(payload["foreign"]) == 1
    assert len(published(payload)) == 2


def test_ordinary_merges_are_not_foreign(server: Server) -> None:
    base = server.work.commit("base")
    server.push("main")
    server.work.commit("next")
    server.push("main")
    for name, start in (("early", base), ("late", "main")):
        server.work.git("checkout", "-q", "-b", name, start)
        server.work.commit(f"fixes #{len(name)}", f"{name}.txt")
        server.work.git("checkout", "-q", "main")
        server.work.git("merge", "-q", "--no-ff", "-m", f"Merge {name}", name)
    assert server.push("main")["foreign"] == []


def test_a_restart_of_the_project_is_not_foreign(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    server.work.git("checkout", "-q", "--orphan", "again")
    oid = server.work.commit("start over, fixes #1")
    payload = server.push("+again:main")
    assert published(payload) == [oid]
    assert payload["foreign"] == []


def test_a_first_push_with_two_roots_is_not_foreign(server: Server) -> None:
    foreign(server, 2)
    server.work.commit("ours")
    server.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-m",
        "Take them in",
        "foreign/main",
    )
    payload = server.push("main")
    assert len(published(payload)) == 4
    assert payload["foreign"] == []


def test_a_branch_without_a_history_beside_main_is_not_foreign(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare, 'publish = ["*"]')
    server.work.commit("base")
    server.push("main")
    oid = server.work.commit("on main")
    server.work.git("checkout", "-q", "--orphan", "pages")
    page = server.work.commit("pages, fixes #1")
    payload = server.push("main", "pages")
    assert set(published(payload)) == {oid, page}
    assert payload["foreign"] == []


def test_where_history_ends_at_a_boundary_nothing_is_foreign(
    home: Path, repo: Repo, tmp_path: Path
) -> None:
    base = repo.commit("base")
    repo.git("checkout", "-q", "-b", "side", base)
    repo.commit("side, fixes #1", "side.txt")
    repo.git("checkout", "-q", "main")
    for n in range(3):
        repo.commit(f"step {n}")
    repo.sh(
        f"git clone -q --bare --depth 1 file://{repo.path} {tmp_path / 'shallow.git'}"
    )
    server = Server(home, Repo(tmp_path / "shallow.git"))
    server.work.sh(f"git fetch -q --depth 1 file://{repo.path} side:side")
    server.bare.git("config", "receive.shallowUpdate", "true")
    server.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-X",
        "ours",
        "-m",
        "Merge side",
        "side",
    )
    assert server.push("main")["foreign"] == []


# The memory itself


def told(repo: Repo) -> str:
    return (repo.path / memory.FOLDER / memory.FILE).read_text()


def test_the_memory_stays_small_however_often_a_branch_moves(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.work.commit("base")
    server.push("main")
    file = server.bare.path / memory.FOLDER / memory.FILE
    oid = server.work.git("rev-parse", "main")
    file.write_text(file.read_text() + f"\nother {oid} refs/heads/gone" * 5000)
    server.work.commit("next")
    server.push("main")
    assert len(told(server.bare).splitlines()) < 10
    assert "gone" not in told(server.bare)
    assert published(server.push("main:again")) == []


@pytest.mark.parametrize(
    "broken",
    ["", "\n\n", "publish", "\x00\xff garbage\n\n", "publish zz", "x" * 100_000],
)
def test_a_broken_memory_harms_no_push(server: Server, broken: str) -> None:
    server.work.commit("base")
    server.push("main")
    (server.bare.path / memory.FOLDER / memory.FILE).write_text(broken)
    oid = server.work.commit("fixes #1")
    assert published(server.push("main")) == [oid]
    oid = server.work.commit("fixes #2")
    assert published(server.push("main")) == [oid]


def test_a_line_that_a_full_disk_cut_is_passed_over(server: Server) -> None:
    server.work.commit("base")
    server.push("main")
    file = server.bare.path / memory.FOLDER / memory.FILE
    file.write_text(file.read_text() + "\npublish 0123")
    oid = server.work.commit("fixes #1")
    assert oid in published(server.push("main"))


def plant(folder: Path, kind: str, target: Path) -> None:
    """What somebody who may write the repository could put in the place of the memory."""
    file = folder / memory.FILE
    file.unlink()
    if kind == "link":
        file.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        folder.rmdir()
        folder.symlink_to(target.parent)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "linked folder"])
def test_what_stands_in_the_place_of_the_memory_is_neither_followed_nor_waited_for(
    server: Server, tmp_path: Path, kind: str
) -> None:
    server.work.commit("base")
    server.push("main")
    (tmp_path / "precious").mkdir()
    target = tmp_path / "precious" / "file"
    target.write_text("mine")
    plant(server.bare.path / memory.FOLDER, kind, target)
    oid = server.work.commit("fixes #1")
    assert published(server.push("main")) == [oid]
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["file"]
    assert target.read_text() == "mine"


def test_a_repository_that_cannot_be_written_has_no_memory_and_works(
    server: Server,
) -> None:
    (server.bare.path / memory.FOLDER).write_text("in the way")
    oid = server.work.commit("fixes #1")
    assert published(server.push("main")) == [oid]
    oid = server.work.commit("fixes #2")
    assert published(server.push("main")) == [oid]


def test_a_memory_that_may_not_be_written_is_as_good_as_none(server: Server) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    server.work.commit("base")
    server.push("main")
    (server.bare.path / memory.FOLDER / memory.FILE).chmod(0o444)
    for n in range(3):
        oid = server.work.commit(f"fixes #{n}")
        assert published(server.push("main")) == [oid]


def test_a_hook_that_waited_too_long_tells_and_so_does_the_next(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.work.commit("base")
    server.push("main")
    monkeypatch.setattr(memory, "PATIENCE", 0.05)
    with (
        memory.hold(str(server.bare.path)),
        memory.hold(str(server.bare.path)) as second,
    ):
        assert not second.memory.first_look
        second.memory.tell("refs/heads/x", "1" * 40, publish=False)
        second.save([])
    assert "refs/heads/x" not in told(server.bare)


def test_the_first_hooks_of_two_pushes_at_once_have_one_memory(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other makes the folder after this one saw none; whose account is not the same
    comes in at once, whatever the umask.
    """
    git_dir, mkdir, modes = server.bare.path, os.mkdir, []

    def after_the_other(path: str, mode: int = 0o777) -> None:
        mkdir(path, mode)
        modes.append(os.stat(path).st_mode & 0o777)
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", after_the_other)
    os.umask(0o077)
    with memory.hold(str(git_dir)) as held:
        held.memory.look()
        held.save([])
    assert "looked" in told(server.bare)
    assert modes == [(git_dir / "objects").stat().st_mode & 0o777]


@pytest.mark.parametrize(("shared", "mode"), [("group", 0o664), ("umask", 0o644)])
def test_the_memory_is_shared_with_whom_the_repository_is_shared_with(
    home: Path, tmp_path: Path, shared: str, mode: int
) -> None:
    server = Server(
        home, Repo.init(tmp_path / "shared.git", True, f"--shared={shared}")
    )
    server.work.commit("base")
    os.umask(0o077)
    server.push("main")
    found: Any = (server.bare.path / memory.FOLDER / memory.FILE).stat()
    assert found.st_mode & 0o666 == mode
    assert found.st_uid == server.bare.path.stat().st_uid


def test_a_sha256_repository_remembers_too(home: Path, tmp_path: Path) -> None:
    server = Server(
        home, Repo.init(tmp_path / "long.git", True, "--object-format=sha256")
    )
    server.work = Repo.init(tmp_path / "long", False, "--object-format=sha256")
    server.work.git("remote", "add", "origin", str(server.bare.path))
    made = history(server, 3)
    server.push(f"+{made[0]}:main")
    assert published(server.push("main")) == []
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    assert published(server.push("main:trunk")) == []


def test_a_reftable_repository_remembers_too(home: Path, tmp_path: Path) -> None:
    Repo(tmp_path).needs_reftable()
    server = Server(home, Repo.init(tmp_path / "table.git", True, REFTABLE))
    made = history(server, 3)
    server.push(f"+{made[0]}:main")
    assert published(server.push("main")) == []
    server.bare.git("symbolic-ref", "refs/heads/master", "refs/heads/main")
    oid = server.work.commit("fixes #9")
    assert published(server.push("main:master")) == [oid]
    server.bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    assert published(server.push("main:trunk")) == []


def test_the_default_branch_of_a_clone_with_reftable_is_that_of_its_origin(
    repo: Repo, tmp_path: Path
) -> None:
    from oberonc.source import repository

    repo.needs_reftable()
    repo.git("checkout", "-q", "-b", "trunk")
    repo.commit("one")
    clone = repo.clone(tmp_path / "clone", REFTABLE)
    clone.git("checkout", "-q", "-b", "main")
    assert (
        repository.describe(clone.path / ".git", ("HEAD",)).default_ref
        == "refs/heads/trunk"
    )
