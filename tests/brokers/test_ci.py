"""The broker that starts builds: what each build server is asked, by its documentation."""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from brokers.ci import SYSTEMS, Ci
from oberonc import testing
from oberonc.payload.digest import joined
from oberonc.testing import Answer, Sent, Server

JOBS = {
    "jenkins": "web/shop job",
    "jenkins-git": "https://git.example.org/web/shop.git",
    "woodpecker": "7",
    "drone": "web/shop",
    "gitlab": "web/shop",
    "github": "web/shop",
    "buildkite": "org/pipe",
    "teamcity": "Shop_Build",
}
OID = testing.payload()["updates"][0]["new"]


def _settings(system: str, **more: Any) -> dict[str, Any]:
    settings = {
        "system": system,
        "token": "s3cret-token",
        "user": "bot",
        "job": JOBS.get(system, ""),
        "parameters": {"STAGE": "test"},
    }
    if system == "sourcehut":
        settings["manifest"] = "image: debian/stable\ntasks: []\n"
    return settings | more


def _send(system: str, tmp_path: Path, kind: str = "push", **more: Any) -> list[Sent]:
    with Server(Answer(200, "{}")) as server:
        settings = _settings(system, url=server.url + "/", **more)
        done = testing.deliver(Ci, testing.payload(kind), tmp_path, **settings)
    assert done.kind == "done", done.note
    return server.requests


def _form(sent: Sent) -> dict[str, str]:
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    return {name: values[0] for name, values in parse_qs(sent.body.decode()).items()}


BASIC = "Basic " + base64.b64encode(b"bot:s3cret-token").decode()
BEARER = "Bearer s3cret-token"
ABOUT = {
    "branch": "main",
    "commit": OID,
    "ref": "refs/heads/main",
    "repository": "web/shop",
    "OBERONC_DELIVERY_ID": f"{testing.payload()['id']}-ci",
    "STAGE": "test",
}


def test_jenkins(tmp_path: Path) -> None:
    [sent] = _send("jenkins", tmp_path)
    assert sent.path == "/job/web/job/shop%20job/buildWithParameters"
    assert (sent.headers["authorization"], _form(sent)) == (BASIC, ABOUT)


def test_the_git_plugin_of_jenkins(tmp_path: Path) -> None:
    [sent] = _send("jenkins-git", tmp_path)
    assert sent.path == "/git/notifyCommit"
    assert _form(sent) == {
        "url": "https://git.example.org/web/shop.git",
        "branches": "main",
        "sha1": OID,
        "token": "s3cret-token",
    }


def test_buildbot(tmp_path: Path) -> None:
    [sent] = _send("buildbot", tmp_path)
    form = _form(sent)
    assert (sent.path, sent.headers["authorization"]) == ("/change_hook/base", BASIC)
    assert json.loads(form.pop("properties")) == ABOUT
    assert form == {
        "revision": OID,
        "branch": "main",
        "author": "Ann Example <ann@example.org>",
        "comments": "great, all done, fixes #42\n",
        "repository": "https://git.example.org/web/shop",
        "revlink": f"https://git.example.org/web/shop/commit/{OID}",
        "files": '["app/cart.py", "tests/test_cart.py"]',
    }


def test_woodpecker(tmp_path: Path) -> None:
    [sent] = _send("woodpecker", tmp_path)
    assert (sent.path, sent.headers["authorization"]) == (
        "/api/repos/7/pipelines",
        BEARER,
    )
    assert sent.json() == {"branch": "main", "variables": ABOUT}


def test_drone(tmp_path: Path) -> None:
    [sent] = _send("drone", tmp_path)
    path, _, query = sent.path.partition("?")
    assert path == "/api/repos/web/shop/builds"
    assert {name: values[0] for name, values in parse_qs(query).items()} == ABOUT


def test_gitlab(tmp_path: Path) -> None:
    [sent] = _send("gitlab", tmp_path)
    assert sent.path == "/api/v4/projects/web%2Fshop/trigger/pipeline"
    variables = {f"variables[{name}]": value for name, value in ABOUT.items()}
    assert _form(sent) == {"token": "s3cret-token", "ref": "main", **variables}


def test_github(tmp_path: Path) -> None:
    more = {f"P{number}": "x" for number in range(20)}
    [sent] = _send("github", tmp_path, parameters=more)
    assert sent.path == "/repos/web/shop/dispatches"
    body = sent.json()
    assert body["event_type"] == "push"
    assert len(body["client_payload"]) == 10
    assert body["client_payload"]["commit"] == OID


def test_buildkite(tmp_path: Path) -> None:
    [sent] = _send("buildkite", tmp_path)
    assert sent.path == "/v2/organizations/org/pipelines/pipe/builds"
    assert sent.json() == {
        "commit": OID,
        "branch": "main",
        "message": "refs/heads/main moved",
        "env": ABOUT,
    }


def test_teamcity(tmp_path: Path) -> None:
    [sent] = _send("teamcity", tmp_path)
    assert (sent.path, sent.headers["accept"]) == (
        "/app/rest/buildQueue",
        "application/json",
    )
    body = sent.json()
    assert (body["branchName"], body["buildType"]) == ("main", {"id": "Shop_Build"})
    assert {p["name"]: p["value"] for p in body["properties"]["property"]} == {
        f"env.{name}": value for name, value in ABOUT.items()
    }


def test_sourcehut_fails_inside_a_200(tmp_path: Path) -> None:
    [sent] = _send("sourcehut", tmp_path)
    assert sent.json()["variables"]["m"].startswith("image: debian")
    with Server(Answer(200, '{"errors": [{"message": "no"}]}')) as server:
        settings = _settings("sourcehut", url=server.url)
        done = testing.deliver(Ci, testing.payload(), tmp_path, **settings)
    assert done.kind == "dead"


