"""Matrix, Mastodon, Bluesky and X: each push is posted once, also after an answer that
was lost. The servers here answer as their documentation says.
"""

import json
import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from brokers.bluesky import Bluesky
from brokers.mastodon import Mastodon
from brokers.matrix import Matrix
from brokers.twitter import Twitter
from oberonc import BaseBroker, testing
from oberonc.testing import Answer, Sent, Server

KINDS = ["push", "commits", "merge", "tag", "delete", "all", "hostile", "dead"]


class Network:
    """A server that keeps a post under its id, and can lose an answer."""

    def __init__(self, lose: int = 0) -> None:
        self.posts: dict[str, dict[str, Any]] = {}
        self.lose = lose
        self.sessions = 0
        self.expired = False
        self._lock = threading.Lock()

    def __call__(self, sent: Sent) -> Answer:
        with self._lock:
            return self._answer(sent)

    def _answer(self, sent: Sent) -> Answer:
        if "createSession" in sent.path:
            self.sessions += 1
            said = {
                "did": "did:plc:1",
                "accessJwt": f"jwt{self.sessions}",
                "handle": "a",
            }
            return Answer(200, json.dumps(said))
        if self.expired:
            self.expired = False
            return Answer(400, '{"error": "ExpiredToken", "message": "expired"}')
        body = sent.json()
        if sent.method == "PUT":
            key = unquote(sent.path.rpartition("/")[2])
        elif "putRecord" in sent.path:
            key = body["rkey"]
        elif "idempotency-key" in sent.headers:
            key = sent.headers["idempotency-key"]
        else:
            key = body["text"]
            if key in self.posts:
                detail = '{"detail": "You are not allowed to create a Tweet with duplicate content."}'
                return Answer(403, detail)
        self.posts.setdefault(key, body)
        if self.lose:
            self.lose -= 1
            return Answer(0)
        said = {"event_id": "$1", "id": "1", "url": "https://m/1", "uri": "at://1"}
        return Answer(
            201 if "tweets" in sent.path else 200, json.dumps(said | {"data": said})
        )


def _settings(name: str, url: str) -> tuple[type[BaseBroker], dict[str, Any]]:
    secret = "s3cret-value"
    kinds: dict[str, tuple[type[BaseBroker], dict[str, Any]]] = {
        "matrix": (Matrix, {"token": secret, "room": "!r/m:example.org"}),
        "mastodon": (Mastodon, {"token": secret}),
        "bluesky": (Bluesky, {"user": "ann.example.org", "password": secret}),
        "twitter": (
            Twitter,
            {
                "key": "k3y",
                "key_secret": secret,
                "token": "t0k",
                "token_secret": secret,
                "format": "",
            },
        ),
    }
    broker, settings = kinds[name]
    return broker, {"url": url, **settings}


NAMES = ["matrix", "mastodon", "bluesky", "twitter"]


def _post(
    name: str, tmp_path: Path, payload: dict[str, Any], network: Network, **more: Any
) -> list[str]:
    """The outcomes of tries until one ends."""
    with Server(network) as server:
        broker, settings = _settings(name, server.url)
        kinds: list[str] = []
        while not kinds or (kinds[-1] == "retry" and len(kinds) < 5):
            done = testing.deliver(
                broker, payload, tmp_path, attempt=len(kinds) + 1, **settings | more
            )
            assert "s3cret" not in done.note
            kinds.append(done.kind)
        assert done.kind == "done", done.note
    return kinds


