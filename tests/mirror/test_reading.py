"""Pushes to a real repository, of which webhooks tell, as a mirror shows them."""

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from oberonc.mirror import bells, mirrors, work
from tests.mirror.conftest import Mirrored


def lines(payload: dict[str, Any], key: str = "commits") -> list[str]:
    return [entry["message"].strip() for entry in payload[key]]


def moved(payload: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(u["ref"], u["old"], u["new"]) for u in payload["updates"]]


def test_the_first_webhook_tells_of_its_own_push_and_of_no_history(
    shop: Mirrored,
) -> None:
    old = [shop.clone.commit(f"old {number} fixes #{number}") for number in (1, 2)][-1]
    new = shop.clone.commit("new, fixes #3")
    shop.clone.git("tag", "v1", old)
    shop.clone.push("main", "v1")
    event = shop.push(old, new)
    assert shop.turn().error == ""
    (payload,) = shop.told()
    assert (payload["id"], payload["user"]) == (event, "ann")
    assert lines(payload) == ["new, fixes #3"]
    assert payload["published"] == [new]
    assert payload["commits"][0]["files"] == [{"file": "file.txt", "type": "modified"}]
    assert payload["commits"][0]["parents"] == [old[:12]]
    assert not payload["truncated"]
    assert shop.turn(all_moves=True).told == []


def test_files_parents_merges_and_what_was_forced_are_those_of_git(
    shop: Mirrored,
) -> None:
    clone = shop.clone
    base = clone.commit("base")
    clone.push("main")
    assert shop.turn(all_moves=True).told == []
    clone.sh("git checkout -qb topic")
    topic = clone.commit("topic, fixes #7", "topic.txt")
    clone.push("topic")
    shop.push("", topic, "refs/heads/topic")
    clone.sh("git checkout -q main && git merge -q --no-ff -m merged topic")
    merge = clone.git("rev-parse", "HEAD")
    clone.push("main")
    shop.push(base, merge)
    assert shop.turn().error == ""
    first, second = shop.told()
    assert (lines(first), first["published"]) == (["topic, fixes #7"], [])
    assert lines(second) == ["merged"]
    assert lines(second, "merged") == ["topic, fixes #7"]
    assert set(second["published"]) == {topic, merge}
    assert second["commits"][0]["files"] == [{"file": "topic.txt", "type": "added"}]

    clone.sh("git reset -q --hard HEAD~ && git checkout -q main")
    other = clone.commit("another way")
    clone.push("+main")
    shop.push(merge, other)
    clone.push(":topic")
    shop.push(topic, "", "refs/heads/topic")
    clone.sh("git tag -am note v2")
    clone.push("v2")
    shop.push("", other, "refs/tags/v2")  # some name the commit, some the tag
    assert shop.turn().error == ""
    forced, gone, tag = shop.told()[2:]
    assert forced["updates"][0]["forced"]
    assert set(lines(forced, "dropped")) == {"merged", "topic, fixes #7"}
    assert gone["updates"][0]["deleted"]
    assert tag["updates"][0] | {"kind": "tag", "created": True} == tag["updates"][0]
    assert tag["updates"][0]["new"] == clone.git("rev-parse", "v2")
    assert shop.turn(all_moves=True).told == []


def test_a_push_of_1000_commits_is_whole(shop: Mirrored) -> None:
    base = shop.clone.commit("base")
    shop.clone.push("main")
    assert shop.turn(all_moves=True).told == []
    stream = "".join(
        f"commit refs/heads/main\ncommitter A <a@b> {1767261600 + n} +0000\n"
        f"data <<E\nnumber {n}\nE\n" + (f"from {base}\n" if n == 0 else "")
        for n in range(1000)
    )
    (shop.clone.path / ".git" / "stream").write_text(stream)
    shop.clone.sh("git fast-import --quiet < .git/stream")
    shop.clone.push("main")
    shop.push(base, shop.clone.git("rev-parse", "main"))
    assert shop.turn().error == ""
    (payload,) = shop.told()
    assert lines(payload) == [f"number {n}" for n in range(1000)]
    assert (payload["commits_total"], payload["truncated"]) == (1000, False)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_each_push_is_told_of_once_whatever_order_its_webhook_comes_in(
    shop: Mirrored, order: tuple[int, ...]
) -> None:
    stands = [shop.clone.commit(f"number {number}") for number in range(4)]
    shop.clone.push(f"{stands[0]}:refs/heads/main")
    assert shop.turn(all_moves=True).told == []
    shop.clone.push("main")
    pushes = list(itertools.pairwise(stands))
    events = {number: shop.push(*pushes[number]) for number in order}
    assert shop.turn().error == ""
    assert [payload["id"] for payload in shop.told()] == [events[n] for n in range(3)]
    assert [lines(each) for each in shop.told()] == [[f"number {n}"] for n in (1, 2, 3)]
    assert shop.waits == 0


