"""The webhook broker, read by the libraries and programs that receivers use."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from jsonschema import Draft7Validator
from standardwebhooks.webhooks import Webhook as Receiver
from standardwebhooks.webhooks import WebhookVerificationError

from brokers.webhook import Webhook
from oberonc import Secret, testing
from oberonc.payload.digest import joined
from oberonc.testing import Answer, Sent, Server

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OLD = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="


def _send(tmp_path: Path, kind: str = "push", **settings: Any) -> list[Sent]:
    with Server() as server:
        given = {"url": f"{server.url}/in/x", "secret": KEY, **settings}
        done = testing.deliver(Webhook, testing.payload(kind), tmp_path, **given)
    assert done.kind == "done", done.note
    return server.requests


@pytest.mark.parametrize("kind", ["push", "merge", "tag", "delete", "hostile", "dead"])
def test_a_receiver_of_standard_webhooks_believes_it(tmp_path: Path, kind: str) -> None:
    [sent] = _send(tmp_path, kind)
    read = Receiver(KEY).verify(sent.body, sent.headers)
    assert read == testing.payload(kind)


def test_github_s_signature_is_right(tmp_path: Path) -> None:
    """By the vector of GitHub's documentation for its way, and our own body."""
    secret = "It's a Secret to Everybody"
    [sent] = _send(tmp_path, secret=secret)
    mac = hmac.new(secret.encode(), sent.body, hashlib.sha256).hexdigest()
    assert sent.headers["x-hub-signature-256"] == f"sha256={mac}"
    assert sent.headers["x-github-event"] == "push"


def test_it_is_a_cloud_event_in_binary_mode(tmp_path: Path) -> None:
    [sent] = _send(tmp_path)
    event = from_http_event(HTTPMessage(headers=sent.headers, body=sent.body))
    assert event.get_type() == "dev.oberonc.push.v1"
    assert event.get_source() == "/web/shop"
    assert event.get_id() == sent.headers["webhook-id"]
    assert event.get_data() == testing.payload()


def test_old_and_new_secret_are_both_good_while_receivers_change_over(
    tmp_path: Path,
) -> None:
    [sent] = _send(tmp_path, secret=[Secret(KEY), Secret(OLD)])
    for known in (KEY, OLD):
        Receiver(known).verify(sent.body, sent.headers)
    with pytest.raises(WebhookVerificationError):
        Receiver(KEY[:-4] + "AAA=").verify(sent.body, sent.headers)


def test_a_retry_has_the_same_id_and_body(tmp_path: Path) -> None:
    given = testing.payload()
    with Server(Answer(0), Answer(503), Answer(204)) as server:
        url = f"{server.url}/in"
        kinds = [
            testing.deliver(Webhook, given, tmp_path, attempt=n, url=url).kind
            for n in (1, 2, 3)
        ]
    assert kinds == ["retry", "retry", "done"]
    assert len({sent.headers["webhook-id"] for sent in server.requests}) == 1
    assert len({sent.body for sent in server.requests}) == 1


@pytest.mark.parametrize("kind", ["all", "merge", "hostile", "many", "forced"])
def test_a_body_as_github_s_fits_its_schema(tmp_path: Path, kind: str) -> None:
    schema = json.loads((Path(__file__).parent / "github_push.json").read_text())
    requests = _send(tmp_path, kind, format="github")
    for sent in requests:
        Draft7Validator(schema).validate(sent.json())
    assert [sent.json()["ref"] for sent in requests] == [
        update["ref"] for update in testing.payload(kind)["updates"]
    ]


def test_a_merge_as_github_s_tells_what_is_new_from_what_was_known(
    tmp_path: Path,
) -> None:
    [sent] = _send(tmp_path, "merge", format="github")
    commits = sent.json()["commits"]
    assert [commit["distinct"] for commit in commits] == [False, True]
    assert sent.json()["head_commit"] == commits[-1]
    assert commits[0]["author"] == {"name": "Ann Example", "email": "ann@example.org"}


