"""The Basecamp broker, by what Basecamp's own documentation of its API says."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from brokers.basecamp import Basecamp
from oberonc import testing
from oberonc.testing import Answer, Sent, Server
from tests.support.buses import through_a_daemon
from tests.support.daemon_site import Site

KINDS = ["push", "commits", "merge", "tag", "delete", "all", "hostile", "dead"]
LINES = "/195539477/integrations/2uH9aHLEVhhaXKPaqrj8yw8P/buckets/7/chats/9/lines"
TODO = "https://3.basecamp.com/195539477/buckets/7/todos/"


class Account:
    """An account with one project, number 7: a chat, a board and some to-dos.
    Source: github.com/basecamp/bc3-api
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.messages: list[dict[str, Any]] = []
        self.todos = {"11": False, "12": False, "1069479519": False}
        self.tokens = 0
        self.lose = 0

    def __call__(self, sent: Sent) -> Answer:
        if "(http" not in sent.headers.get("user-agent", ""):
            return Answer(400, "no User-Agent with a contact")
        if sent.path == "/authorization/token":
            return self._renew(sent)
        if sent.method == "POST" and "json" not in sent.headers.get("content-type", ""):
            return Answer(415)
        if "/integrations/" in sent.path:
            answer = self._said(sent)
        elif sent.headers.get("authorization") != f"Bearer access-token-{self.tokens}":
            return Answer(401, '{"error": "OAuth token expired"}')
        else:
            answer = self._api(sent.method, sent.path, sent)
        if self.lose:
            self.lose -= 1
            return Answer(0)
        return answer

    def _renew(self, sent: Sent) -> Answer:
        given = {name: value for name, [value] in parse_qs(sent.body.decode()).items()}
        wanted = {"grant_type": "refresh_token", "client_id": "c1"}
        secrets = {"client_secret": "s3cret-client", "refresh_token": "s3cret-refresh"}
        if given != wanted | secrets:
            return Answer(400, '{"error": "invalid_grant"}')
        self.tokens += 1
        said = {
            "access_token": f"access-token-{self.tokens}",
            "token_type": "Bearer",
            "expires_in": 1209600,
            "refresh_token": "s3cret-refresh",
        }
        return Answer(200, json.dumps(said))

    def _said(self, sent: Sent) -> Answer:
        if sent.path != f"{LINES}.json":
            return Answer(404)
        self.lines.append(sent.json()["content"])
        return Answer(201, "{}")

    def _api(self, method: str, path: str, sent: Sent) -> Answer:
        if (method, path) == ("GET", "/195539477/projects/7.json"):
            return Answer(200, '{"id": 7, "name": "The Shop"}')
        todo = re.fullmatch(r"/195539477/buckets/7/todos/(\d+)/completion.json", path)
        if todo and todo[1] in self.todos:
            self.todos[todo[1]] = True
            return Answer(204)
        if path == "/195539477/buckets/7/message_boards/5/messages.json":
            self.messages.append(sent.json())
            return Answer(201, '{"id": 42}')
        return Answer(404)


def _chat(server: Server, **more: Any) -> dict[str, Any]:
    return {"url": f"{server.url}{LINES}", **more}


def _project(server: Server, **more: Any) -> dict[str, Any]:
    return {
        "account": "195539477",
        "project": "7",
        "client_id": "c1",
        "client_secret": "s3cret-client",
        "refresh_token": "s3cret-refresh",
        "api": server.url,
        "login": server.url,
        **more,
    }


