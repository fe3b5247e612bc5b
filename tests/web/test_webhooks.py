"""Webhooks as forges send them, over a real connection to the running face, with the
daemon behind it.
"""

import base64
import hmac
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from oberonc.issues.embedded import IssueFile
from oberonc.payload.schema import now
from oberonc.web.forges.delivery import LARGEST
from oberonc.web.incoming import NAMELESS
from oberonc.web.webhooks import BUDGET, SMALL
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.web import Face, Faces, tokens, webhooks
from tests.support.webhooks import (
    SECRET,
    SIGNING_KEY,
    VECTOR_KEY,
    Example,
    example,
    examples,
    signed_as_standard,
    signed_like_github,
)
from tests.web.test_incoming import MEANS

#: Where many come at once, a busy machine's daemon may answer some too late: they are
#: spooled, and taken from there.
TAKEN = {"accepted", "spooled"}
FORGES = sorted({each.forge for each in examples()})


def every_forge(
    secret: tuple[str, ...] = (), sourcehut: str = ""
) -> dict[str, dict[str, Any]]:
    """A webhook for each, named like it, with *secret* instead of the examples' own;
    sourcehut with that public key.
    """
    own = {"oberonc": SIGNING_KEY, "standard": VECTOR_KEY}
    own["sourcehut"] = sourcehut or base64.b64encode(bytes(32)).decode()
    tables = {}
    for forge in FORGES:
        table: dict[str, Any] = {"forge": forge}
        table["secret"] = list(secret) or [own.get(forge, SECRET)]
        if forge in NAMELESS:
            table["default_branch"] = "master"
        tables[forge] = table
    return tables


class Sourcehut:
    """Who signs as sourcehut does: with the private half of a key."""

    def __init__(self) -> None:
        ed25519 = pytest.importorskip(
            "cryptography.hazmat.primitives.asymmetric.ed25519"
        )
        self._key = ed25519.Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes_raw()
        self.public = base64.b64encode(raw).decode()

    def sign(self, each: Example) -> Example:
        signed = self._key.sign(each.raw + each.headers["X-Payload-Nonce"].encode())
        said = {"X-Payload-Signature": base64.b64encode(signed).decode()}
        return each._replace(headers=each.headers | said)


def as_sent_now(each: Example, sourcehut: Sourcehut) -> Example:
    """*each* as it is sent today: signatures with a time in them hold for minutes."""
    if each.forge == "sourcehut":
        return sourcehut.sign(each)
    if each.forge in ("oberonc", "standard"):
        made = signed_as_standard(each.raw, str(int(time.time())), each.secrets[0])
        return each._replace(headers=made)
    return each


def send(face: Face, each: Example, name: str = "") -> tuple[int, dict[str, str]]:
    answer = face.send(f"/in/{name or each.forge}", each.headers, each.raw)
    return answer.status, json.loads(answer.body)


def test_each_example_is_one_event_sent_once_or_twice(site: Site, faces: Faces) -> None:
    sourcehut = Sourcehut()
    webhooks(site, every_forge(sourcehut=sourcehut.public))
    site.start()
    face = faces.start()
    events: dict[str, str] = {}
    for each in [as_sent_now(each, sourcehut) for each in examples()]:
        first, again = send(face, each), send(face, each)
        assert first[0] == again[0] == 200, each.name
        if each.name not in MEANS:
            assert first[1] == {"status": "ignored"}, each.name
            continue
        # The same push comes as JSON and as a form, and from Gitea and Forgejo.
        assert first[1]["status"] in ("accepted", "known"), each.name
        assert again[1]["status"] in ("duplicate", "known"), each.name
        assert first[1]["event"] == again[1]["event"], each.name
        events[first[1]["event"]] = each.name
    site.wait_for(*events)
    assert sorted(site.ended()) == sorted(events)
    assert len(events) >= len(MEANS) - 6


def test_a_merge_on_a_forge_closes_the_issue_its_branch_named(
    site: Site, faces: Faces
) -> None:
    site.configure({"issues": {"broker": "issues"}})
    webhooks(site, every_forge())
    issues = IssueFile(site.state)
    for number in range(1, 43):
        assert issues.new("web/shop", f"number {number}") == number
    site.start()
    face = faces.start()
    for _ in range(2):
        assert send(face, example("github/push_merge_commit"))[0] == 200
    eventually(lambda: issues.state("web/shop", 42) == "closed", 30, "not closed")
    site.settled()
    assert len(issues.show("web/shop", 42)["comments"]) == 1
    assert len(issues.show("web/shop", 37)["comments"]) == 1
    assert issues.state("web/shop", 37) == "open"


