"""The mail broker: what a mail reader finds, with a real SMTP server on loopback."""

import email
import email.policy
import re
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from brokers.mail import Mail
from oberonc import testing
from oberonc.payload.digest import joined
from tests.support.ports import free_port


class Box:
    """A mailbox: what the server took, and what it is told to refuse."""

    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.answers: list[str] = []

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer.startswith("250"):
            raw = cast(bytes, envelope.content)
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            self.mails.append((envelope, mail))
        if answer.endswith("lost"):
            server.transport.abort()
        return answer


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def server(box: Box) -> Iterator[str]:
    def known(*args: Any) -> AuthResult:
        good = args[4].password == b"s3cret-word"
        return AuthResult(success=good, handled=False)

    port = free_port()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        authenticator=known,
        auth_require_tls=False,
    )
    controller.start()
    yield f"smtp://127.0.0.1:{port}"
    controller.stop()


def _settings(server: str) -> dict[str, Any]:
    return {
        "server": server,
        "sender": "Shop's git <git@example.org>",
        "to": ["devs@example.org"],
    }


def _send(server: str, tmp_path: Path, payload: dict[str, Any], **more: Any) -> str:
    done = testing.deliver(Mail, payload, tmp_path, **_settings(server) | more)
    assert done.kind == "done", done.note
    return done.note


def _subjects(box: Box) -> list[str]:
    return [mail["Subject"] for _, mail in box.mails]


def test_several_commits_are_a_summary_and_answers_to_it(
    server: str, box: Box, tmp_path: Path
) -> None:
    payload = testing.payload("commits")
    assert _send(server, tmp_path, payload) == "sent 4 mails"
    old, new = (payload["updates"][0][key][:10] for key in ("old", "new"))
    assert _subjects(box) == [
        f"[shop] branch main updated ({old} -> {new})",
        "[shop] 1/3: needs more work, references #37",
        "[shop] 2/3: all done, fixes #42",
        "[shop] 3/3: tidy up",
    ]
    top, *commits = (mail for _, mail in box.mails)
    assert all(mail["In-Reply-To"] == top["Message-ID"] for mail in commits)
    assert all(mail["References"] == top["Message-ID"] for mail in commits)
    assert len({mail["Message-ID"] for _, mail in box.mails}) == 4
    assert top["X-Git-NotificationType"] == "ref_changed"
    assert top["X-Git-Newrev"] == payload["updates"][0]["new"]
    assert commits[0]["Reply-To"] == "Ann Example <ann@example.org>"
    assert commits[0]["X-Git-Rev"] == payload["commits"][0]["raw_node"]
    assert commits[0]["Auto-Submitted"] == "auto-generated"
    assert "With a second paragraph." in commits[0].get_content()


def test_one_commit_is_one_mail(server: str, box: Box, tmp_path: Path) -> None:
    payload = testing.payload("forced")
    _send(server, tmp_path, payload)
    [(_, mail)] = box.mails
    assert mail["Subject"] == (
        "[shop] branch main updated: needs more work, references #37"
    )
    assert mail["X-Git-NotificationType"] == "ref_changed_plus_diff"
    assert "rewrote" in mail.get_content()
    assert "Author: Ann Example <ann@example.org>" in mail.get_content()


def test_a_mail_has_the_diff_of_its_commit(
    server: str, box: Box, tmp_path: Path
) -> None:
    payload = testing.payload("forced")
    diff = "diff --git a/x b/x\n@@ -1 +1 @@\n-a\x0cb\n+\x1b[31m\u202ec\n \n"
    payload["commits"][0] |= {"diff": diff}
    _send(server, tmp_path, payload)
    cut = {"diff_truncated": True, "raw_node": "2" * 40}
    payload["commits"].append(payload["commits"][0] | cut)
    _send(server, tmp_path, payload, kind="commits")
    texts = [mail.get_content().replace("\r\n", "\n") for _, mail in box.mails]
    for text in texts:
        assert (
            "\ndiff --git a/x b/x\n@@ -1 +1 @@\n-a\\x0cb\n+\\x1b[31m\\u202ec\n \n"
            in text
        )
    missing = "The diff was larger than the limits; some of it is missing."
    assert [missing in text for text in texts] == [False, False, True]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("tag", r"\[shop\] tag v1.0 created \(now \w{10}\)"),
        ("delete", r"\[shop\] branch feature/cart deleted \(was \w{10}\)"),
        ("merge", r"\[shop\] branch main updated: Merge branch 'feature/cart'"),
        ("message", r"\[shop\] ann told of 1 commit in web/shop"),
        ("dead", r"\[oberonc\] oberonc gave up 1 delivery"),
    ],
)
def test_every_kind_of_push_has_its_subject(
    server: str, box: Box, tmp_path: Path, kind: str, subject: str
) -> None:
    _send(server, tmp_path, testing.payload(kind))
    [found] = _subjects(box)
    assert re.fullmatch(subject, found), found


