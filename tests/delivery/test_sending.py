"""Pushes to the `oberonc web` of another machine: the real one, and a server that
answers as it may.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oberonc.delivery import spool
from oberonc.testing import Answer, Sent, Server
from tests.support.admin import Admin
from tests.support.children import child
from tests.support.command import Command
from tests.support.pushes import put_hook
from tests.support.repo import Repo
from tests.support.silent import silent

TOKEN = "a sesame of our own"
Send = Callable[..., str]


@pytest.fixture
def pushed(bare: Repo, tmp_path: Path) -> Repo:
    """A clone of a repository with the hook, which is pushed from."""
    put_hook(bare.path / "hooks", "post-receive")
    work = bare.clone(tmp_path / "work")
    work.commit("first")
    return work


@pytest.fixture
def send(repo: Repo, oberonc: Command) -> Send:
    """Sends a commit by hand, which has more time than a hook; returns what is said."""

    def sent(message: str, where: Repo = repo) -> str:
        where.commit(message)
        done = oberonc("send", "--rev", "HEAD", cwd=where.path)
        return done.out.strip()

    return sent


def configure(admin: Admin, url: str) -> None:
    file = admin.home / "token"
    file.touch(0o600)
    file.write_text(TOKEN)
    admin.configure(f'delivery = "{url}"\ndelivery_token = "file:{file}"')


def waiting(admin: Admin) -> list[str]:
    return [
        spool.read(path)["payload"]["id"]
        for path in spool.listing(admin.state / "spool")
    ]


def line(said: str) -> str:
    (found,) = [row for row in said.splitlines() if row.startswith("remote: oberonc")]
    return found.strip()


def taken(request: Sent) -> Answer:
    """As oberonc says that it has a push."""
    return Answer(201, json.dumps({"id": json.loads(request.body)["id"]}))


def messages(requests: list[Sent]) -> list[str]:
    return [json.loads(one.body)["commits"][0]["message"].strip() for one in requests]


def test_a_push_is_sent_whole_with_the_token_and_leaves_the_spool(
    admin: Admin, pushed: Repo, oberonc: Command
) -> None:
    with Server(taken) as server:
        configure(admin, server.url + "/oberonc/")
        said = line(pushed.push("main"))
        if "no time" in said:  # on a machine that has much to do
            oberonc("send", "--spooled")
    sent = server.requests[-1]
    assert (sent.method, sent.path) == ("POST", "/oberonc/api/events")
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert messages([sent]) == ["first"]
    assert f"1 commit ({json.loads(sent.body)['id'][:8]})" in said
    assert waiting(admin) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(401), "refuses the token of 'delivery_token' (401)"),
        (Answer(403), "the token may not submit (403): give it the role submit"),
        (Answer(404), "answered 404"),
        (Answer(200, "<p>Log in"), "answered 200, and not as oberonc does"),
        (Answer(201, '{"id": "0"}'), "answered 201, and not as oberonc does"),
        (Answer(302, "", {"Location": "http://127.0.0.1:1/"}), "answered 302"),
        (Answer(500, f'{{"detail": "{TOKEN} \\u001b[31m"}}'), "answered 500: "),
        (Answer(503, '{"detail": "full"}'), "takes nothing now (503): full"),
        (Answer(0), "does not answer: "),
    ],
)
def test_what_is_not_taken_is_kept_says_why_and_goes_with_the_next(
    admin: Admin, send: Send, oberonc: Command, answer: Answer, words: str
) -> None:
    with Server(answer) as server:
        configure(admin, server.url)
        said = send("first")
        assert words in said
        assert said.startswith("spooled 1 commit")
        assert TOKEN not in said
        assert "\x1b" not in said
        (kept,) = waiting(admin)
        server.answers, server.requests = [taken], []
        assert send("second").startswith("queued 1 commit")
    assert json.loads(server.requests[0].body)["id"] == kept
    said = oberonc("log", kept).out
    assert f"(1 commit, {server.url}" in said
    assert messages(server.requests) == ["first", "second"]
    assert waiting(admin) == []


def test_who_is_killed_while_it_sends_has_lost_nothing_and_sends_the_same_again(
    admin: Admin, repo: Repo, oberonc: Command
) -> None:
    killed: list[int] = []

    def kill(_sent: Sent) -> Answer:
        os.kill(killed[0], signal.SIGKILL)
        return taken(_sent)

    repo.commit("first")
    with Server(kill, taken) as server:
        configure(admin, server.url)
        argv = [*oberonc.argv, "send", "--rev", "HEAD"]
        with child(argv, cwd=repo.path) as one:
            killed.append(one.pid)
            assert one.wait(60) == -signal.SIGKILL
        assert len(waiting(admin)) == 1
        assert "accepted" in oberonc("send", "--spooled").out
    first, second = server.requests
    assert first.body == second.body
    assert waiting(admin) == []


def test_who_asks_for_rest_is_not_asked_but_by_a_person(
    admin: Admin, send: Send, oberonc: Command
) -> None:
    with Server(Answer(503, "", {"Retry-After": "600"}), taken) as server:
        configure(admin, server.url)
        assert "takes nothing now (503)" in send("first")
        assert "asked for rest until" in send("second")
        assert len(server.requests) == 1
        rows = oberonc("send", "--spooled", "--json").json
        assert [row["status"] for row in rows] == ["accepted", "accepted"]
        assert oberonc("send", "--spooled").err == "the spool is empty\n"
    assert messages(server.requests[1:]) == ["first", "second"]


def test_what_is_too_large_is_put_aside_and_holds_nothing_up(
    admin: Admin, send: Send
) -> None:
    with Server(Answer(413), taken) as server:
        configure(admin, server.url)
        assert "bytes (413): is a proxy's limit smaller?" in send("first")
        assert len(spool.rejected(admin.state / "spool")) == 1
        assert send("second").startswith("queued 1 commit")


def test_what_is_wrong_is_said_and_not_sent_again_and_again(
    admin: Admin, repo: Repo, oberonc: Command
) -> None:
    with Server(Answer(422, json.dumps({"detail": "'id' is odd"}))) as server:
        configure(admin, server.url)
        repo.commit("first")
        done = oberonc("send", "--rev", "HEAD", cwd=repo.path, code=65)
        assert "answered 422: 'id' is odd" in done.err
    assert waiting(admin) == []


def test_a_host_that_does_not_answer_costs_a_push_a_second(
    admin: Admin, pushed: Repo
) -> None:
    with silent() as server:
        configure(admin, server.url)
        began = time.monotonic()
        said = line(pushed.push("main"))
        assert time.monotonic() - began < 15
    assert "spooled 1 commit" in said
    assert len(waiting(admin)) == 1


def test_other_repositories_pushes_go_along_when_the_host_answers_again(
    admin: Admin, send: Send, tmp_path: Path
) -> None:
    with Server(Answer(500)) as server:
        configure(admin, server.url)
        send("first")
        server.answers, server.requests = [taken], []
        assert "queued" in send("of another", Repo.init(tmp_path / "other"))
    assert messages(server.requests) == ["of another", "first"]
    assert waiting(admin) == []


def test_doctor_says_whether_the_other_machine_takes_pushes(
    admin: Admin, oberonc: Command
) -> None:
    with Server(Answer(422), Answer(401)) as server:
        configure(admin, server.url)
        assert f"{server.url} takes pushes from here" in oberonc("doctor").out
        said = oberonc("doctor", code=1).out
        assert "refuses the token of 'delivery_token' (401)" in said
    assert "does not answer" in oberonc("doctor", code=1).out
    said = oberonc("stats", code=69).err
    assert f"pushes go to {server.url}: ask there" in said
    shown = oberonc("config").out
    assert f"delivery_token = 'file:{admin.home / 'token'}'" in shown
    assert TOKEN not in shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('delivery = "https://h"', "needs a token of the role submit"),
        ('delivery = "http://example.org"\nTOKEN', "must begin with https://"),
        ('delivery = "ftp://example.org"\nTOKEN', "must begin with https://"),
        ('delivery = "https://me:pass@h"\nTOKEN', "has credentials in it"),
        ('delivery = "https://h:port"\nTOKEN', "is no address"),
        ('delivery = "https://"\nTOKEN', "is no address"),
        ('delivery = "https://h?x=1"\nTOKEN', "is no address"),
        ('delivery = "https://h"\nTOKEN\ndelivery_ca = "/none"', "cannot be read"),
        (
            'delivery = "https://h"\ndelivery_tokn = "x"',
            "did you mean 'delivery_token'",
        ),
        ('delivery = "https"', "it must be one of here, daemon"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(
    admin: Admin, oberonc: Command, text: str, words: str
) -> None:
    admin.configure(text.replace("TOKEN", 'delivery_token = "env:TOKEN"'))
    said = oberonc("config", code=78).err
    assert words in said
    assert "pass" not in said


def test_the_token_of_one_file_goes_to_no_address_of_another(
    admin: Admin, oberonc: Command, pushed: Repo, tmp_path: Path
) -> None:
    with Server(taken) as server:
        configure(admin, "https://machine.example.org")
        other = tmp_path / "other.toml"
        other.write_text(f'delivery = "{server.url}"\n')
        said = oberonc("--config", other, "config", code=78).err
        assert "'delivery_token' is in another file than 'delivery'" in said
        pushed.sh("git push -q origin main", OBERONC_CONFIG=str(other))
    assert server.requests == []
    assert len(waiting(admin)) == 1


def test_a_token_that_is_no_reference_or_not_there_keeps_the_push(
    admin: Admin, send: Send
) -> None:
    with Server(taken) as server:
        for said in ("env:NONE", "sesame itself"):
            admin.configure(f'delivery = "{server.url}"\ndelivery_token = "{said}"')
            text = send("one")
            assert text.startswith("spooled 1 commit")
            assert "delivery_token" in text
            assert "sesame" not in text
    assert server.requests == []


LOADED = """
import json, sys
from oberonc import config
from oberonc.delivery import handover
before = set(sys.modules)
print(json.dumps(sorted(sys.modules)))
"""


def test_who_pushes_to_no_other_machine_loads_nothing_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED], capture_output=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"http.client", "ssl", "threading", "oberonc.peer"}
