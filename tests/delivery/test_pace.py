"""`rate`, `max_age`, `collapse` and `digest` where hooks run the brokers."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from oberonc.broker.budget import Budget
from oberonc.delivery import deliver, rates, runs, spool
from oberonc.delivery.report import Report
from oberonc.errors import NotAccepted
from tests.support.admin import Admin, sample
from tests.support.command import Command

#: Says what it gets, unless it is down.
BROKER = """
import json, os
if os.path.exists(DONE + ".down"):
    raise Retry("down")
told = {"id": payload["delivery_id"], "digest": payload.get("digest"), "user": payload["user"],
        "refs": [update["name"] for update in payload["updates"]], "attempt": payload["attempt"]}
open(DONE, "a").write(json.dumps(told) + "\\n")
return "told"
"""


@pytest.fixture
def chat(admin: Admin) -> Admin:
    admin.handle("chat", BROKER)
    return admin


def _configure(admin: Admin, *keys: str) -> None:
    lines = ["[services.chat]", "broker = 'chat'", *keys]
    admin.configure("\n".join(lines))


def _down(admin: Admin, down: bool = True) -> None:
    file = Path(f"{admin.done}.down")
    file.touch() if down else file.unlink()


def _push(admin: Admin, user: str, *branches: str) -> Report:
    made = sample(user=user)
    update = made["updates"][0]
    made["updates"] = [
        update | {"ref": f"refs/heads/{name}", "name": name}
        for name in branches or ("main",)
    ]
    return deliver.here(admin.load(), made, Budget())


def _told(admin: Admin) -> list[dict[str, Any]]:
    return [json.loads(line) for line in admin.lines()]


def _kept(admin: Admin) -> list[dict[str, Any]]:
    entries = [spool.read(path) for path in spool.listing(admin.state / "spool")]
    return [entry["services"]["chat"] for entry in entries]


def _outcomes(admin: Admin) -> list[str]:
    return sorted(
        row["services"]["chat"].get("outcome", "")
        for row in runs.recent(admin.load(), 99)
    )


# Rate


def test_what_has_no_turn_is_kept_and_goes_with_a_later_push(chat: Admin) -> None:
    _configure(chat, "rate = '1/h'")
    assert _push(chat, "ann").services["chat"].outcome == "done"
    report = _push(chat, "bob")
    assert "chat: not done yet: its `rate` lets it start at " in report.line
    assert _kept(chat)[0]["attempts"] == 0
    assert [told["user"] for told in _told(chat)] == ["ann"]
    _configure(chat, "rate = '1000/s'")
    _push(chat, "cid")
    _push(chat, "dan")
    assert [told["user"] for told in _told(chat)][:2] == ["ann", "bob"]


def test_a_rate_counts_over_repositories(chat: Admin) -> None:
    _configure(chat, "rate = '1/h'")
    _push(chat, "ann")
    other = sample(user="bob")
    other["repository"]["full_name"] = "else/where"
    report = deliver.here(chat.load(), other, Budget())
    assert report.services["chat"].outcome == "retry"


def test_send_spooled_waits_for_turns_that_come_soon(
    chat: Admin, oberonc: Command
) -> None:
    _configure(chat)
    _down(chat)
    for user in ("ann", "bob", "cid"):
        _push(chat, user)
    _down(chat, False)
    _configure(chat, "rate = '4/s'")
    began = time.monotonic()
    oberonc("send", "--spooled")
    assert time.monotonic() - began >= 0.5
    assert [told["user"] for told in _told(chat)] == ["ann", "bob", "cid"]


def test_the_moment_of_the_next_turn_is_never_further_than_the_rate(
    chat: Admin,
) -> None:
    _configure(chat, "rate = '1/m'")
    config = chat.load()
    service = config.services["chat"]
    assert rates.take(config, service) == 0.0
    file = config.state / "rate" / "chat.next"
    assert rates.take(config, service) > time.time()
    file.write_text("99999999999")
    first = rates.take(config, service)
    assert first <= time.time() + 60
    assert rates.take(config, service) == pytest.approx(first, abs=0.001), (
        "it comes nearer"
    )
    for text in ("no number", ""):
        file.write_text(text)
        assert rates.take(config, service) == 0.0
    file.write_text("0")
    assert rates.take(config, service) == 0.0
    assert file.stat().st_mode & 0o077 == 0


def test_a_rate_that_cannot_be_kept_says_so(chat: Admin) -> None:
    _configure(chat, "rate = '1/m'")
    config = chat.load()
    config.state.mkdir(parents=True, exist_ok=True)
    (config.state / "rate").write_text("no folder")
    with pytest.raises(NotAccepted, match="cannot keep when `rate`"):
        rates.take(config, config.services["chat"])
    assert _push(chat, "ann").services["chat"].outcome == "retry"


# Age


def test_what_is_too_old_expires_and_is_logged(chat: Admin) -> None:
    _configure(chat)
    _down(chat)
    _push(chat, "ann")
    _down(chat, False)
    _configure(chat, "max_age = '1h'")
    [path] = spool.listing(chat.state / "spool")
    entry = spool.read(path)
    entry["services"]["chat"]["first"] -= 3700
    spool.write(chat.state / "spool", entry, path.name)
    _push(chat, "bob")
    assert [told["user"] for told in _told(chat)] == ["bob"]
    assert _kept(chat) == []
    assert _outcomes(chat) == ["done", "expired", "retry"]


# What was overtaken


def test_of_each_ref_the_newest_is_delivered(chat: Admin) -> None:
    _configure(chat, "collapse = 'ref'")
    _down(chat)
    _push(chat, "ann", "main")
    _push(chat, "bob", "main", "next")
    _push(chat, "cid", "main")
    _down(chat, False)
    _push(chat, "dan", "main")
    assert [told["user"] for told in _told(chat)] == ["bob", "dan"]
    # ann's push was overtaken by bob's while that waited.
    assert _outcomes(chat).count("collapsed") == 2


# Digests


def test_what_lies_in_the_spool_is_handed_over_together_with_the_push(
    chat: Admin,
) -> None:
    _configure(chat)
    _down(chat)
    _push(chat, "ann")
    _configure(chat, "digest = '5m'")
    _push(chat, "bob")
    _push(chat, "cid")
    _down(chat, False)
    _push(chat, "dan")
    first, second = _told(chat)
    # The first was tried alone, so it goes alone.
    assert (first["user"], first["digest"]) == ("ann", None)
    assert len(second["digest"]) == 3
    assert second["refs"] == ["main"] * 3
    assert _kept(chat) == []
    assert _outcomes(chat).count("done") == 4


def test_a_digest_is_tried_again_as_it_was(chat: Admin, oberonc: Command) -> None:
    _configure(chat, "digest = '5m'", "rate = '1/h'")
    config = chat.load()
    rates.take(config, config.services["chat"])
    for user in ("ann", "bob"):
        _push(chat, user)  # no turn: they gather
    _configure(chat, "digest = '5m'")
    _down(chat)
    assert "chat: retry: down" in oberonc("send", "--spooled", code=1).out
    states = _kept(chat)
    assert len({state["digest"] for state in states}) == 1
    assert [state["attempts"] for state in states] == [1, 1]
    _push(chat, "cid")
    _down(chat, False)
    _push(chat, "dan")
    first, second = _told(chat)
    assert first["id"] == f"{states[0]['digest']}-chat"
    assert (len(first["digest"]), first["attempt"]) == (2, 3)
    assert len(second["digest"]) == 2


def test_a_digest_that_is_rejected_makes_each_a_dead_letter(chat: Admin) -> None:
    chat.handle(
        "chat", "raise Reject('no') if payload.get('digest') else Retry('down')"
    )
    _configure(chat)
    _configure(chat, "digest = '5m'", "rate = '1/h'")
    config = chat.load()
    rates.take(config, config.services["chat"])
    _push(chat, "ann")
    _configure(chat, "digest = '5m'")
    _push(chat, "bob")
    letters = list((chat.state / "spool" / "dead").glob("*.json"))
    assert len(letters) == 2
    assert _kept(chat) == []
    assert _outcomes(chat).count("dead") == 2


def test_a_digest_is_no_larger_than_one_payload_may_be(chat: Admin) -> None:
    _configure(chat, "rate = '1/h'")
    config = chat.load()
    rates.take(config, config.services["chat"])
    for user in ("ann", "bob", "cid"):
        _push(chat, user)
    size = max(path.stat().st_size for path in spool.listing(config.spool))
    _configure(chat, "digest = '5m'", "[limits]", f"bytes = {2 * size}")
    _push(chat, "dan")
    assert [len(told["digest"] or [1]) for told in _told(chat)] == [2, 2]