def test_lists_for_each_kind(server: str, box: Box, tmp_path: Path) -> None:
    lists = {
        "to": ["all@example.org"],
        "to_refs": ["refs@example.org"],
        "to_tags": ["tags@example.org"],
        "to_commits": ["commits@example.org"],
    }
    _send(server, tmp_path, testing.payload("all"), **lists)
    to = [envelope.rcpt_tos[0].partition("@")[0] for envelope, _ in box.mails]
    assert to == ["refs", *["commits"] * 4, "tags", "refs"]


def test_a_large_push_is_a_summary_only(server: str, box: Box, tmp_path: Path) -> None:
    _send(server, tmp_path, testing.payload("many"), most=29)
    assert len(box.mails) == 1


def test_hostile_text_adds_no_header_and_no_recipient(
    server: str, box: Box, tmp_path: Path
) -> None:
    payload = testing.payload("hostile")
    evil = "a@b.example, c@d.example <e@f.example>\r\nBcc: x@y.example"
    payload["commits"][0]["raw_author"] = f"{evil} <ann@example.org>"
    payload["commits"][0]["committer"] = f"{evil} <x@y.example, z@y.example>"
    payload["repository"]["name"] = "x\r\nBcc: bcc@y.example\r\n\r\nbody"
    _send(server, tmp_path, payload)
    [(envelope, mail)] = box.mails
    assert envelope.rcpt_tos == ["devs@example.org"]
    assert mail["Bcc"] is None
    assert [each.addr_spec for each in mail["To"].addresses] == ["devs@example.org"]
    assert mail["Reply-To"] is None
    text = mail.get_content()
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text.replace("\r", "")
    )
    assert max(map(len, text.splitlines())) <= 600
    assert "RCPT TO" in text


def test_a_name_full_of_addresses_is_one_address(
    server: str, box: Box, tmp_path: Path
) -> None:
    payload = testing.payload("commits")
    for commit in payload["commits"]:
        commit["raw_author"] = "a@b.example, c@d.example <ann@example.org>"
    _send(server, tmp_path, payload)
    answers = [mail["Reply-To"] for _, mail in box.mails[1:]]
    assert {each.addr_spec for some in answers for each in some.addresses} == {
        "ann@example.org"
    }


def test_after_a_lost_connection_nothing_is_sent_twice(
    server: str, box: Box, tmp_path: Path
) -> None:
    box.answers = ["250 taken", "250 taken", "451 busy"]
    payload = testing.payload("commits")
    settings = _settings(server)
    first = testing.deliver(Mail, payload, tmp_path, **settings)
    again = testing.deliver(Mail, payload, tmp_path, attempt=2, **settings)
    assert (first.kind, again.kind) == ("retry", "done")
    assert len(_subjects(box)) == len(set(_subjects(box))) == 4
    assert list((tmp_path / "services" / "mail").glob("sent-*")) == []


def test_after_a_lost_answer_one_mail_comes_twice_with_the_same_id(
    server: str, box: Box, tmp_path: Path
) -> None:
    box.answers = ["250 taken", "250 lost"]
    payload = testing.payload("commits")
    settings = _settings(server)
    first = testing.deliver(Mail, payload, tmp_path, **settings)
    again = testing.deliver(Mail, payload, tmp_path, attempt=2, **settings)
    assert (first.kind, again.kind) == ("retry", "done"), first.note
    ids = [mail["Message-ID"] for _, mail in box.mails]
    assert (len(ids), ids[1], len(set(ids))) == (5, ids[2], 4)