def _text(post: dict[str, Any]) -> str:
    record = post.get("record", post)
    text: str = record.get("text") or record.get("status") or record.get("body")
    return text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_post(name: str, kind: str, tmp_path: Path) -> None:
    network = Network()
    assert _post(name, tmp_path, testing.payload(kind), network) == ["done"]
    [post] = network.posts.values()
    text = _text(post)
    assert text.strip()
    limit = {"matrix": 16_000, "mastodon": 500, "bluesky": 300, "twitter": 280}[name]
    assert len(text) <= limit
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text)
    if name != "matrix":  # whose m.mentions say that nobody is meant
        assert not re.search(r"@\w|javascript:|evil\.example", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_answer_posts_nothing_twice(name: str, tmp_path: Path) -> None:
    network = Network(lose=2)
    kinds = _post(name, tmp_path, testing.payload("all"), network)
    assert kinds[-1] == "done"
    assert len(network.posts) == 1


def test_matrix_notifies_nobody(tmp_path: Path) -> None:
    network = Network()
    _post("matrix", tmp_path, testing.payload("hostile"), network)
    [post] = network.posts.values()
    assert (post["msgtype"], post["m.mentions"]) == ("m.notice", {})
    assert not re.search(r"<(?!/?strong>|br>|/a>|a href=\")", post["formatted_body"])


def test_matrix_names_the_room_whole(tmp_path: Path) -> None:
    with Server(Network()) as server:
        broker, settings = _settings("matrix", server.url)
        testing.deliver(broker, testing.payload(), tmp_path, **settings)
    [sent] = server.requests
    assert sent.path.startswith("/_matrix/client/v3/rooms/%21r%2Fm%3Aexample.org/send/")


def test_bluesky_s_links_are_places_in_the_bytes(tmp_path: Path) -> None:
    network = Network()
    payload = testing.payload("push", user="änn")
    _post("bluesky", tmp_path, payload, network)
    [post] = network.posts.values()
    raw = post["record"]["text"].encode()
    shown = [
        raw[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode()
        for facet in post["record"]["facets"]
    ]
    links = [facet["features"][0]["uri"] for facet in post["record"]["facets"]]
    assert len(shown) == len(links) >= 2
    for text, link in zip(shown, links, strict=True):
        if "/commit/" in link:
            assert link.rpartition("/")[2].startswith(text)
    assert "http" not in post["record"]["text"]


def test_no_post_on_bluesky_replaces_another_of_the_same_second(tmp_path: Path) -> None:
    network = Network()
    for number in range(100):
        _post("bluesky", tmp_path, testing.payload(id=f"{number:032x}"), network)
    assert len(network.posts) == 100


def test_bluesky_logs_in_once_and_again_when_the_session_ended(tmp_path: Path) -> None:
    network = Network()
    for number in range(3):
        payload = testing.payload(id=f"{number:032x}")
        _post("bluesky", tmp_path, payload, network)
    assert network.sessions == 1
    network.expired = True
    _post("bluesky", tmp_path, testing.payload(id="f" * 32), network)
    assert (network.sessions, len(network.posts)) == (2, 4)
    assert (
        tmp_path / "services" / "bluesky" / "session"
    ).stat().st_mode & 0o777 == 0o600


def test_x_is_signed_by_oauth_and_says_what_is_said_already(tmp_path: Path) -> None:
    network = Network()
    with Server(network) as server:
        broker, settings = _settings("twitter", server.url)
        first = testing.deliver(broker, testing.payload(), tmp_path, **settings)
        again = testing.deliver(broker, testing.payload(), tmp_path, **settings)
    assert server.requests[0].headers["authorization"].startswith("OAuth ")
    assert 'oauth_consumer_key="k3y"' in server.requests[0].headers["authorization"]
    assert (first.note, again.note) == ("posted 1", "nothing: said before")


def test_the_form_of_2009_is_the_default_for_x(tmp_path: Path) -> None:
    network = Network()
    broker, _ = _settings("twitter", "")
    form = getattr(broker.Settings, "format")  # noqa: B009  of any class
    _post("twitter", tmp_path, testing.payload(), network, format=form)
    [post] = network.posts.values()
    assert post["text"].replace("\u200b", "").splitlines() == [
        "shop - Ann Example - needs more work, references #37",
        "shop - Ann Example - great, all done, fixes #42",
    ]


ERRORS = [
    ("matrix", Answer(403, '{"errcode": "M_FORBIDDEN"}'), "retry", "CREDENTIALS"),
    ("matrix", Answer(429, '{"retry_after_ms": 2500}'), "retry", "rate limit"),
    ("matrix", Answer(413, "{}"), "dead", "413"),
    ("mastodon", Answer(422, '{"error": "too long"}'), "dead", "422"),
    ("mastodon", Answer(401, "{}"), "retry", "CREDENTIALS"),
    (
        "bluesky",
        Answer(401, '{"error": "AuthenticationRequired"}'),
        "retry",
        "CREDENTIALS",
    ),
    ("bluesky", Answer(400, '{"error": "InvalidRequest"}'), "dead", "createSession"),
    ("twitter", Answer(403, '{"detail": "suspended"}'), "dead", "refuses"),
    ("twitter", Answer(429, "{}"), "retry", "rate limit"),
]


@pytest.mark.parametrize(
    ("name", "answer", "kind", "said"),
    ERRORS,
    ids=[f"{row[0]} {row[1].status}" for row in ERRORS],
)
def test_answers_are_told_apart(
    tmp_path: Path, name: str, answer: Answer, kind: str, said: str
) -> None:
    with Server(answer) as server:
        broker, settings = _settings(name, server.url)
        done = testing.deliver(broker, testing.payload(), tmp_path, **settings)
    assert (done.kind, said in done.note) == (kind, True), done.note
    assert "s3cret" not in done.note


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    for name, wrong in (
        ("matrix", {"room": "#room:example.org"}),
        ("mastodon", {"visibility": "loud"}),
        ("bluesky", {"most": 0}),
        ("twitter", {"format": "${x}"}),
    ):
        broker, settings = _settings(name, "http://x")
        with pytest.raises(ValueError, match=r"setting|format"):
            testing.bound(broker, tmp_path, **settings | wrong)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "message", ["漢字" * 20_000, "a😀" * 9000], ids=["wide", "emoji"]
)
def test_a_text_that_is_too_long_is_cut_by_the_count_of_each_network(
    name: str, message: str, tmp_path: Path
) -> None:
    network = Network()
    commits = [testing.commit(n, message) for n in range(1, 101)]
    payload = testing.payload(commits=commits)
    form = "${commit.message}"
    assert _post(name, tmp_path, payload, network, format=form, most=100) == ["done"]
    [post] = network.posts.values()
    text = _text(post)
    assert text.startswith(message[:40])
    wide = sum(1 for sign in text if ord(sign) > 0x10FF and sign not in "\u200b")
    if name == "twitter":
        assert len(text) + wide <= 280
    size = len(json.dumps(post, ensure_ascii=False).encode())
    assert size < {"matrix": 60_000}.get(name, 3000)


def test_a_short_address_counts_as_any_other(tmp_path: Path) -> None:
    payload = testing.payload()
    payload["repository"]["website"] = "http://x.y/z"
    for commit in payload["commits"]:
        commit["url"] = "http://x.y/z"
        commit["message"] = "w" * 90
    network = Network()
    _post("twitter", tmp_path, payload, network, format="")
    [post] = network.posts.values()
    assert len(re.sub(r"http://x\.y/\S*[^>]", "_" * 23, _text(post))) <= 280


@pytest.mark.parametrize(
    "answer",
    [
        Answer(402, '{"title": "CreditsDepleted"}'),
        Answer(
            403, '{"type": "https://api.twitter.com/2/problems/oauth1-permissions"}'
        ),
    ],
    ids=["no credits", "no right to write"],
)
def test_what_a_person_has_to_mend_at_x_is_held(answer: Answer, tmp_path: Path) -> None:
    with Server(answer) as server:
        broker, settings = _settings("twitter", server.url)
        done = testing.deliver(broker, testing.payload(), tmp_path, **settings)
    assert (done.kind, done.after) == ("retry", 600)
    assert "CREDENTIALS" in done.note