def test_each_ref_of_a_push_has_an_id_of_its_own_as_github_s(tmp_path: Path) -> None:
    requests = _send(tmp_path, "all", format="github")
    assert len({sent.headers["webhook-id"] for sent in requests}) == len(requests) == 3


def test_the_form_of_2009_holds_the_payload(tmp_path: Path) -> None:
    [sent] = _send(tmp_path, format="form")
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    [text] = parse_qs(sent.body.decode())["payload"]
    assert json.loads(text) == testing.payload()


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(410), "dead", "wants no more"),
        (Answer(404), "dead", "404"),
        (Answer(401), "retry", "CREDENTIALS"),
        (
            Answer(302, headers={"Location": "/in/s3cret-place/"}),
            "dead",
            "302, moved to another place on the same server",
        ),
        (
            Answer(308, headers={"Location": "https://x:8443/in/s3cret-place?s3cret"}),
            "retry",
            "308, moved to https://x:8443; no redirect is followed: set the address",
        ),
        (
            Answer(301, headers={"Location": "//u:s3cret@[x/"}),
            "retry",
            "301, moved to nowhere",
        ),
        (Answer(429, headers={"Retry-After": "9"}), "retry", "rate limit"),
    ],
    ids=["gone", "not found", "refused", "found", "moved", "unreadable", "too many"],
)
def test_errors_are_told_apart_and_name_no_address(
    tmp_path: Path, answer: Answer, kind: str, said: str
) -> None:
    with Server(answer) as server:
        url = f"{server.url}/in/s3cret-place"
        done = testing.deliver(Webhook, testing.payload(), tmp_path, url=url)
    assert (done.kind, said in done.note) == (kind, True), done.note
    assert "s3cret" not in done.note


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"format": "xml"}, "must be one of"),
        ({"secret": "whsec_!!"}, "not base64"),
    ],
    ids=["format", "base64"],
)
def test_settings_that_cannot_work_are_refused(
    tmp_path: Path, settings: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        testing.bound(Webhook, tmp_path, url="http://x", **settings)


def test_what_it_would_send_is_said(tmp_path: Path) -> None:
    given = testing.payload("all")
    asked = {"url": "http://x", "format": "github"}
    assert testing.bound(Webhook, tmp_path, **asked).plan(given) == [
        "post refs/heads/main",
        "post refs/tags/v1.0",
        "post refs/heads/feature/cart",
    ]


def test_pushes_that_come_together_are_one_push_of_github_for_each_ref(
    tmp_path: Path,
) -> None:
    pushes = [
        testing.payload(id=f"{n:032}", commits=[testing.commit(n, f"change {n}")])
        for n in (1, 2)
    ]
    pushes[1]["updates"][0] |= {"old": pushes[0]["updates"][0]["new"], "new": "9" * 40}
    with Server() as server:
        settings: dict[str, Any] = {"url": server.url, "format": "github"}
        testing.deliver(Webhook, joined(pushes), tmp_path, **settings)
    [sent] = server.requests
    said = sent.json()
    assert (said["before"], said["after"]) == (
        pushes[0]["updates"][0]["old"],
        "9" * 40,
    )
    assert [each["message"] for each in said["commits"]] == ["change 1", "change 2"]


def test_a_push_of_github_has_no_half_addresses(tmp_path: Path) -> None:
    payload = testing.payload()
    payload["repository"]["website"] = ""
    with Server() as server:
        settings: dict[str, Any] = {"url": server.url, "format": "github"}
        testing.deliver(Webhook, payload, tmp_path, **settings)
        payload["updates"][0]["compare"] = "https://forge.example/x?from=1"
        testing.deliver(Webhook, payload, tmp_path, **settings)
    [said, given] = [sent.json() for sent in server.requests]
    assert (said["compare"], said["repository"]["clone_url"]) == ("", "")
    assert given["compare"] == "https://forge.example/x?from=1"