def test_a_try_again_has_the_same_ids(server: str, box: Box, tmp_path: Path) -> None:
    for _ in range(2):
        _send(server, tmp_path, testing.payload("commits"))
    ids = [mail["Message-ID"] for _, mail in box.mails]
    assert ids[:4] == ids[4:]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("451 busy", "retry"), ("554 spam", "dead"), ("552 full", "dead")],
)
def test_the_server_s_answers_are_told_apart(
    server: str, box: Box, tmp_path: Path, answer: str, kind: str
) -> None:
    box.answers = [answer]
    done = testing.deliver(Mail, testing.payload(), tmp_path, **_settings(server))
    assert (done.kind, answer in done.note) == (kind, True)


def test_who_is_refused_is_named_and_the_others_get_it(
    server: str, box: Box, tmp_path: Path
) -> None:
    box.refuse["gone@example.org"] = "550 no such user"
    to = ["gone@example.org", "devs@example.org"]
    said = _send(server, tmp_path, testing.payload("delete"), to=to)
    assert said == "sent 1 mail; refused: gone@example.org"
    box.refuse["devs@example.org"] = "450 later"
    settings = _settings(server) | {"to": ["devs@example.org"]}
    done = testing.deliver(Mail, testing.payload("tag"), tmp_path, **settings)
    assert done.kind == "retry"


def test_who_is_refused_for_now_gets_it_later_and_the_others_once(
    server: str, box: Box, tmp_path: Path
) -> None:
    box.refuse["grey@example.org"] = "450 greylisted"
    box.refuse["gone@example.org"] = "550 no such user"
    people = ["devs@example.org", "grey@example.org", "gone@example.org"]
    payload, settings = testing.payload("commits"), _settings(server) | {"to": people}
    first = testing.deliver(Mail, payload, tmp_path, **settings)
    assert (first.kind, first.progress) == ("retry", False)
    said = "sent 4 mails; refused: gone@example.org; refused for now: grey@example.org"
    assert first.note == said
    still = testing.deliver(Mail, payload, tmp_path, attempt=2, **settings)
    assert (still.kind, len(box.mails)) == ("retry", 4)
    del box.refuse["grey@example.org"]
    last = testing.deliver(Mail, payload, tmp_path, attempt=3, **settings)
    assert last.kind == "done", last.note
    to = [envelope.rcpt_tos for envelope, _ in box.mails]
    assert to == [["devs@example.org"]] * 4 + [["grey@example.org"]] * 4
    ids = [mail["Message-ID"] for _, mail in box.mails]
    assert ids[:4] == ids[4:]
    assert box.mails[-1][1]["To"] == ", ".join(people)
    assert list((tmp_path / "services" / "mail").glob("sent-*")) == []


def test_who_is_refused_for_now_and_then_for_good_is_named(
    server: str, box: Box, tmp_path: Path
) -> None:
    box.refuse["grey@example.org"] = "450 greylisted"
    to = ["devs@example.org", "grey@example.org"]
    payload, settings = testing.payload("delete"), _settings(server) | {"to": to}
    first = testing.deliver(Mail, payload, tmp_path, **settings)
    box.refuse["grey@example.org"] = "550 no such user"
    last = testing.deliver(Mail, payload, tmp_path, attempt=2, **settings)
    assert (first.kind, last.kind, len(box.mails)) == ("retry", "done", 1)
    assert last.note == "sent 1 mail; refused: grey@example.org"


def test_a_wrong_password_waits_for_a_person(server: str, tmp_path: Path) -> None:
    settings = _settings(server) | {"user": "git"}
    good = testing.deliver(
        Mail, testing.payload(), tmp_path, password="s3cret-word", **settings
    )
    bad = testing.deliver(
        Mail, testing.payload(), tmp_path, password="wr0ng-word", **settings
    )
    assert good.kind == "done", good.note
    assert (bad.kind, "CREDENTIALS" in bad.note) == ("retry", True)
    assert "wr0ng" not in bad.note


def test_lists_get_their_headers(server: str, box: Box, tmp_path: Path) -> None:
    more = {"list_id": "shop.example.org", "approved": "m0derator-word"}
    more["reply_to"] = "devs@example.org"
    _send(server, tmp_path, testing.payload("delete"), **more)
    [(_, mail)] = box.mails
    assert mail["List-Id"] == "<shop.example.org>"
    assert mail["Approved"] == "m0derator-word"
    assert mail["Reply-To"] == "devs@example.org"