def test_with_the_daemon_down_a_push_waits_in_the_spool(
    site: Site, faces: Faces
) -> None:
    webhooks(site, every_forge())
    face = faces.start()
    each = example("github/push_forced")
    answers = [send(face, each) for _ in range(2)]
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1]["status"] == "spooled"
    site.start()
    site.wait_for(answers[0][1]["event"])
    site.settled(done=1)
    assert send(face, each)[1]["status"] in ("duplicate", "known")


def test_a_daemon_that_was_started_again_takes_the_next_push(
    site: Site, faces: Faces
) -> None:
    webhooks(site, every_forge())
    face = faces.start()
    there = json.loads(example("github/push_rebase_merge").raw)
    for number in range(4):
        if number % 2 == 0:
            running = site.start()
        there |= {"before": there["after"], "after": f"{number:040x}", "commits": []}
        answer = send(face, signed_like_github(there, f"{number}"))
        assert answer[1]["status"] == "accepted", number
        if number == 1:
            running.kill()
    site.settled(done=4)


def test_what_was_taken_and_not_noted_is_a_duplicate(site: Site, faces: Faces) -> None:
    webhooks(site, every_forge())
    site.start()
    face = faces.start()
    each = example("gitlab/push")
    first, stamp = send(face, each)[1], now()
    face.stop()
    for file in site.state.rglob("webhooks.sqlite*"):
        file.unlink()  # as if it had been killed before
    face = faces.start()
    eventually(lambda: now() > stamp, 30, "the clock stands")
    again = send(face, each)
    assert again == (200, {"status": "duplicate", "event": first["event"]})
    site.settled(done=1)
    assert send(face, each)[1]["status"] == "duplicate"


def test_many_at_once_are_each_taken_once(site: Site, faces: Faces) -> None:
    webhooks(site, every_forge())
    site.start()
    face = faces.start()
    there = json.loads(example("github/push_rebase_merge").raw)
    pushes = []
    for number in range(100):
        there |= {"before": there["after"], "after": f"{number + 1:040x}"}
        commit = there["commits"][0] | {"id": there["after"]}
        # Of some the body is so long that it is not looked at in the loop.
        count = 1000 if number % 40 == 0 else 1
        commits = [commit | {"id": f"{number + 1:020x}{n:020x}"} for n in range(count)]
        pushes.append(signed_like_github(there | {"commits": commits}, f"{number}"))
    assert len(pushes[0].raw) > SMALL
    with ThreadPoolExecutor(50) as pool:
        first = list(pool.map(lambda each: send(face, each), pushes))
        again = list(pool.map(lambda each: send(face, each), pushes))
    assert {status for status, _ in first + again} == {200}
    assert {"accepted"} <= {said["status"] for _, said in first} <= TAKEN
    twice = {
        (one["status"], two["status"])
        for (_, one), (_, two) in zip(first, again, strict=True)
    }
    assert ("accepted", "duplicate") in twice
    assert ("accepted", "accepted") not in twice
    assert {status for _, status in twice} <= {"duplicate", *TAKEN}
    events = [said["event"] for _, said in first]
    assert events == [said["event"] for _, said in again]
    assert len(set(events)) == len(pushes)
    site.settled(done=len(pushes))


def test_a_wrong_secret_gets_the_same_answer_whatever_was_wrong(
    site: Site, faces: Faces
) -> None:
    webhooks(site, every_forge(secret=("whsec_bm8=", "new")))
    tokens(site, ["read"])
    face = faces.start()
    answers = set()
    for each in examples():
        answer = face.send(f"/in/{each.forge}", each.headers, each.raw)
        assert answer.status == 401, each.name
        answers.add(answer.body)
    answers.add(face.send("/in/nobody", example("github/ping").headers, b"{}").body)
    assert len(answers) == 1
    assert "there is no webhook of this name" in face.log
    assert not (site.state / "spool" / "new").exists()
    site.start()
    headers = {"Authorization": "Bearer read-token"}
    counted = json.loads(face.send("/api/stats", headers, method="GET").body)
    refused = counted["webhooks"]["github"]["refused"]
    why = "its signature is not made with a secret of this webhook"
    assert refused == {why: sum(each.forge == "github" for each in examples())}
    assert counted["webhooks"][""]["requests"] == {"refused": 1}
    metrics = face.send("/api/metrics", headers, method="GET").body.decode()
    assert f'_refusals_total{{webhook="github",reason="{why}"}}' in metrics