class Tags(HTMLParser):
    """The tags of a text, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        assert {name for name, _ in attrs} <= {"href"}


def _deliver(payload: Any, tmp_path: Path, settings: dict[str, Any]) -> Any:
    return testing.deliver(Basecamp, payload, tmp_path, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_line_of_the_chatbot(tmp_path: Path, kind: str) -> None:
    account = Account()
    with Server(account) as server:
        done = _deliver(testing.payload(kind), tmp_path, _chat(server))
    assert (done.kind, done.note) == ("done", "said a line")
    [line] = account.lines
    found = Tags(line)
    assert found.tags <= {"strong", "a", "br"}
    assert not [link for link in found.links if not link.startswith("https://")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]|@\\w", line)
    assert server.requests[0].headers.get("authorization") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_message_that_is_mailed_to_nobody(
    tmp_path: Path, kind: str
) -> None:
    account = Account()
    with Server(account) as server:
        settings = _project(server, board="5")
        done = _deliver(testing.payload(kind), tmp_path, settings)
    assert done.kind == "done", done.note
    [message] = account.messages
    assert sorted(message) == ["content", "status", "subject", "subscriptions"]
    assert (message["status"], message["subscriptions"]) == ("active", [])
    assert message["subject"].strip()
    assert Tags(message["content"]).tags <= {"strong", "a", "br"}


def _fixing(*messages: str) -> dict[str, Any]:
    commits = [testing.commit(n + 1, text) for n, text in enumerate(messages)]
    ids = [each["raw_node"] for each in commits]
    made: dict[str, Any] = testing.payload(commits=commits, published=ids)
    return made


def test_a_to_do_is_completed_by_a_fix_of_its_link(tmp_path: Path) -> None:
    account = Account()
    payload = _fixing(
        f"tidy up, fixes {TODO}11",
        f"half of it (see {TODO}12)",
        "closes https://app.basecamp.com/195539477/buckets/7/todos/1069479519",
    )
    with Server(account) as server:
        done = _deliver(payload, tmp_path, _project(server))
        plan = testing.bound(Basecamp, tmp_path, **_project(server)).plan(payload)
    assert done.note == "completed 11, completed 1069479519"
    assert account.todos == {"11": True, "12": False, "1069479519": True}
    assert plan == ["complete the to-do 11", "complete the to-do 1069479519"]


@pytest.mark.parametrize(
    "text",
    [
        "fixes https://3.basecamp.com/195539477/buckets/8/todos/11",
        "fixes https://3.basecamp.com/1/buckets/7/todos/11",
        "fixes https://basecamp.example/195539477/buckets/7/todos/11",
        "fixes #11",
        f"does not fix {TODO}11",
        f"refs {TODO}11",
    ],
    ids=["project", "account", "site", "number", "not", "refs"],
)
def test_nothing_else_is_completed(tmp_path: Path, text: str) -> None:
    account = Account()
    with Server(account) as server:
        done = _deliver(_fixing(text), tmp_path, _project(server))
    assert done.kind == "done", done.note
    assert not any(account.todos.values())


def test_what_is_not_published_completes_nothing(tmp_path: Path) -> None:
    account = Account()
    with Server(account) as server:
        payload = _fixing(f"fixes {TODO}11") | {"published": []}
        _deliver(payload, tmp_path, _project(server))
    assert not any(account.todos.values())


def test_a_to_do_that_is_not_there_keeps_no_line_back(tmp_path: Path) -> None:
    account = Account()
    with Server(account) as server:
        settings = _project(server) | _chat(server)
        done = _deliver(_fixing(f"fixes {TODO}99"), tmp_path, settings)
    assert done.note == "no to-do 99 in the project, said a line"
    assert len(account.lines) == 1


def test_a_lost_answer_of_a_to_do_completes_it_and_says_one_line(
    tmp_path: Path,
) -> None:
    account = Account()
    account.lose = 1
    with Server(account) as server:
        settings = _project(server) | _chat(server)
        payload = _fixing(f"fixes {TODO}11")
        kinds = [_deliver(payload, tmp_path, settings).kind for _ in range(2)]
    assert kinds == ["retry", "done"]
    assert account.todos["11"]
    assert len(account.lines) == 1


def test_a_token_is_kept_and_renewed_when_it_ended(tmp_path: Path) -> None:
    account = Account()
    with Server(account) as server:
        for number in range(3):
            payload = testing.payload(id=f"{number:032x}")
            _deliver(payload, tmp_path, _project(server, board="5"))
        assert account.tokens == 1
        account.tokens = 7  # what is kept is old now
        done = _deliver(testing.payload(), tmp_path, _project(server, board="5"))
    assert (done.kind, account.tokens) == ("done", 8), done.note
    assert len(account.messages) == 4
    [kept] = tmp_path.rglob("token")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_refused_credentials_wait_for_somebody(tmp_path: Path) -> None:
    with Server(Account()) as server:
        settings = _project(server, board="5", client_secret="s3cret-other")
        done = _deliver(testing.payload(), tmp_path, settings)
    assert (done.kind, done.after) == ("retry", 600), done.note
    assert done.note.startswith("CREDENTIALS refused")
    assert "s3cret" not in done.note


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [
        (Answer(429, headers={"Retry-After": "9"}), "retry", 9),
        (Answer(500), "retry", None),
        (Answer(404, headers={"Reason": "Account Inactive"}), "dead", None),
        (Answer(0), "retry", None),
    ],
    ids=["429", "500", "404", "lost"],
)
def test_answers_are_told_apart(
    tmp_path: Path, answer: Answer, kind: str, after: float | None
) -> None:
    with Server(answer) as server:
        done = _deliver(testing.payload(), tmp_path, _chat(server))
    assert (done.kind, done.after) == (kind, after), done.note
    assert "2uH9aHLEVhhaXKPaqrj8yw8P" not in done.note


def test_a_daemon_delivers_within_its_limits(site: Site) -> None:
    account = Account()
    with Server(account) as server:
        secret = site.folder / "url"
        secret.write_text(f"{server.url}{LINES}")
        secret.chmod(0o600)
        through_a_daemon(site, "basecamp", url=f"file:{secret}")
    assert len(account.lines) == 1


def test_the_check_proves_what_can_be_proved(tmp_path: Path) -> None:
    account = Account()
    with Server(account) as server:
        settings = _project(server) | _chat(server)
        found = testing.bound(Basecamp, tmp_path, **settings).check()
    assert [each.what for each in found] == [
        "the project is The Shop",
        "only a line proves the chatbot's address",
    ]
    assert not account.lines


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"url": "https://x", "board": "5"},
        {"board": "5"},
        {"refresh_token": "x"},
        {"url": "https://x", "board": "five"},
        {"url": "https://x", "format": "${nothing}"},
    ],
    ids=["nothing", "both", "board", "token", "number", "format"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'|format"):
        testing.bound(Basecamp, tmp_path, **wrong)
