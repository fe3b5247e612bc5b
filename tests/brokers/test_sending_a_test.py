"""What `oberonc brokers test` asks of the shipped brokers: a check that proves address
and credentials, and a message of which everybody sees that it is a test.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from brokers.bluesky import Bluesky
from brokers.ci import Ci
from brokers.discord import Discord
from brokers.exec import Exec
from brokers.feed import Feed
from brokers.issues import Issues
from brokers.jsonl import Jsonl
from brokers.mail import Mail
from brokers.mastodon import Mastodon
from brokers.matrix import Matrix
from brokers.mattermost import Mattermost
from brokers.slack import Slack
from brokers.teams import Teams
from brokers.twitter import Twitter
from brokers.webhook import Webhook
from oberonc import BaseBroker, testing
from oberonc.payload.check import check
from oberonc.testing import Answer, Sent, Server

SAID = "sent a test of oberonc and pushed nothing"
FORM = "${repository.name}: ${commit.message}"
KEYS = {"key": "k1", "key_secret": "k2", "token": "k3", "token_secret": "k4"}

#: {broker that posts what people read: the settings it needs beside the address}
POSTING: dict[type[BaseBroker], dict[str, str]] = {
    Slack: {"format": FORM},
    Mattermost: {"format": FORM},
    Discord: {"format": FORM},
    Teams: {"format": FORM},
    Matrix: {"token": "s3cret", "room": "!r:example.org"},
    Mastodon: {"token": "s3cret", "format": FORM},
    Bluesky: {"user": "u", "password": "s3cret"},
    Twitter: KEYS,
    Webhook: {},
}
#: What a server answers that each of them takes for a yes.
YES = json.dumps(
    {
        "event_id": "$1",
        "id": "1",
        "uri": "at://1",
        "did": "did:1",
        "accessJwt": "j",
        "handle": "u",
        "data": {"id": "1"},
    }
)


def _sent(broker: type[BaseBroker], state: Path, **settings: Any) -> list[Sent]:
    with Server(Answer(200, YES)) as server:
        given = testing.payload("test")
        done = testing.deliver(broker, given, state, url=server.url, **settings)
    assert done.kind == "done", done.note
    return server.requests


def test_a_test_is_a_payload_in_which_nothing_moved() -> None:
    made = testing.payload("test")
    assert check(made | {"event": "push"}) == ""
    assert made["event"] == "test"
    assert not made["updates"] and not made["commits"] and not made["published"]


@pytest.mark.parametrize("broker", POSTING, ids=lambda broker: broker.__name__)
def test_a_message_that_is_a_test_says_so(
    broker: type[BaseBroker], tmp_path: Path
) -> None:
    sent = _sent(broker, tmp_path, **POSTING[broker])[-1]
    if broker is Webhook:
        assert sent.json()["event"] == "test"
        assert sent.headers["ce-type"] == "dev.oberonc.test.v1"
        return
    said = sent.json()
    if broker is Teams:
        [card] = said["attachments"]
        runs = card["content"]["body"][0]["inlines"]
        assert "".join(run["text"] for run in runs) == f"ann {SAID}"
    else:
        assert SAID in sent.body.decode().replace("\\u200b", "")


def test_receivers_of_github_are_pinged(tmp_path: Path) -> None:
    [sent] = _sent(Webhook, tmp_path, format="github", secret="s3cret")
    assert sent.headers["x-github-event"] == "ping"
    assert "test of oberonc" in sent.json()["zen"]
    assert sent.headers["x-hub-signature-256"].startswith("sha256=")


def test_files_and_programs_are_told_that_it_is_a_test(tmp_path: Path) -> None:
    given, into = testing.payload("test"), tmp_path / "out"
    into.mkdir()
    testing.deliver(Jsonl, given, tmp_path, path=str(into / "p.jsonl"))
    assert json.loads((into / "p.jsonl").read_text())["event"] == "test"
    testing.deliver(Feed, given, tmp_path, folder=str(into))
    assert SAID in (into / "oberonc.atom").read_text()
    command = ["/bin/sh", "-c", f"cat > {into}/given"]
    testing.deliver(Exec, given, tmp_path, command=command)
    assert json.loads((into / "given").read_text())["event"] == "test"


def test_a_test_is_mailed_to_everybody_who_gets_summaries(tmp_path: Path) -> None:
    box = tmp_path / "box"
    settings: dict[str, Any] = {
        "sender": "git@example.org",
        "to": ["devs@example.org"],
        "sendmail": ["/bin/sh", "-c", f"cat > {box}"],
    }
    done = testing.deliver(Mail, testing.payload("test"), tmp_path, **settings)
    assert done.note == "sent 1 mail"
    assert "Subject: [oberonc] ann sent a test of oberonc" in box.read_text()


def test_a_test_starts_no_build_and_touches_no_issue(tmp_path: Path) -> None:
    with Server() as server:
        given = testing.payload("test")
        settings: Any = {"system": "drone", "url": server.url, "job": "web/shop"}
        built = testing.deliver(Ci, given, tmp_path, **settings)
        touched = testing.deliver(Issues, given, tmp_path)
    assert server.requests == []
    assert built.note == "nothing: a test starts no build"
    assert (touched.kind, touched.note.partition(":")[0]) == ("done", "nothing")


CHECKS = {
    "jenkins": "/job/web/job/shop/api/json",
    "woodpecker": "/api/repos/web%2Fshop",
    "drone": "/api/repos/web/shop",
    "github": "/repos/web/shop",
    "buildkite": "/v2/organizations/web/pipelines/shop",
    "teamcity": "/app/rest/buildTypes/id:web%2Fshop",
    "gitlab": "/",
    "argocd": "/",
}


@pytest.mark.parametrize("system", CHECKS)
def test_a_build_server_is_asked_for_the_job_with_the_token(
    system: str, tmp_path: Path
) -> None:
    with Server(Answer(200, "{}")) as server:
        settings = {"url": server.url, "token": "s3cret", "job": "web/shop"}
        broker = testing.bound(Ci, tmp_path, system=system, **settings)
        [found] = broker.check()
    [sent] = server.requests
    assert found.ok
    assert (sent.method, sent.path) == ("GET", CHECKS[system])
    assert ("authorization" in sent.headers) == (CHECKS[system] != "/")


def test_a_build_server_that_refuses_the_token_fails_the_check(tmp_path: Path) -> None:
    with Server(Answer(401, "no")) as server:
        settings = {"url": server.url, "token": "s3cret", "job": "web/shop"}
        broker = testing.bound(Ci, tmp_path, system="drone", **settings)
        with pytest.raises(Exception, match="CREDENTIALS"):
            broker.check()


def test_sourcehut_says_no_with_status_200(tmp_path: Path) -> None:
    answers = Answer(200, '{"data": {"me": {}}}'), Answer(200, '{"errors": ["no"]}')
    with Server(*answers) as server:
        settings: Any = {"url": server.url, "token": "s3cret", "manifest": "tasks: []"}
        broker = testing.bound(Ci, tmp_path, system="sourcehut", **settings)
        assert [broker.check()[0].ok, broker.check()[0].ok] == [True, False]


def test_a_webhook_is_looked_at_without_a_push(tmp_path: Path) -> None:
    with Server(Answer(405)) as server:
        [there, signed] = testing.bound(Webhook, tmp_path, url=server.url).check()
    assert [sent.method for sent in server.requests] == ["HEAD"]
    assert there.ok and "(405)" in there.what
    assert signed.ok and signed.what == "requests go unsigned"


def test_a_token_of_mastodon_that_may_only_write_is_good(tmp_path: Path) -> None:
    with Server(Answer(403, "{}"), Answer(401, "{}")) as server:
        settings = {"url": server.url, "token": "s3cret"}
        broker = testing.bound(Mastodon, tmp_path, **settings)
        assert broker.check()[0].ok
        with pytest.raises(Exception, match="CREDENTIALS"):
            broker.check()


def test_a_sendmail_that_is_not_there_fails_the_check(tmp_path: Path) -> None:
    settings: Any = {"sender": "a@example.org", "to": ["b@example.org"]}
    broker = testing.bound(Mail, tmp_path, **settings, sendmail=["/nowhere/sendmail"])
    assert not broker.check()[0].ok