def test_while_a_secret_is_replaced_both_are_good(site: Site, faces: Faces) -> None:
    webhooks(site, every_forge(secret=("new", SECRET)))
    site.start()
    assert send(faces.start(), example("gitea/push"))[1]["status"] == "accepted"


@pytest.fixture
def two_hooks(site: Site, faces: Faces) -> Face:
    """GitHub tells of each push twice: the repository's webhook, and the organisation's."""
    tables = every_forge()
    webhooks(site, tables | {"organisation": tables["github"]})
    site.start()
    return faces.start()


def test_two_hooks_of_a_forge_tell_of_a_push_once(site: Site, two_hooks: Face) -> None:
    there = json.loads(example("github/push_rebase_merge").raw)
    back = there | {"before": there["after"], "after": there["before"], "commits": []}
    pushes = [(there, "1"), (back, "2"), (there, "3"), (back, "4")]
    answers = []
    for value, delivery in pushes:
        each = signed_like_github(value, delivery)
        answers.append(send(two_hooks, each)[1])
        told = send(
            two_hooks, signed_like_github(value, f"o{delivery}"), "organisation"
        )[1]
        assert told == {"status": "known", "event": answers[-1]["event"]}
    assert [answer["status"] for answer in answers] == ["accepted"] * 4
    site.settled(done=4)


def test_what_two_hooks_told_of_is_told_once_also_when_sent_again_much_later(
    site: Site, two_hooks: Face
) -> None:
    value = json.loads(example("github/push_rebase_merge").raw)
    each = signed_like_github(value, "1"), signed_like_github(value, "2")
    told = send(two_hooks, each[0])[1]
    known = {"status": "known", "event": told["event"]}
    assert send(two_hooks, each[1], "organisation")[1] == known
    # The branch went back since, which ends what is known of its moves.
    back = {"before": value["after"], "after": value["before"], "commits": []}
    assert (
        send(two_hooks, signed_like_github(value | back, "3"))[1]["status"]
        == "accepted"
    )
    assert send(two_hooks, each[1], "organisation")[1] == known
    site.settled(done=2)


def test_a_branch_that_is_made_again_can_be_deleted_again(
    site: Site, faces: Faces
) -> None:
    webhooks(site, every_forge())
    site.start()
    face = faces.start()
    made, gone = (
        example("gitea/push_branch_create"),
        example("gitea/event_delete_branch"),
    )
    name = json.loads(gone.raw)["repository"]["full_name"]
    value = json.loads(made.raw) | {"ref": "refs/heads/feature"}
    value["repository"]["full_name"] = name

    def sent(each: Example, number: int, raw: bytes) -> str:
        digest = hmac.digest(SECRET.encode(), raw, "sha256").hex()
        said = {"X-Gitea-Delivery": str(number), "X-Gitea-Signature": digest}
        return send(face, each._replace(headers=each.headers | said, raw=raw))[1][
            "status"
        ]

    again = json.dumps(value).encode()
    answers = [
        sent(gone, 1, gone.raw),
        sent(gone, 2, gone.raw),  # of another hook
        sent(made, 3, again),
        sent(gone, 4, gone.raw),
    ]
    assert answers == ["accepted", "known", "accepted", "accepted"]


def test_two_hooks_that_tell_of_a_push_at_the_same_moment_tell_once(
    site: Site, two_hooks: Face
) -> None:
    there = json.loads(example("github/push_rebase_merge").raw)
    told = []
    for number in range(40):
        value = there | {"before": there["after"], "after": f"{number + 1:040x}"}
        pushes = [signed_like_github(value, f"{number}{hook}") for hook in "ab"]
        told += [(pushes[0], "github"), (pushes[1], "organisation")]
        told += [(pushes[0], "github")]  # and that it was not answered soon enough
    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(lambda each: send(two_hooks, *each)[1], told))
    for first in range(0, len(said), 3):
        of_one = said[first : first + 3]
        assert len({answer["event"] for answer in of_one}) == 1
        assert sum(answer["status"] in TAKEN for answer in of_one) == 1
    site.settled(done=40)


