"""Launchpad, written from its source and the documentation of its web service."""

import re
from typing import Any

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import LATE, ContractWorld

STATUSES = (
    *("New", "Incomplete", "Opinion", "Invalid", "Won't Fix", "Expired", "Confirmed"),
    *("Triaged", "In Progress", "Deferred", "Fix Committed", "Fix Released"),
)
COMPLETE = ("Opinion", "Invalid", "Won't Fix", "Expired", "Fix Released")
SUPERVISED = ("Won't Fix", "Expired", "Triaged", "Deferred")
SITE = "https://api.launchpad.net/devel"


class LaunchpadContract(Contract):
    """Every bug has a task of the project `else` as well, which is nobody's here."""

    #: Whether the bot is a member of the bug supervisors.
    supervises = True

    def __init__(self) -> None:
        super().__init__()
        self.nonces: set[str] = set()
        #: The statuses of the tasks of `else`.
        self.elsewhere: dict[int, str] = {}

    def refuse(self, request: Request) -> Answer | None:
        signed = dict(
            re.findall(r'(\w+)="([^"]*)"', request.headers.get("authorization", ""))
        )
        if signed.get("oauth_nonce", "") in self.nonces:
            self.problem(request, "a nonce twice")
        self.nonces.add(signed["oauth_nonce"])
        if not signed["oauth_timestamp"].isdigit():
            self.problem(request, "no time")
        if signed["oauth_token"] != "token-1":
            return Answer(401, text=f"Unknown access token ({signed['oauth_token']}).")
        if signed["oauth_signature"] != "%26secret-1":
            return Answer(401, text="Invalid signature.")
        return None

    def routes(self) -> list[Any]:
        bug = "/devel/bugs/([0-9]+)"
        return [
            ("GET", r"/devel/people/\+me", self.me),
            ("GET", "/devel/~bot/super_teams", self.teams),
            ("GET", "/devel/(hello|else)", self.project),
            ("GET", f"{bug}/bug_tasks", self.tasks),
            ("GET", f"{bug}/messages", self.messages),
            ("GET", f"{bug}/activity", self.activity),
            ("POST", bug, self.say),
            ("PATCH", r"/devel/(hello)/\+bug/([0-9]+)", self.change),
        ]

    def me(self, request: Request) -> Answer:
        return Answer(303, None, (("Location", f"{SITE}/~bot"),))

    def teams(self, request: Request) -> Answer:
        found = [{"self_link": f"{SITE}/~triagers"}] if self.supervises else []
        return self.entries(request, found)

    def project(self, request: Request, name: str) -> Answer:
        found = {"owner_link": f"{SITE}/~ann", "bug_supervisor_link": None}
        if name == "hello":
            found["bug_supervisor_link"] = f"{SITE}/~triagers"
        return Answer(200, found | {"official_bugs": name == "hello"})

    def entries(self, request: Request, found: list[Any]) -> Answer:
        start, size = int(request.params["ws.start"]), int(request.params["ws.size"])
        entries = found[start : start + size]
        return Answer(
            200, {"start": start, "total_size": len(found), "entries": entries}
        )

    def tasks(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return missing(number)
        there = self.elsewhere.get(kept.number, "New")
        home = kept.home or "hello"
        found = [task("else", kept, there), task(home, kept, status(kept))]
        return self.entries(request, found)

    def messages(self, request: Request, number: str) -> Answer:
        kept = self.issues[int(number)]
        found = [
            {"content": each["body"], "date_created": LATE} for each in kept.comments
        ]
        return self.entries(request, [{"content": "It crashes."}, *found])

    def activity(self, request: Request, number: str) -> Answer:
        return self.entries(request, self.issues[int(number)].history)

    def say(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return missing(number)
        said = request.json
        if set(said) != {"ws.op", "content"} or said["ws.op"] != "newMessage":
            self.problem(request, "another operation")
        kept.comments.append({"body": said["content"]})
        where = f"{SITE}/hello/+bug/{number}/comments/{len(kept.comments)}"
        return Answer(201, None, (("Location", where),))

    def change(self, request: Request, name: str, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return missing(number)
        now = task(name, kept, status(kept))
        if request.headers.get("if-match") != now["http_etag"]:
            return Answer(412)
        wanted = request.json["status"]
        if wanted not in STATUSES:
            return Answer(400, f'status: Invalid value "{wanted}".')
        if not self.supervises and wanted in SUPERVISED:
            return Answer(
                401, text=f"Only Bug Supervisors may change status to {wanted}."
            )
        kept.history.append(changed(status(kept), wanted))
        kept.status = wanted
        kept.state = "closed" if wanted in COMPLETE else "open"
        return Answer(209, task(name, kept, wanted))


def status(kept: Kept) -> str:
    return kept.status or ("Fix Released" if kept.state == "closed" else "New")


def task(name: str, kept: Kept, now: str) -> dict[str, Any]:
    return {
        "self_link": f"{SITE}/{name}/+bug/{kept.number}",
        "target_link": f"{SITE}/{name}",
        "bug_target_name": name,
        "status": now,
        "is_complete": now in COMPLETE,
        "http_etag": f'"{len(kept.history)}-{name}"',
    }


def changed(old: str, new: str) -> dict[str, Any]:
    return {
        "datechanged": LATE,
        "whatchanged": "hello: status",
        "oldvalue": old,
        "newvalue": new,
    }


def missing(number: str) -> Answer:
    return Answer(
        404, text=f"Object: <lp.bugs.model.bug.BugSet object>, name: '{number}'"
    )


class LaunchpadWorld(ContractWorld):
    contract_class = LaunchpadContract
    contract: LaunchpadContract
    keeps_time = False
    has_history = True
    status = "In Progress"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "launchpad",
            "url": self.relay.url,
            "token": "token-1",
            "password": "secret-1",
            "project": "hello",
        }

    def status_of(self, written: str) -> str:
        return status(self.kept(written))

    def reopen_by_hand(self, written: str) -> None:
        kept = self.kept(written)
        kept.history.append(changed(status(kept), "Confirmed"))
        kept.state, kept.status = "open", "Confirmed"
