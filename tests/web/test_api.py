"""The API, over a real connection, with the daemon behind it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from oberonc.web.settings import ROLES
from tests.brokers_for_tests import source
from tests.support.daemon_site import Site, push
from tests.support.web import Answer, Face, Faces, tokens


@pytest.fixture
def face(site: Site, faces: Faces) -> Face:
    tokens(site, ROLES)
    site.start()
    return faces.start()


def ask(
    face: Face, path: str, role: str = "admin", body: Any = None, method: str = ""
) -> Answer:
    headers = {"Authorization": f"Bearer {role}-token"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    raw = None if body is None else json.dumps(body).encode()
    method = method or ("GET" if body is None else "POST")
    return face.send(f"/api/{path}", headers, raw, method)


def value(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer
    return json.loads(answer.body)


def test_a_payload_is_submitted_and_what_became_of_it_is_shown(
    site: Site, face: Face
) -> None:
    made = push()
    answer = ask(face, "events", "submit", made)
    assert value(answer, 201) == {"id": made["id"], "status": "accepted"}
    assert answer.headers["location"] == f"/api/events/{made['id']}"
    again = ask(face, "events", "submit", made)
    assert value(again) == {"id": made["id"], "status": "duplicate"}
    site.wait_for(made["id"])
    site.settled(done=1)
    shown = value(ask(face, f"events/{made['id']}", "read"))
    assert shown["services"]["keeper"]["outcome"] == "done"
    listed = value(ask(face, f"events?commit={made['commits'][0]['raw_node'][:12]}"))
    assert [event["id"] for event in listed["events"]] == [made["id"]]
    assert value(ask(face, f"events?after={listed['last']}"))["events"] == []
    assert ask(face, f"events/{'0' * 32}").status == 404


def test_deliveries_come_in_pages_newest_first(site: Site, face: Face) -> None:
    for _ in range(5):
        site.submit()
    site.settled(done=5)
    seen, path = [], "deliveries?limit=2&service=keeper"
    while path:
        answer = ask(face, path, "read")
        seen += [row["id"] for row in value(answer)]
        link = answer.headers.get("link", "")
        path = link.partition("<")[2].partition(">")[0].rpartition("/api/")[2]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 5
    one = value(ask(face, f"deliveries/{seen[0]}"))
    assert one["state"] == "done"
    assert ask(face, "deliveries/999").status == 404
    assert ask(face, "deliveries?limit=x").status == 400
    assert ask(face, "deliveries?state=odd").status == 400


def test_dead_letters_are_tried_again_or_dropped_by_many(
    site: Site, face: Face
) -> None:
    site.write(
        "keeper",
        source("keeper").replace(
            "        row = {", '        raise ValueError("no")\n        row = {', 1
        ),
    )
    text = site.file.read_text()
    site.file.write_text(text)
    assert value(ask(face, "generations", body={}))["accepted"] is True
    for _ in range(2):
        site.submit()
    numbers = [row["id"] for row in value(ask(face, "deliveries"))]
    rows = value(
        ask(face, "deliveries/drop", "operate", {"deliveries": [*numbers, 999]}), 201
    )
    assert [row["id"] for row in rows] == [*numbers, 999]
    assert "error" in rows[-1]
    assert site.stats()["deliveries"]["cancelled"] == 2
    rows = value(ask(face, "deliveries/retry", "operate", {"deliveries": numbers}), 201)
    assert all("delivery" in row for row in rows)
    assert ask(face, "deliveries/retry", body={"deliveries": "x"}).status == 422
    assert ask(face, "deliveries/burn", body={"deliveries": [1]}).status == 404


def test_a_service_is_paused_and_goes_on(site: Site, face: Face) -> None:
    assert value(ask(face, "services/keeper/pause", "operate", {})) == {
        "service": "keeper",
        "status": "paused",
    }
    name = site.submit()
    assert value(ask(face, "services/keeper", "read"))["paused"] is True
    assert ask(face, "services/keeper/resume", "operate", {}).status == 200
    site.wait_for(name)
    assert ask(face, "services/nobody/pause", body={}).status == 404
    assert ask(face, "services/nobody").status == 404


def test_broker_code_is_checked_and_reloaded(site: Site, face: Face) -> None:
    assert [row["broker"] for row in value(ask(face, "brokers"))["brokers"]]
    site.write("keeper", "this is no Python")
    report = value(ask(face, "generations", body={"check": True}))
    assert report["accepted"] is False
    assert value(ask(face, "generations", body={}))["accepted"] is False
    assert value(ask(face, "generations"))[0]["state"] in ("rejected", "active")


def test_the_grammar_says_what_it_reads(face: Face) -> None:
    found = value(ask(face, "parse", body={"message": "great, all done, fixes #42"}))
    reference = found["references"][0]
    assert (reference["action"], reference["issue"]) == ("close", "42")
    wrongs: list[Any] = [{}, {"message": 5}, {"message": "x", "words": "odd"}, [], "x"]
    for wrong in wrongs:
        assert ask(face, "parse", body=wrong).status == 422


def test_numbers_and_the_spool_are_there(site: Site, face: Face) -> None:
    assert value(ask(face, "stats"))["deliveries"]["ready"] == 0
    answer = ask(face, "metrics", "read")
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"\noberonc_" in answer.body
    assert value(ask(face, "spool")) == {"waiting": 0, "aside": 0}


ADDRESSES = [
    ("events", "POST", "submit"),
    ("events", "GET", "read"),
    ("events/abcd", "GET", "read"),
    ("deliveries", "GET", "read"),
    ("deliveries/1", "GET", "read"),
    ("deliveries/retry", "POST", "operate"),
    ("services", "GET", "read"),
    ("services/keeper/pause", "POST", "operate"),
    ("brokers", "GET", "read"),
    ("generations", "GET", "read"),
    ("generations", "POST", "admin"),
    ("actions", "GET", "read"),
    ("stats", "GET", "read"),
    ("metrics", "GET", "read"),
    ("spool", "GET", "read"),
    ("parse", "POST", "read"),
]


def test_a_token_may_what_its_role_says_and_no_more(face: Face) -> None:
    for path, method, right in ADDRESSES:
        body: Any = {} if method == "POST" else None
        assert face.send(f"/api/{path}", method=method).status == 401
        wrong = {"Authorization": "Bearer nobody-token"}
        assert face.send(f"/api/{path}", wrong, method=method).status == 401
        for role, rights in ROLES.items():
            answer = ask(face, path, role, body, method)
            assert (answer.status == 403) == (right not in rights), (path, role)


def test_a_daemon_that_does_not_answer_is_503(site: Site, face: Face) -> None:
    site.daemons[0].stop()
    answer = ask(face, "stats")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    made = push()
    assert value(ask(face, "events", body=made), 201)["status"] == "spooled"
    assert value(ask(face, "spool"))["waiting"] == 1


def test_what_is_no_payload_is_refused(face: Face) -> None:
    wrongs: list[Any] = [{}, [], push(id="x"), push(schema=2)]
    for wrong in wrongs:
        assert ask(face, "events", body=wrong).status == 422
    headers = {
        "Authorization": "Bearer admin-token",
        "Content-Type": "application/json",
    }
    assert face.send("/api/events", headers, b"{").status in (400, 422)


def test_the_api_is_documented_for_programs_and_people(face: Face) -> None:
    document = json.loads(face.send("/api/openapi.json", method="GET").body)
    assert "/api/deliveries" in document["paths"]
    assert face.send("/api/", method="GET").status == 200


def test_a_message_is_read_with_the_words_of_a_tracker_that_is_a_plugin(
    site: Site, faces: Faces
) -> None:
    site.write("tracker_desk", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    desk = {"broker": "issues", "tracker": "desk", "url": "https://desk.example"}
    site.configure({"desk": desk | {"token": "env:DESK_TOKEN"}})
    tokens(site, ROLES)
    site.start(DESK_TOKEN="s3cret")
    face = faces.start()
    asked = {"message": "settles D-4", "words": "desk"}
    (found,) = value(ask(face, "parse", body=asked))["references"]
    assert (found["issue"], found["action"]) == ("4", "close")
    assert ask(face, "parse", body=asked | {"words": "dusk"}).status == 422


PAGE = (Path(__file__).parents[2] / "docs" / "trackers.md").read_text()
