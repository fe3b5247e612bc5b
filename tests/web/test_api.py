"""The API, over a real connection, with the daemon behind it."""

import http.client
import json
import re
from pathlib import Path
from typing import Any

from oberonc.web.daemon import OFTEN
from oberonc.web.settings import ROLES
from tests.support.daemon_site import Site, push
from tests.support.web import Answer, Face, Faces, tokens


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
    assert [event["id"] for event in listed] == [made["id"]]
    assert value(ask(face, f"events?after={listed[0]['seq']}")) == []
    assert ask(face, f"events/{'0' * 32}").status == 404


def pages(face: Face, path: str) -> list[Any]:
    """All rows, page after page."""
    rows: list[Any] = []
    while path:
        answer = ask(face, path, "read")
        rows += value(answer)
        link = answer.headers.get("link", "")
        path = link.partition("<")[2].partition(">")[0].rpartition("/api/")[2]
    return rows


def test_events_are_listed_by_repository_commit_and_time_newest_first(
    site: Site, face: Face
) -> None:
    made = [push(repo) for repo in ("a/b", "c/d", "a/b", "a/b")]
    for each in made:
        site.submit(each)
    ids = [each["id"] for each in reversed(made)]
    assert [row["id"] for row in pages(face, "events?limit=3")] == ids
    of = [row["id"] for row in pages(face, "events?repository=a/b&limit=2")]
    assert of == [ids[0], ids[1], ids[3]]
    assert pages(face, "events?repository=nobody") == []
    assert len(pages(face, "events?issue=%2342&repository=a/b")) == len(of)
    assert pages(face, "events?issue=%234") == []
    assert ask(face, "events?issue=four").status == 400
    commit = made[0]["commits"][0]["raw_node"]
    found = pages(face, f"events?commit={commit[:9]}&repository=c/d")
    assert [row["id"] for row in found] == [ids[2]]
    later = "2099-01-01T00:00:00Z"
    assert len(pages(face, f"events?since=2020-01-01T00:00:00Z&until={later}")) == 4
    assert pages(face, f"events?since={later}") == []
    assert pages(face, "events?until=2020-01-01T00:00:00Z&repository=a/b") == []
    oldest = pages(face, "events")[-1]["seq"]
    after = pages(face, f"events?after={oldest}&limit=2")
    assert [row["id"] for row in after] == ids[2::-1]
    for wrong in ("since=yesterday", "before=x", "limit=1000"):
        assert ask(face, f"events?{wrong}").status == 422
    assert ask(face, "events?commit=xyz").status == 400


def test_deliveries_come_in_pages_newest_first(site: Site, face: Face) -> None:
    for _ in range(5):
        site.submit()
    site.settled(done=5)
    seen = [row["id"] for row in pages(face, "deliveries?limit=2&service=keeper")]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 5
    one = value(ask(face, f"deliveries/{seen[0]}"))
    assert one["state"] == "done"
    assert ask(face, "deliveries/999").status == 404
    for wrong in ("limit=x", "limit=0", "state=odd", f"before={10**30}"):
        answer = ask(face, f"deliveries?{wrong}")
        assert answer.status == 422
        assert wrong.partition("=")[0] in answer.body.decode()


def test_dead_letters_are_tried_again_or_dropped_by_many(
    site: Site, face: Face
) -> None:
    assert ask(face, "services/keeper/pause", body={}).status == 200
    for _ in range(2):
        site.submit()
    numbers = [row["id"] for row in value(ask(face, "deliveries"))]
    rows = value(
        ask(face, "deliveries/drop", "operate", {"deliveries": [*numbers, 999]})
    )
    assert [row["id"] for row in rows] == [*numbers, 999]
    assert "error" in rows[-1]
    assert site.stats()["deliveries"]["cancelled"] == 2
    rows = value(ask(face, "deliveries/retry", "operate", {"deliveries": numbers}))
    assert all("delivery" in row for row in rows)
    one = f"deliveries/{numbers[0]}"
    assert value(ask(face, f"{one}/drop", "operate", {}))["state"] == "cancelled"
    assert value(ask(face, f"{one}/retry", "operate", {}))["id"] == numbers[0]
    assert ask(face, "deliveries/999/drop", body={}).status == 409
    assert ask(face, f"{one}/burn", body={}).status == 404
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