def test_a_sendmail_gets_the_recipients_as_words(tmp_path: Path) -> None:
    script = tmp_path / "sendmail.py"
    out = tmp_path / "out"
    script.write_text(
        "import sys\n"
        f"open({str(out)!r}, 'wb').write(repr(sys.argv[1:]).encode() + b'\\n'"
        " + sys.stdin.buffer.read())\n"
    )
    command = [sys.executable, str(script), "-i"]
    _send("smtp://x", tmp_path, testing.payload("delete"), sendmail=command)
    words, _, raw = out.read_bytes().partition(b"\n")
    assert words == b"['-i', '--', 'devs@example.org']"
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Subject"].startswith("[shop] branch feature/cart deleted")
    failing = [sys.executable, "-c", "raise SystemExit('no queue')"]
    settings = _settings("smtp://x") | {"sendmail": failing}
    done = testing.deliver(Mail, testing.payload(), tmp_path, **settings)
    assert (done.kind, "no queue" in done.note) == ("retry", True)


def test_no_server_is_told_later(tmp_path: Path) -> None:
    settings = _settings("smtp://127.0.0.1:9")
    done = testing.deliver(Mail, testing.payload(), tmp_path, **settings)
    assert (done.kind, "refused" in done.note) == ("retry", True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["nobody"]},
        {"sender": "x"},
        {"kind": "html"},
        {"server": "http://x"},
        {"server": "smtp://x:99999"},
        {"server": "smtp://me:s3cret@x"},
        {"subject": "${x}"},
    ],
    ids=["nobody", "no address", "sender", "kind", "server", "port", "user", "subject"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'|set|there is no"):
        testing.bound(Mail, tmp_path, **_settings("smtp://x") | wrong)


def test_what_would_be_mailed_can_be_read_before(tmp_path: Path) -> None:
    broker = testing.bound(Mail, tmp_path, **_settings("smtp://x"))
    assert broker.plan(testing.payload("delete")) == [
        "mail devs@example.org: [shop] branch feature/cart deleted (was 0c1d2e3f40)"
    ]


def test_pushes_that_come_together_are_one_mail_for_each_ref_and_commit(
    tmp_path: Path,
) -> None:
    pushes = [
        testing.payload(id=f"{n:032}", commits=[testing.commit(n, f"change {n}")])
        for n in (1, 2)
    ]
    settings: dict[str, Any] = {"sender": "g@example.org", "to": ["a@example.org"]}
    broker = testing.bound(Mail, tmp_path, **settings)
    planned = [line.partition("] ")[2] for line in broker.plan(joined(pushes))]
    assert planned[0].startswith("branch main updated (")
    assert planned[1:] == ["1/2: change 1", "2/2: change 2"]


def test_what_subjects_begin_with_speaks_of_no_commit(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"sender": "g@example.org", "to": ["a@example.org"]}
    with pytest.raises(ValueError, match="'subject'"):
        testing.bound(Mail, tmp_path, subject="${commit.author}", **settings)


def test_a_branch_that_came_and_went_within_a_digest_has_two_mails(
    tmp_path: Path,
) -> None:
    made, gone = testing.payload("branch"), testing.payload("delete", id="1" * 32)
    gone["updates"][0] |= {
        key: made["updates"][0][key] for key in ("ref", "name", "publish")
    }
    settings: dict[str, Any] = {"sender": "g@example.org", "to": ["a@example.org"]}
    broker = testing.bound(Mail, tmp_path, kind="summary", **settings)
    mails = list(broker._mails(joined([made, gone])))
    assert ["created" in mail["Subject"] for mail in mails] == [True, False]
    assert "deleted" in mails[1]["Subject"]
    assert mails[0]["Message-ID"] != mails[1]["Message-ID"]


def test_what_came_without_a_push_has_a_mail_in_a_digest(tmp_path: Path) -> None:
    came = [testing.payload("tag"), testing.payload("message", id="1" * 32)]
    settings: dict[str, Any] = {"sender": "g@example.org", "to": ["a@example.org"]}
    broker = testing.bound(Mail, tmp_path, **settings)
    told, tag = list(broker._mails(joined(came)))
    assert "told of 1 commit" in told["Subject"]
    assert "all done, fixes #42" in told.get_content()
    assert "tag v1.0 created" in tag["Subject"]
