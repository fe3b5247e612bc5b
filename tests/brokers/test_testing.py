"""`oberonc.testing`: what a plugin's author tests with is true."""

import socket
from pathlib import Path
from typing import Any

import pytest
import requests

from oberonc import BaseBroker, Reject, Retry, Secret, testing
from oberonc.broker import registry
from oberonc.payload.check import check

KINDS = [
    "push",
    "commits",
    "many",
    "branch",
    "merge",
    "forced",
    "tag",
    "delete",
    "all",
    "message",
    "hostile",
    "dead",
    "test",
]


class Post(BaseBroker):
    """Posts the number of commits, and says what it was answered."""

    class Settings:
        url: str
        token: Secret
        path: str = "/hook"

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"post {len(payload['commits'])}"]

    def handle(self, payload: dict[str, Any]) -> str:
        answer = requests.post(
            self.settings.url + self.settings.path,
            json={"commits": len(payload["commits"]), "id": payload["delivery_id"]},
            headers={"Authorization": f"Bearer {self.settings.token}"},
            timeout=5,
        )
        if answer.status_code == 410:
            raise Reject("gone")
        if not answer.ok:
            raise Retry(f"{answer.status_code} with {self.settings.token}", after=7)
        return answer.text


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_a_payload_of_schema_1(kind: str) -> None:
    made = testing.payload(kind)
    if kind not in ("hostile", "dead", "test"):
        check(made)
    assert {"commits", "merged", "published", "updates", "user"} <= set(made)
    assert testing.payload(kind) == made, "the same each time"


def test_a_kind_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="no kind of push: 'pull'; there are push,"):
        testing.payload("pull")


def test_a_delivery_is_made_as_a_worker_makes_it(tmp_path: Path) -> None:
    with testing.Server(testing.Answer(200, "thanks")) as server:
        done = testing.deliver(
            Post, testing.payload("commits"), tmp_path, url=server.url, token="s3cret"
        )
    assert (done.kind, done.note) == ("done", "thanks")
    [sent] = server.requests
    assert (sent.method, sent.path) == ("POST", "/hook")
    assert sent.headers["authorization"] == "Bearer s3cret"
    assert sent.json() == {
        "commits": 3,
        "id": f"{testing.payload()['id']}-post",
    }


def test_errors_become_outcomes_without_secrets(tmp_path: Path) -> None:
    answers = testing.Answer(503), testing.Answer(410)
    with testing.Server(*answers) as server:
        settings: Any = {"url": server.url, "token": "s3cret"}
        again = testing.deliver(Post, testing.payload(), tmp_path, **settings)
        never = testing.deliver(Post, testing.payload(), tmp_path, **settings)
    assert (again.kind, again.note, again.after) == ("retry", "503 with ***", 7)
    assert (never.kind, never.note) == ("dead", "gone")


def test_an_answer_can_be_lost_after_the_request_was_read(tmp_path: Path) -> None:
    with testing.Server(testing.Answer(0), testing.Answer(200, "ok")) as server:
        settings: Any = {"url": server.url, "token": "s3cret"}
        lost = testing.deliver(Post, testing.payload(), tmp_path, **settings)
        done = testing.deliver(Post, testing.payload(), tmp_path, attempt=2, **settings)
    assert (lost.kind, done.kind) == ("retry", "done")
    assert server.requests[0].body == server.requests[1].body


def test_a_bound_broker_answers_for_itself(tmp_path: Path) -> None:
    broker = testing.bound(Post, tmp_path, url="http://x", token="s3cret")
    assert broker.plan(testing.payload("merge")) == ["post 1"]
    assert broker.service == "post"
    with pytest.raises(ValueError, match="setting 'url' is missing"):
        testing.bound(Post, tmp_path, token="s3cret")


def test_a_file_is_loaded_as_oberonc_loads_it(tmp_path: Path) -> None:
    (tmp_path / "_words.py").write_text("WORD = 'hello'\n")
    head = "from oberonc import BaseBroker\nfrom ._words import WORD\n"
    body = "class Say(BaseBroker):\n    def handle(self, payload): return WORD\n"
    (tmp_path / "say.py").write_text(head + body)
    loaded = testing.load(tmp_path / "say.py")
    assert testing.deliver(loaded, testing.payload(), tmp_path).note == "hello"
    (tmp_path / "broken.py").write_text("x = (\n")
    with pytest.raises(registry.BrokenBroker, match=r"broken\.py:1"):
        testing.load(tmp_path / "broken.py")


def test_the_server_is_gone_after_its_with() -> None:
    with testing.Server() as server:
        port = int(server.url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_example_of_the_documentation_passes(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "brokers.md").read_text()
    section = page.partition("## Testing one")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"__name__": "example"}
    exec(code, names)
    names["test_a_push_starts_a_deployment"](tmp_path)