def test_what_moves_nothing_waits_for_nobody_else(site: Site, faces: Faces) -> None:
    webhooks(site, every_forge())
    site.start()
    face = faces.start()
    sourcehut = Sourcehut()
    form = next(each for each in examples() if each.forge == "oberonc")
    told = []
    for _ in range(12):
        raw = json.dumps(push(event="commit", updates=[])).encode()
        told.append(as_sent_now(form._replace(raw=raw), sourcehut))
    os.kill(site.daemons[0].process.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(len(told)) as pool:
            sent = [pool.submit(send, face, each) for each in told]
            # One after the other they would take 12 times what the daemon is given.
            _, late = wait(sent, timeout=6 * BUDGET)
            assert not late
    finally:
        os.kill(site.daemons[0].process.pid, signal.SIGCONT)
    assert {each.result()[1]["status"] for each in sent} == {"spooled"}
    site.settled(done=len(told))


def test_a_commit_of_gitlab_is_new_once(site: Site, faces: Faces) -> None:
    webhooks(site, every_forge())
    site.start()
    face = faces.start()
    value = json.loads(example("gitlab/push_branch_create").raw)
    main = value | {"ref": "refs/heads/master", "before": "1" * 40}
    events = []
    for number, body in enumerate((value, main)):
        headers = dict(example("gitlab/push_branch_create").headers)
        headers["Idempotency-Key"] = f"number {number}"
        answer = face.send("/in/gitlab", headers, json.dumps(body).encode())
        events.append(json.loads(answer.body)["event"])
    site.wait_for(*events)
    counts = {
        row["id"]: [
            len(row["payload"][key]) for key in ("commits", "merged", "published")
        ]
        for row in site.rows()
    }
    assert [counts[event] for event in events] == [[1, 0, 0], [0, 1, 1]]


def test_what_is_no_push_is_refused_in_a_line(site: Site, faces: Faces) -> None:
    webhooks(site, every_forge())
    face = faces.start()
    for body in (b"", b"{", b"[]", b"\xff", b'{"ref": 5}', b"[" * 100_000):
        each = signed_like_github({})
        digest = hmac.digest(SECRET.encode(), body, "sha256").hex()
        headers = each.headers | {"X-Hub-Signature-256": f"sha256={digest}"}
        answer = face.send("/in/github", headers, body)
        assert answer.status == 400, body[:20]
        assert answer.headers["content-type"] == "application/problem+json"
    assert face.send("/in/github", {"Content-Type": "text/plain"}, b"x").status == 415
    assert face.send("/in/github", method="GET").status == 405
    assert face.send(
        "/in/..%2fgithub", {"Content-Type": "application/json"}, b"{}"
    ).status in (401, 404)
    assert face.send("/health", method="GET").status == 200
    assert "Traceback" not in face.log


OVER = "POST /in/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
def test_who_sends_all_of_a_body_over_the_limit_can_read_the_answer(
    site: Site, faces: Faces, chunked: bool
) -> None:
    webhooks(site, every_forge())
    face = faces.start()
    size = LARGEST + (2 << 20)
    how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    part = bytes(1 << 20)
    part = b"100000\r\n%s\r\n" % part if chunked else part
    with socket.create_connection(("127.0.0.1", face.port), timeout=60) as sock:
        sock.sendall(f"{OVER}{how}\r\n\r\n".encode())
        for _ in range(size >> 20):
            sock.sendall(part)
        sock.sendall(b"0\r\n\r\n" if chunked else b"")
        answer = b""
        while more := sock.recv(65536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"problem+json" in answer


def test_a_body_over_the_limit_is_refused_before_all_of_it_came(
    site: Site, faces: Faces
) -> None:
    webhooks(site, every_forge())
    face = faces.start()
    with socket.create_connection(("127.0.0.1", face.port), timeout=60) as sock:
        # By what is said of it, before anything of it came.
        sock.sendall(f"{OVER}Content-Length: {1 << 30}\r\n\r\n".encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")
        part = bytes(1 << 20)
        with pytest.raises(OSError):  # it does not listen for ever
            for _ in range(1000):
                sock.sendall(part)
    assert face.send("/health", method="GET").status == 200


def test_the_text_of_strangers_steers_no_terminal(site: Site, faces: Faces) -> None:
    webhooks(site, every_forge())
    site.start()
    face = faces.start()
    value = json.loads(example("github/push_rebase_merge").raw)
    value["ref"] = "refs/heads/\x1b[31m\n\u202e"
    assert send(face, signed_like_github(value))[0] == 400
    value["ref"] = "refs/heads/main"
    value["repository"]["full_name"] = "web/\x1b[31m\nshop"
    assert send(face, signed_like_github(value, "2"))[0] == 400
    assert "\x1b" not in face.log