def test_a_service_is_tested_without_changing_anything(site: Site, face: Face) -> None:
    check = """
    def check(self):
        print("not for the answer")
        yield True, "the door is open", ""
        yield False, "the light is off, says " + self.settings.key, "turn it on"
"""
    site.write(
        "lamp",
        "from oberonc import BaseBroker, Secret\nclass Lamp(BaseBroker):\n"
        "    class Settings:\n        key: Secret\n"
        f"    def handle(self, payload): pass\n{check}",
    )
    secret = site.folder / "key"
    secret.touch(0o600)
    secret.write_text("hunter2hunter2")
    site.write(
        "dies",
        "from oberonc import BaseBroker\nclass D(BaseBroker):\n"
        "    def handle(self, payload): pass\n"
        "    def check(self): import os; os._exit(3)\n",
    )
    text = site.file.read_text()
    text += f'[services.lamp]\nbroker = "lamp"\nkey = "file:{secret}"\n'
    site.file.write_text(f'{text}[services.dies]\nbroker = "dies"\n')
    assert site.reload()["accepted"]
    found = value(ask(face, "services/lamp/test", "operate", {}))["findings"]
    assert [row["ok"] for row in found] == [True, True, False]
    assert found[2]["mend"] == "turn it on"
    assert "hunter2" not in json.dumps(found)
    [lost] = value(ask(face, "services/dies/test", body={}))["findings"]
    assert lost["ok"] is False
    assert ask(face, "services/nobody/test", body={}).status == 404
    name = site.submit()
    site.wait_for(name)


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
    site.submit()
    site.settled(done=1)
    stats = value(ask(face, "stats?minutes=60&each=true"))
    assert stats["deliveries"]["done"] == 1
    assert {row["service"] for row in stats["minutes"]} == {"", "keeper"}
    assert sum(row["done"] for row in stats["minutes"]) == 2
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
    ("deliveries/1/drop", "POST", "operate"),
    ("services", "GET", "read"),
    ("services/keeper/pause", "POST", "operate"),
    ("services/keeper/test", "POST", "operate"),
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
    paths = {
        path.removeprefix("/api/").replace("{id}", "abcd").replace("{number}", "1")
        for path in document["paths"]
    }
    for path, _, _ in ADDRESSES:
        known = re.sub(r"(deliveries/(1/)?)(retry|drop)$", r"\1{verb}", path)
        known = re.sub(r"services/keeper/\w+", "services/{name}/{verb}", known)
        assert known in paths, path
    asked = document["paths"]["/api/events"]["get"]["parameters"]
    assert {"repository", "commit", "since", "until", "before", "after", "limit"} <= {
        row["name"] for row in asked
    }
    assert face.send("/api/", method="GET").status == 200


def test_every_answer_is_one_that_the_documentation_has(site: Site, face: Face) -> None:
    document = json.loads(face.send("/api/openapi.json", method="GET").body)
    site.submit()
    site.settled(done=1)

    def known(path: str, method: str, answer: Answer) -> None:
        shape = re.sub(r"(deliveries)/1\b", r"\1/{number}", path.partition("?")[0])
        shape = re.sub(r"/(retry|drop|pause|resume|test)$", "/{verb}", shape)
        shape = shape.replace("services/keeper", "services/{name}")
        shape = shape.replace("events/abcd", "events/{id}")
        responses = document["paths"][f"/api/{shape}"][method.lower()]["responses"]
        assert str(answer.status) in responses, (path, method, answer)
        content = responses[str(answer.status)].get("content", {"": {}})
        assert answer.headers.get("content-type", "") in content, (path, method, answer)

    bodies: dict[str, list[Any]] = {
        "events": [push(), [], {}],
        "deliveries/retry": [{"deliveries": [1]}, {"deliveries": ["x"]}],
        "parse": [{"message": "fixes #1"}, {"message": "x", "words": "nothing"}],
    }
    searches = (
        "repository=%07",
        "commit=zz",
        "issue=x",
        "since=0.5",
        "after=1&before=2",
    )
    addresses = [(path, method) for path, method, _ in ADDRESSES]
    addresses += [(f"events?{one}", "GET") for one in searches]
    addresses += [("services/keeper", "GET"), ("services/keeper/resume", "POST")]
    for down in (False, True):
        if down:
            site.daemons[0].stop()
        for path, method in addresses:
            for body in (
                bodies.get(path, [{}, {"x": 1}]) if method == "POST" else [None]
            ):
                known(path, method, ask(face, path, "admin", body, method))
        for path, method in addresses:
            known(path, method, ask(face, path, "submit", None, method))
            known(path, method, face.send(f"/api/{path}", method=method))