def test_argo_cd_reads_a_signed_push_as_github_s(tmp_path: Path) -> None:
    [sent] = _send("argocd", tmp_path)
    mac = hmac.new(b"s3cret-token", sent.body, hashlib.sha256).hexdigest()
    assert sent.headers["x-hub-signature-256"] == f"sha256={mac}"
    assert sent.json()["commits"][1]["added"] == ["tests/test_cart.py"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_branches_and_tags_are_built_and_deletes_are_not(
    system: str, tmp_path: Path
) -> None:
    assert len(_send(system, tmp_path, "all")) == 2
    assert _send(system, tmp_path, "delete") == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_hostile_text_stays_in_its_place(system: str, tmp_path: Path) -> None:
    [sent] = _send(system, tmp_path, "hostile")
    assert "\n" not in sent.path
    assert re.fullmatch(r"/[!-~]*", sent.path)


@pytest.mark.parametrize("mark", ["[skip ci]", "[ci skip]", "[SKIP CI] more"])
def test_who_asks_for_no_build_gets_none(mark: str, tmp_path: Path) -> None:
    payload = testing.payload()
    payload["commits"][-1]["message"] = f"docs\n\n{mark}\n"
    payload["commits"][0]["message"] = "no mark"
    broker = testing.bound(Ci, tmp_path, url="http://x", **_settings("drone"))
    assert not broker.has_work(payload)
    assert broker.plan(payload) == []
    assert not broker.has_work(testing.payload(push_options=["ci.skip"]))


def test_a_mark_in_an_older_commit_skips_nothing(tmp_path: Path) -> None:
    payload = testing.payload()
    payload["commits"][0]["message"] = "docs [skip ci]"
    broker = testing.bound(Ci, tmp_path, url="http://x", **_settings("drone"))
    assert broker.plan(payload) == ["build refs/heads/main on drone web/shop"]


def test_errors_name_no_token(tmp_path: Path) -> None:
    for status, kind in ((401, "retry"), (404, "dead"), (422, "dead"), (503, "retry")):
        with Server(Answer(status, "s3cret-token")) as server:
            settings = _settings("github", url=server.url)
            done = testing.deliver(Ci, testing.payload(), tmp_path, **settings)
        assert done.kind == kind
        assert "s3cret" not in done.note


@pytest.mark.parametrize(
    "wrong",
    [{"system": "cruise"}, {"job": ""}, {"system": "sourcehut"}],
    ids=["system", "job", "manifest"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="system"):
        testing.bound(Ci, tmp_path, url="http://x", **_settings("drone") | wrong)


def test_of_pushes_that_come_together_the_newest_of_each_ref_is_built(
    tmp_path: Path,
) -> None:
    first, second = testing.payload("push"), testing.payload("push", id="1" * 32)
    second["updates"][0] |= {"old": first["updates"][0]["new"], "new": "9" * 40}
    gone = testing.payload("delete", id="2" * 32)
    made = testing.payload("branch", id="3" * 32)
    for payload in (made, gone):
        payload["updates"][0] |= {"ref": "refs/heads/x", "name": "x"}
    digest = joined([first, made, second, gone])
    settings = {"system": "jenkins", "url": "http://x", "job": "shop"}
    broker = testing.bound(Ci, tmp_path, **settings)
    assert broker.plan(digest) == ["build refs/heads/main on jenkins shop"]


@pytest.mark.parametrize(
    ("system", "answer", "said"),
    [
        ("woodpecker", Answer(204), "woodpecker has nothing to build for main"),
        ("woodpecker", Answer(200, "{}"), "started main"),
        ("github", Answer(204), "started main"),
        (
            "jenkins-git",
            Answer(200, "No git jobs using repository: https://x and branches: main\n"),
            "jenkins-git has nothing to build for main",
        ),
        (
            "jenkins-git",
            Answer(
                200, "No git jobs using repository: x\nScheduled indexing of shop\n"
            ),
            "started main",
        ),
    ],
)
def test_a_server_that_builds_nothing_is_told_as_that(
    tmp_path: Path, system: str, answer: Answer, said: str
) -> None:
    with Server(answer) as server:
        settings = _settings(system, url=server.url)
        done = testing.deliver(Ci, testing.payload(), tmp_path, **settings)
    assert (done.kind, done.note) == ("done", said)


def test_of_two_refs_the_one_that_is_not_built_is_named(tmp_path: Path) -> None:
    with Server(Answer(204), Answer(503), Answer(200, "{}")) as server:
        settings = _settings("woodpecker", url=server.url)
        payload = testing.payload("all")
        first = testing.deliver(Ci, payload, tmp_path, **settings)
        again = testing.deliver(Ci, payload, tmp_path, attempt=2, **settings)
    assert (first.kind, again.kind) == ("retry", "done"), first.note
    assert again.note == "started v1.0; woodpecker has nothing to build for main"


@pytest.mark.parametrize("system", ["woodpecker", "drone", "gitlab", "buildbot"])
def test_a_page_in_place_of_the_server_starts_nothing(
    tmp_path: Path, system: str
) -> None:
    with Server(Answer(200, "<!doctype html><title>Drone</title>")) as server:
        settings = _settings(system, url=server.url)
        done = testing.deliver(Ci, testing.payload(), tmp_path, **settings)
    assert (done.kind, "200 with a page: Drone" in done.note) == ("retry", True)
