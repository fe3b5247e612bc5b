"""`oberonc queue` where brokers run without a daemon: what is kept, and dead letters."""

import json
from pathlib import Path

import pytest

from oberonc.delivery import spool
from tests.support.admin import Admin, sample
from tests.support.command import Command


class Pushes:
    """Pushes whose broker does what a file says: `retry`, `dead` or `done`."""

    def __init__(self, admin: Admin, oberonc: Command, folder: Path) -> None:
        self.admin, self.oberonc, self._folder = admin, oberonc, folder
        self.mood = folder / "mood"
        body = f"""
            mood = open({str(self.mood)!r}).read()
            if mood == 'retry': raise Retry('not now')
            if mood == 'dead': raise Reject('never of this')
            open(DONE, 'a').write(payload['id'] + '\\n')
        """
        admin.handle("b", body)
        admin.configure("[services.chat]\nbroker = 'b'\n")

    def push(self, mood: str, repository: str = "web/shop") -> str:
        """Send a push; its id."""
        self.mood.write_text(mood)
        payload = sample()
        payload["repository"]["full_name"] = repository
        file = self._folder / "p.json"
        file.write_text(json.dumps(payload))
        self.oberonc("send", "--payload", file, code=0 if mood == "done" else 1)
        return str(payload["id"])


@pytest.fixture
def pushes(admin: Admin, oberonc: Command, tmp_path: Path) -> Pushes:
    return Pushes(admin, oberonc, tmp_path)


def test_what_waits_and_what_is_dead_is_listed(
    pushes: Pushes, oberonc: Command
) -> None:
    none = oberonc("queue", "list")
    assert (none.out, none.err) == ("", "no delivery waits or is dead\n")
    dead, waits = pushes.push("dead"), pushes.push("retry", "web/blog")
    said = oberonc("queue", "list").out
    assert f"{dead[:8]}-chat  2026-01-01T11:00:01Z  dead  chat  web/shop" in said
    assert ": never of this" in said and ": not now" in said
    rows = oberonc("queue", "list", "--json", "--state", "ready").json
    assert [(row["event"], row["state"], row["tries"]) for row in rows] == [
        (waits, "ready", 1)
    ]
    [row] = oberonc("queue", "list", "--json", "--repository", "web/shop").json
    assert row["event"] == dead
    assert oberonc("queue", "list", "--service", "nobody").out == ""
    shown = oberonc("queue", "show", f"{waits[:8]}-chat").out
    assert f"push {waits}, 1 try" in shown


def test_a_dead_one_is_tried_again_as_new(pushes: Pushes, oberonc: Command) -> None:
    event = pushes.push("dead")
    name = f"{event[:8]}-chat"
    assert "dead: never of this" in oberonc("queue", "retry", name, code=1).out
    pushes.mood.write_text("retry")
    assert "retry: not now" in oberonc("queue", "retry", name, code=1).out
    assert oberonc("queue", "list", "--json").json[0]["state"] == "ready"
    pushes.mood.write_text("done")
    assert oberonc("queue", "retry", name).out.startswith(f"{name}: done")
    assert pushes.admin.lines() == [event]
    assert oberonc("queue", "list").out == ""


def test_all_that_fit_are_retried_or_dropped(pushes: Pushes, oberonc: Command) -> None:
    first, second = pushes.push("dead"), pushes.push("dead", "web/blog")
    pushes.mood.write_text("done")
    oberonc("queue", "retry", "--repository", "web/shop")
    assert pushes.admin.lines() == [first]
    said = oberonc("queue", "drop", "--service", "chat", "--json").json
    assert [each["delivery"]["event"] for each in said] == [second]
    assert oberonc("queue", "list").out == ""


def test_what_is_dropped_is_not_tried_any_more_and_the_log_says_by_whom(
    pushes: Pushes, oberonc: Command, state: Path
) -> None:
    waits, dead = pushes.push("retry"), pushes.push("dead", "web/blog")
    oberonc("queue", "drop", f"{waits[:8]}-chat", f"{dead[:8]}-chat")
    assert spool.listing(state / "spool") == []
    assert list((state / "spool" / "dead").iterdir()) == []
    pushes.mood.write_text("done")
    oberonc("send", "--spooled")
    assert pushes.admin.lines() == []
    for event in (waits, dead):
        assert "dropped by " in oberonc("log", event).out


def test_what_is_not_there_is_said_and_stops_no_other(
    pushes: Pushes, oberonc: Command
) -> None:
    event = pushes.push("dead")
    for words in (["show", "17"], ["retry", "x-chat"], ["drop", f"{event}-none"]):
        said = oberonc("queue", *words, code=65).err
        assert "there is no delivery called" in said
    assert "give the numbers" in oberonc("queue", "retry", code=2).err
    assert len(oberonc("queue", "list", "--json").json) == 1


def test_what_lies_among_dead_letters_and_is_none_is_left_alone(
    pushes: Pushes, oberonc: Command, state: Path
) -> None:
    pushes.push("dead")
    folder = state / "spool" / "dead"
    (folder / "link.json").symlink_to("/etc/passwd")
    (folder / "text.json").write_text("not JSON")
    (folder / "dir.json").mkdir()
    assert len(oberonc("queue", "list", "--json").json) == 1


def test_a_daemon_that_is_configured_and_gone_is_still_named(
    admin: Admin, oberonc: Command
) -> None:
    admin.configure("delivery = 'daemon'\n")
    assert "no daemon answers" in oberonc("queue", "list", code=69).err