def test_an_address_or_a_search_that_means_nothing_says_so(face: Face) -> None:
    for path in ("deliveries/-1", "deliveries/again", "services/keeper/stop"):
        for method in ("GET", "POST"):
            assert ask(face, path, method=method).status == 404, (path, method)
    assert value(ask(face, "events/x"), 404)["detail"] == "There is no event x."
    for query, where in (
        ("repository=%07", "repository"),
        ("commit=%07", "commit"),
        ("since=12", "since"),
        ("until=0.5", "until"),
    ):
        answer = ask(face, f"events?{query}")
        assert value(answer, 422)["errors"][0]["parameter"] == where
    for more in ("repository=a/b", "commit=abcd", "before=9", "since=2026-01-01"):
        assert (
            "'after' goes" in value(ask(face, f"events?after=1&{more}"), 422)["detail"]
        )


def test_a_time_may_have_the_plus_of_its_zone_as_it_is(site: Site, face: Face) -> None:
    made = site.submit()
    for zone in ("+02:00", "%2B02:00", "-02:00", "Z"):
        rows = value(ask(face, f"events?since=2026-01-01T00:00:00{zone}"))
        assert [row["id"] for row in rows] == [made], zone
        assert value(ask(face, f"events?until=2026-01-01T00:00:00{zone}")) == []


def test_the_metrics_are_for_whoever_asks_for_text(face: Face) -> None:
    # The last one is Prometheus' own.
    for accept in (
        "text/plain",
        "text/plain;version=0.0.4",
        "*/*",
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
    ):
        headers = {"Authorization": "Bearer read-token", "Accept": accept}
        answer = face.send("/api/metrics", headers, method="GET")
        assert answer.status == 200, accept
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"oberonc_build_info" in answer.body
    assert value(ask(face, "spool")), "and all else is no text"


def test_many_keys_put_none_out(face: Face) -> None:
    headers = {
        "Authorization": "Bearer submit-token",
        "Content-Type": "application/json",
    }

    def submit(key: str, made: dict[str, Any]) -> Answer:
        body = json.dumps(made).encode()
        return face.send("/api/events", headers | {"Idempotency-Key": key}, body)

    made = push()
    first = submit("first", made)
    assert first.status == 201
    for number in range(400):
        assert submit(f"other {number}", push()).status == 201
    assert submit("first", made)[::2] == first[::2]


def test_what_did_not_change_is_not_sent_again(face: Face) -> None:
    first = ask(face, "spool")
    headers = {"Authorization": "Bearer read-token"}
    headers["If-None-Match"] = first.headers["etag"]
    again = face.send("/api/brokers", headers, method="GET")
    assert again.status == 200
    headers["If-None-Match"] = again.headers["etag"]
    assert face.send("/api/brokers", headers, method="GET").status == 304


def test_a_request_that_is_sent_again_is_done_once(site: Site, face: Face) -> None:
    headers = {
        "Authorization": "Bearer operate-token",
        "Content-Type": "application/json",
        "Idempotency-Key": "one",
    }
    body = json.dumps({"deliveries": [7]}).encode()
    first = face.send("/api/deliveries/retry", headers, body)
    assert face.send("/api/deliveries/retry", headers, body).body == first.body
    other = json.dumps({"deliveries": [8]}).encode()
    assert face.send("/api/deliveries/retry", headers, other).status == 422
    site.daemons[0].stop()
    headers["Idempotency-Key"] = "two"
    assert face.send("/api/deliveries/retry", headers, body).status == 503
    site.start()
    answer = face.send("/api/deliveries/retry", headers, body)
    assert answer.status == 200, "what failed is not kept"


def test_a_token_may_ask_so_often_and_no_more(face: Face) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", face.port, timeout=60)

    def status(role: str) -> int:
        headers = {"Authorization": f"Bearer {role}-token"}
        connection.request("GET", "/api/spool", headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status == 429:
            assert 0 < int(answer.headers["Retry-After"]) <= 60
        return answer.status

    # As long as it takes where a minute ends meanwhile.
    tries = (status("read") for _ in range(2 * OFTEN + 2))
    assert 429 in tries
    assert status("operate") == 200, "another token has its own count"
    connection.close()


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
