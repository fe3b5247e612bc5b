"""Who submitted is what the kernel says; who pushed is believed of those who run git
for others, and of nobody else.
"""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oberonc import accounts, config
from oberonc.daemon.intake.sender import Sender
from oberonc.daemon.intake.submissions import submission
from oberonc.delivery import frames, spool
from oberonc.queue.sqlite.engine import SqliteQueue
from tests.support.command import Command
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually

#: An account that no machine has.
STRANGER = 54321
OWN = {"uid": os.geteuid(), "name": accounts.name(os.geteuid())}


def _body(sent: dict[str, Any], sender: Sender, *trusted: str) -> dict[str, Any]:
    known = config.load()
    known = known._replace(daemon=known.daemon._replace(trusted=trusted))
    body: dict[str, Any] = json.loads(submission(known, sent, sender).body)
    return body


def test_what_our_client_sends_is_kept_byte_for_byte() -> None:
    received = frames.decode_request(
        frames.encode({"op": "submit", "payload": push()})[8:]
    )["payload"]
    made = submission(config.load(), received, Sender(os.geteuid()))
    assert made.body is received.raw
    assert made.came is received.raw


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"uid": 0, "name": "root"},
        {"uid": True},
        {"uid": STRANGER},
        "root",
        0,
        [],
    ],
)
@pytest.mark.parametrize("origin", ["socket", "spool"])
def test_what_a_client_says_of_itself_does_not_count(said: object, origin: str) -> None:
    if said is not None and not isinstance(said, dict):
        with pytest.raises(Exception, match="submitter"):
            _body(push(submitter=said), Sender(STRANGER, origin))
        return
    body = _body(
        push(submitter=said) if said is not None else push(), Sender(STRANGER, origin)
    )
    assert body["submitter"] == {"uid": STRANGER, "name": None}
    assert body["user"] is None


def test_values_that_python_takes_for_the_same_do_not_pass_for_it() -> None:
    for uid in (
        float(os.geteuid()),
        bool(os.geteuid()) if os.geteuid() in (0, 1) else float(os.geteuid()),
    ):
        assert (
            type(
                _body(push(submitter=OWN | {"uid": uid}), Sender(os.geteuid()))[
                    "submitter"
                ]["uid"]
            )
            is int
        )


def test_only_a_trusted_account_names_another_user() -> None:
    other = next(
        entry for entry in pwd.getpwall() if entry.pw_uid not in (os.geteuid(), 65534)
    )
    sender = Sender(other.pw_uid)
    assert _body(push(user="alice"), sender)["user"] == other.pw_name
    assert _body(push(user="alice"), sender, other.pw_name)["user"] == "alice"
    assert _body(push(user=None), sender, other.pw_name)["user"] is None
    # A file that somebody else could have written is nobody's word.
    assert (
        _body(push(user="alice"), sender._replace(proven=False), other.pw_name)["user"]
        == other.pw_name
    )


def test_the_same_bytes_are_the_same_push_though_what_is_kept_of_them_would_be_another(
    tmp_path: Path,
) -> None:
    """P6: between the two the account became trusted."""
    other = next(
        entry for entry in pwd.getpwall() if entry.pw_uid not in (os.geteuid(), 65534)
    )
    sent, sender, known = push(user="alice"), Sender(other.pw_uid), config.load()
    first, second = (
        submission(
            known._replace(daemon=known.daemon._replace(trusted=trusted)), sent, sender
        )
        for trusted in ((), (other.pw_name,))
    )
    assert first.body != second.body
    queue = SqliteQueue(tmp_path / "queue.sqlite")
    try:
        assert [queue.accept(1, each).status for each in (first, second)] == [
            "accepted",
            "duplicate",
        ]
    finally:
        queue.close()


def test_the_daemons_own_account_is_trusted() -> None:
    assert _body(push(user="alice"), Sender(os.geteuid()))["user"] == "alice"
    assert _body(push(user="alice"), Sender(os.geteuid()))["submitter"] == OWN


def test_it_is_shown_by_the_commands(site: Site, oberonc: Command) -> None:
    site.start()
    made = site.submit(push(user="alice"))
    site.settled(done=1)
    [row] = site.call("log", key=made)["events"]
    assert (row["user"], row["submitter"]) == ("alice", OWN)
    [listed] = site.call("delivery.list")["deliveries"]
    assert listed["submitter"] == OWN
    shown = site.call("event.show", id=made)["event"]
    assert shown["submitter"] == shown["payload"]["submitter"] == OWN
    whom = f"from {OWN['name'] or 'an account without a name'} (uid {OWN['uid']})"
    assert whom in oberonc("--config", site.file, "log", made).out
    assert (
        whom in oberonc("--config", site.file, "queue", "show", str(listed["id"])).out
    )


def _as_stranger(site: Site, made: dict[str, Any]) -> bytes:
    """Hand *made* in as somebody else, without any code of ours."""
    frame = frames.encode({"op": "submit", "payload": made})
    code = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        f"os.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER})\n"
        "s.connect(sys.argv[1])\n"
        "s.sendall(sys.stdin.buffer.read())\n"
        "print(s.recv(4096))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site.socket)],
        input=frame,
        capture_output=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_stranger_cannot_speak_for_others_by_the_socket_or_the_spool(
    site: Site,
) -> None:
    site.start()
    site.folder.chmod(0o755)
    site.socket.chmod(0o666)
    by_socket = push(user="alice", submitter={"uid": 0, "name": "root"})
    assert b"accepted" in _as_stranger(site, by_socket)
    # The same id and the same bytes, though what is kept was written anew; also by the
    # spool.
    assert b"duplicate" in _as_stranger(site, by_socket)
    by_spool = push(user="alice", submitter={"uid": 0, "name": "root"})
    for made in (by_spool, by_socket):
        path = spool.put(site.folder / "hers", {"payload": made, "services": None})
        os.chown(path, STRANGER, STRANGER)
        path.rename(site.state / "spool" / "new" / path.name)
    site.settled(done=2)
    eventually(lambda: site.stats()["events"]["duplicates"] == 2)
    for event in (by_socket, by_spool):
        [row] = site.call("log", key=event["id"])["events"]
        assert row["submitter"] == {"uid": STRANGER, "name": None}
        assert row["user"] is None
    assert site.stats()["spool_bad"] == 0


def test_a_file_that_is_sent_by_hand_is_from_who_sends_it(
    site: Site, oberonc: Command, tmp_path: Path
) -> None:
    site.start()
    file = tmp_path / "push.json"
    file.write_text(json.dumps(push(submitter={"uid": 1, "name": "daemon"})))
    oberonc("--config", site.file, "send", "--payload", file)
    site.settled(done=1)
    assert [row["submitter"] for row in site.call("log")["events"]] == [OWN]