def test_webhooks_that_come_one_by_one_the_wrong_way_round_lose_and_repeat_nothing(
    shop: Mirrored,
) -> None:
    stands = [shop.clone.commit(f"number {number}") for number in range(4)]
    shop.clone.push(f"{stands[0]}:refs/heads/main")
    assert shop.turn(all_moves=True).told == []
    shop.clone.push("main")
    for old, new in list(itertools.pairwise(stands))[::-1]:
        shop.push(old, new)
        assert shop.turn().error == ""
    (payload,) = shop.told()
    assert lines(payload) == ["number 1", "number 2", "number 3"]
    assert shop.waits == 0


def test_a_redelivery_tells_of_nothing(shop: Mirrored) -> None:
    first, second, third = (shop.clone.commit(f"number {n}") for n in range(3))
    shop.clone.push("main")
    webhook = shop.forge.told(shop.clone, first, second)
    for _ in range(2):
        shop.ring(webhook)
        shop.ring(shop.forge.told(shop.clone, second, third))
        assert shop.turn().error == ""
    shop.clone.sh("git commit -q --allow-empty -m more")
    shop.clone.push("main")
    shop.ring(webhook)
    assert shop.turn().told == []
    assert [lines(each) for each in shop.told()] == [["number 1"], ["number 2"]]


def test_a_push_whose_webhook_never_came_is_found_by_who_looks(shop: Mirrored) -> None:
    base = shop.clone.commit("base")
    shop.clone.push("main")
    assert shop.turn(all_moves=True).told == []
    shop.clone.commit("missed")
    shop.clone.push("main", "main:next")
    assert len(shop.turn(all_moves=True).told) == 1
    (payload,) = shop.told()
    assert payload["user"] is None
    assert lines(payload) == ["missed"]
    assert {ref: old for ref, old, _ in moved(payload)} == {
        "refs/heads/main": base,
        "refs/heads/next": "0" * 40,
    }


