"""What people do is written down once, whichever way they come."""

import json
from typing import Any

import pytest

from oberonc.errors import BadInput
from tests.support.browser import Browser
from tests.support.command import Command
from tests.support.daemon_site import Site
from tests.support.web import Face


def actions(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.call("actions")["actions"]
    return found


def test_who_did_what_and_why_is_told_of_page_api_and_command_alike(
    site: Site, face: Face, oberonc: Command
) -> None:
    person = Browser(face.port)
    person.log_in("operate-token")
    person.press(person.open("/services"), "Pause", reason="a move of the \u202eserver")
    site.submit()
    number = site.call("delivery.list")["deliveries"][0]["id"]
    said = {"deliveries": [number, 999], "reason": "by mistake"}
    headers = {
        "Authorization": "Bearer admin-token",
        "Content-Type": "application/json",
    }
    face.send("/api/deliveries/drop", headers, json.dumps(said).encode())
    oberonc("--config", str(site.file), "queue", "resume", "keeper")
    person.press(person.open("/services"), "Resume", repository="web/shop")
    resumed, by_hand, dropped, paused = actions(site)
    assert (paused["action"], paused["by"]) == ("pause", "page: operate")
    assert paused["reason"] == "a move of the \\u202eserver"
    assert (dropped["action"], dropped["by"]) == ("drop", "api: admin")
    assert dropped["about"] == f"deliveries {number} and 999"
    assert dropped["result"].startswith("1 delivery done, 1 not: ")
    assert (by_hand["action"], by_hand["by"]) == ("resume", None)
    assert by_hand["account"] == dropped["account"]
    assert resumed["about"] == "keeper web/shop"
    row = site.call("dead.show", delivery=number)["delivery"]
    assert row["note"] == (
        f"cancelled by api: admin (through {dropped['account']}): by mistake"
    )
    lines = oberonc("--config", str(site.file), "log", "--actions").out.splitlines()
    assert len(lines) == 4
    assert "api: admin through" in lines[1]
    assert "by mistake (1 delivery done, 1 not: " in lines[1]
    rows = oberonc("--config", str(site.file), "log", "--actions", "--json").json
    assert rows[::-1] == actions(site)
    page = person.open("/actions")
    assert "by mistake" in page.text
    assert "a move of the \\u202eserver" in page.text
    answer = face.send("/api/actions?limit=1", headers, method="GET")
    assert json.loads(answer.body) == [resumed]


def test_a_reload_is_an_action_and_a_check_is_none(site: Site) -> None:
    site.start()
    site.reload(check=True)
    assert actions(site) == []
    site.write("keeper", "this is no Python")
    site.reload()
    [row] = actions(site)
    assert row["action"] == "reload"
    assert row["result"].startswith("refused: ")


def test_actions_outlive_the_daemon_and_a_line_that_was_cut(site: Site) -> None:
    site.start().site.call("lane.pause", service="keeper")
    site.daemons[0].stop()
    [file] = (site.state / "actions").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    file.write_bytes(file.read_bytes() + b'{"time": "20')
    site.start()
    site.call("lane.resume", service="keeper")
    assert [row["action"] for row in actions(site)] == ["resume", "pause"]


def test_a_name_or_reason_that_cannot_be_kept_stops_the_action(site: Site) -> None:
    site.start()
    wrongs: list[dict[str, Any]] = [
        {"by": "a\nb"},
        {"by": "x" * 200},
        {"by": 5},
        {"reason": "\x1b[31m"},
        {"reason": "x" * 400},
    ]
    for wrong in wrongs:
        with pytest.raises(BadInput):
            site.call("lane.pause", service="keeper", **wrong)
    assert site.stats()["services"]["keeper"]["paused"] is False
    assert actions(site) == []


def test_a_disk_that_takes_no_line_leaves_it_in_the_daemons_log(site: Site) -> None:
    site.start()
    (site.state / "actions").write_text("in the way")
    site.call("lane.pause", service="keeper", reason="why not")
    assert site.stats()["services"]["keeper"]["paused"] is True
    assert "why not" in site.daemons[0].log
    assert actions(site) == []
