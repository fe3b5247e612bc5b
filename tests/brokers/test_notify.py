"""The notify broker: apprise's own plugins, and a server on loopback that answers."""

import logging
import re
import socket
import subprocess
import sys
from pathlib import Path

import apprise
import pytest

from brokers import notify
from brokers.notify import Notify
from oberonc import testing
from oberonc.testing import Answer, Server
from tests.support.buses import through_a_daemon
from tests.support.daemon_site import Site
from tests.support.ports import free_port

TOKEN = "t0kenwhichisapart"
KINDS = ["push", "commits", "merge", "tag", "delete", "all", "hostile", "dead"]


def _url(server: Server, scheme: str = "json", path: str = TOKEN) -> str:
    return f"{scheme}://{server.url.removeprefix('http://')}/{path}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_message_in_which_nothing_acts(tmp_path: Path, kind: str) -> None:
    with Server() as server:
        payload = testing.payload(kind)
        done = testing.deliver(Notify, payload, tmp_path, url=_url(server))
    assert (done.kind, done.note) == ("done", "told JSON")
    [sent] = server.requests
    body = sent.json()
    text = body["title"] + body["message"]
    assert body["message"].strip()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text)
    assert not re.search(r"@\w|javascript:|evil\.example|\]\(|<[!@]", text)


def test_only_the_plugin_that_is_used_is_loaded() -> None:
    code = (
        "import sys; from brokers import notify; kind = notify._kind('mmost');"
        "print(kind.__name__, sum(name.startswith('apprise.plugins.') for name in sys.modules))"
    )
    top = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=top,
        capture_output=True,
        text=True,
        check=True,
    )
    name, count = done.stdout.split()
    assert name == "NotifyMattermost"
    assert int(count) <= 3


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # of a library of mail's
def test_every_scheme_of_apprise_leads_to_its_plugin() -> None:
    details = apprise.Apprise().details(show_disabled=True)["schemas"]
    schemes = [
        one
        for each in details
        for key in ("protocols", "secure_protocols")
        for one in each[key] or ()
    ]
    assert len(schemes) > 250
    unknown = set()
    for one in schemes:
        try:
            assert one in notify._schemes(notify._kind(one))
        except ValueError:
            unknown.add(one)
    assert unknown == {"dbus", "kde", "qt"}  # of a desktop


ANSWERS = [
    (Answer(500), "retry", None),
    (Answer(503, headers={"Retry-After": "90"}), "retry", 90),
    (Answer(429, headers={"Retry-After": "7"}), "retry", 7),
    (Answer(429, '{"parameters": {"retry_after": 31}}'), "retry", 31),
    (Answer(401), "retry", 600),
    (Answer(403), "retry", 600),
    (Answer(404, f"no {TOKEN} here"), "dead", None),
    (Answer(302, headers={"Location": "/moved"}), "dead", None),
]


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    ANSWERS,
    ids=[f"{row[0].status} {row[2]}" for row in ANSWERS],
)
def test_answers_are_told_apart(
    tmp_path: Path, answer: Answer, kind: str, after: float | None
) -> None:
    with Server(answer) as server:
        done = testing.deliver(Notify, testing.payload(), tmp_path, url=_url(server))
    assert (done.kind, done.after) == (kind, after), done.note
    assert str(answer.status) in done.note
    assert TOKEN not in done.note
    assert len(server.requests) == 1  # and no redirect was followed


def test_an_answer_that_was_lost_may_have_told_and_is_not_told_again(
    tmp_path: Path,
) -> None:
    with Server(Answer(0)) as server:
        done = testing.deliver(Notify, testing.payload(), tmp_path, url=_url(server))
    assert (done.kind, "perhaps told" in done.note) == ("dead", True), done.note


def test_an_answer_that_takes_too_long_may_have_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "READ", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"json://127.0.0.1:{silent.getsockname()[1]}/{TOKEN}"
        done = testing.deliver(Notify, testing.payload(), tmp_path, url=url)
    assert (done.kind, "perhaps told" in done.note) == ("dead", True), done.note


def test_what_was_never_reached_is_tried_again(tmp_path: Path) -> None:
    port = free_port()
    for scheme in ("json", "jsons", "mailto"):
        url = f"{scheme}://ann:{TOKEN}@127.0.0.1:{port}"
        if scheme == "mailto":
            url += "?to=a@example.org&from=b@example.org"
        done = testing.deliver(Notify, testing.payload(), tmp_path, url=url)
        assert done.kind == "retry", (scheme, done.note)
        assert TOKEN not in done.note


def test_an_endless_answer_is_not_read(tmp_path: Path) -> None:
    with Server(Answer(200, b"x" * 5_000_000)) as server:
        done = testing.deliver(Notify, testing.payload(), tmp_path, url=_url(server))
    assert done.kind == "done"


def test_nothing_is_taken_from_a_netrc(tmp_path: Path, home: Path) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login ann password x\n")
    (home / ".netrc").chmod(0o600)
    with Server() as server:
        testing.deliver(Notify, testing.payload(), tmp_path, url=_url(server))
    assert "authorization" not in server.requests[0].headers


def test_what_apprise_logs_is_not_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Server(Answer(500)) as server:
        testing.deliver(Notify, testing.payload(), tmp_path, url=_url(server))
    assert logging.getLogger("apprise").level in (logging.NOTSET, logging.WARNING)
    assert capfd.readouterr() == ("", "")


def test_others_get_the_text_within_their_limits(tmp_path: Path) -> None:
    payload = testing.payload("many")
    for each in payload["commits"]:
        each["message"] = "words " * 20
    with Server(Answer(200, "ok")) as server:
        url = _url(server, "mmost", "a" * 24)
        done = testing.deliver(Notify, payload, tmp_path, url=url, most=30)
    assert done.kind == "done", done.note
    [sent] = server.requests
    assert 1000 < len(sent.json()["text"]) <= 4000


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nothing://x", "apprise knows no 'nothing://'"),
        ("", "apprise knows no"),
        (f"slack://{TOKEN}", "is no address of Slack"),
        ("discord://", "is no address of Discord"),
    ],
    ids=["scheme", "empty", "wrong", "bare"],
)
def test_addresses_that_cannot_work_are_refused(
    url: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as found:
        testing.bound(Notify, tmp_path, url=url)
    assert TOKEN not in str(found.value)


def test_a_daemon_delivers_within_its_limits(site: Site) -> None:
    with Server() as server:
        secret = site.folder / "url"
        secret.write_text(_url(server))
        secret.chmod(0o600)
        through_a_daemon(site, "notify", url=f"file:{secret}")
    assert len(server.requests) == 1