def test_what_was_forced_away_before_it_could_be_fetched_is_told_as_the_webhook_said(
    shop: Mirrored, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = shop.clone.commit("base")
    shop.clone.push("main")
    assert shop.turn(all_moves=True).told == []
    gone = "12" * 20
    commit = {
        "id": gone,
        "message": "gone, fixes #1",
        "timestamp": "2026-01-01T10:00:00Z",
        "url": f"https://github.com/web/shop/commit/{gone}",
        "author": {"name": "Ann", "email": "ann@example.org"},
    }
    shop.ring(shop.forge.told(shop.clone, base, gone, commits=[commit]))
    new = shop.clone.commit("instead")
    shop.clone.push("main")
    event = shop.push(gone, new)
    turn = shop.turn()
    assert (turn.error, turn.waits) == ("", True)  # it may only be late
    assert [(each["id"], lines(each)) for each in shop.told()] == [(event, ["instead"])]
    monkeypatch.setattr(work, "LATE", 0.0)
    assert not shop.turn().waits
    assert lines(shop.told()[1]) == ["gone, fixes #1"]


def test_a_first_webhook_that_forced_is_told_as_it_says_and_history_is_not(
    shop: Mirrored,
) -> None:
    for number in range(3):
        shop.clone.commit(f"old {number}, fixes #{number}")
    shop.clone.push("main")
    shop.push("12" * 20, shop.clone.git("rev-parse", "HEAD"))
    assert not shop.turn().waits
    (payload,) = shop.told()
    assert payload["commits"] == []
    assert shop.turn(all_moves=True).told == []


def test_while_the_forge_does_not_answer_bells_wait_and_then_each_is_told_of(
    shop: Mirrored,
) -> None:
    stands = [shop.clone.commit(f"number {number}") for number in range(3)]
    shop.clone.push("main")
    shop.forge.down = True
    for old, new in itertools.pairwise(stands):
        shop.push(old, new)
        turn = shop.turn()
        assert "error: 503" in turn.error
        assert turn.waits
    assert shop.told() == []
    shop.forge.down = False
    assert not shop.turn().waits
    assert [lines(each) for each in shop.told()] == [["number 1"], ["number 2"]]


def test_what_cannot_be_fetched_for_days_is_told_as_the_webhook_said_it(
    shop: Mirrored, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = shop.clone.commit("base")
    shop.clone.push("main")
    assert shop.turn(all_moves=True).told == []
    new = shop.clone.commit("later")
    shop.clone.push("main")
    event = shop.push(base, new)
    shop.forge.down = True
    monkeypatch.setattr(work, "GIVEN_UP", 0.0)
    assert [told.id for told in shop.turn().told] == [event]
    shop.forge.down = False
    assert shop.turn(all_moves=True).told == []
    assert shop.waits == 0


def test_one_that_waits_for_another_who_fetches_says_so(shop: Mirrored) -> None:
    worker = work.Worker(shop.config, shop.state)
    with mirrors.held(shop.mirror, 0) as mine:
        assert mine
        turn = worker.turn(shop.origin, "web/shop", all_moves=True, patience=0)
    assert turn == ([], "another process fetches it", True)


def test_what_a_killed_process_left_half_written_is_removed_after_a_day(
    shop: Mirrored,
) -> None:
    base, new = shop.clone.commit("base"), shop.clone.commit("new")
    shop.push(base, new)
    (bell,) = (shop.state / "bells").iterdir()
    old, young = bell.with_suffix(".0a1b2c3d"), bell.with_suffix(".4e5f6a7b")
    for path in (bell, old):
        path.write_bytes(b"{")
        os.utime(path, (0, 0))
    young.touch()
    bells.sweep(shop.state)
    assert {*(shop.state / "bells").iterdir()} == {bell, young}


def test_a_bell_that_cannot_be_read_is_put_aside(shop: Mirrored) -> None:
    base, new = shop.clone.commit("base"), shop.clone.commit("new")
    shop.clone.push("main")
    shop.push(base, new)
    (file,) = (shop.state / "bells").iterdir()
    for number, text in enumerate((b"", b"{", b"[]", b'{"webhook": 1, "payload": 2}')):
        file.with_name(f"{number:020d}{file.name[20:]}").write_bytes(text)
    shop.turn()
    assert [lines(each) for each in shop.told()] == [["new"]]
    assert len(list((shop.state / "bells").glob("*.bad"))) == 4


def test_names_of_repositories_lead_nowhere_else(shop: Mirrored) -> None:
    worker = work.Worker(shop.config, shop.state)
    for name in ("web/../../etc", "/etc", "web//shop", "..", "web/."):
        turn = worker.turn(shop.origin, name, all_moves=True, patience=0)
        assert "is no name of a repository" in turn.error
    odd = "web/a b?#%\n$(id)"
    assert shop.origin.address(odd).endswith("/web/a%20b%3F%23%25%0A%24%28id%29.git")


def test_hostile_refs_and_messages_are_values_and_nothing_else(shop: Mirrored) -> None:
    clone = shop.clone
    base = clone.commit("base")
    clone.push("main")
    assert shop.turn(all_moves=True).told == []
    name = "refs/heads/--upload-pack=touch${IFS}x;`id`$(id)\u202e"
    clone.commit("--output=x\n\x1b[31m$(id)")
    new = clone.git("rev-parse", "HEAD")
    clone.git("push", "-q", "origin", f"HEAD:{name}")
    shop.push("", new, name)
    shop.push(base, new, "refs/heads/../../x")
    assert shop.turn().error == ""
    payload = shop.told()[0]
    assert moved(payload) == [(name, "0" * 40, new)]
    inside = [path for path in Path(shop.state).rglob("*") if path.name == "x"]
    assert inside == []


def test_nothing_that_the_mirror_is_made_of_can_be_read_by_others(
    shop: Mirrored,
) -> None:
    base, new = shop.clone.commit("base"), shop.clone.commit("new")
    shop.clone.push("main")
    shop.push(base, new)
    bell = next((shop.state / "bells").iterdir())
    assert bell.stat().st_mode & 0o077 == 0
    shop.turn()
    assert shop.mirror.git_dir.stat().st_mode & 0o077 == 0
    assert shop.mirror.git_dir.stat().st_uid == os.geteuid()
    assert bells.keys(shop.state) == set()
