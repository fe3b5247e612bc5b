"""Jira Cloud (by its official contract) and Data Center, with names translated as an
installation may have them.
"""

import base64
import builtins
from typing import Any

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import LATE, ContractWorld

GONE = Answer(
    404,
    {
        "errorMessages": [
            "Issue does not exist or you do not have permission to see it."
        ]
    },
)
OPEN = {"name": "Offen", "statusCategory": {"key": "new"}}
DONE = {"name": "Erledigt", "statusCategory": {"key": "done"}}
TRANSITIONS = {
    "open": [
        {
            "id": "11",
            "name": "Beginnen",
            "to": {"name": "In Arbeit", "statusCategory": {"key": "indeterminate"}},
        },
        {"id": "31", "name": "Fertig", "to": DONE},
    ],
    "closed": [{"id": "41", "name": "Wieder auf", "to": OPEN}],
}


def plain(document: Any) -> str:
    """The text of a document."""
    if isinstance(document, str):
        return document
    if "text" in document:
        return str(document["text"])
    ends = "\n" if document["type"] in ("paragraph", "codeBlock") else ""
    return "".join(plain(node) for node in document.get("content", [])) + ends


class JiraContract(Contract):
    document = "jira-cloud.json"
    origin = "https://x.atlassian.net"
    api = "/rest/api/3"
    beside = (
        "/rest/api/3/(myself|status|mypermissions|search/jql|issue/[^/]+/assignee)",
    )
    #: The key under which a user is named.
    who = "accountId"
    search = "search/jql"
    may_log_work = True

    def __init__(self) -> None:
        self.transitions: dict[str, list[dict[str, Any]]] = {
            key: list(value) for key, value in TRANSITIONS.items()
        }
        super().__init__()

    def refuse(self, request: Request) -> Answer | None:
        expected = "Basic " + base64.b64encode(b"bot@example.org:token-1").decode()
        return (
            None
            if request.headers.get("authorization") == expected
            else Answer(401, {"errorMessages": []})
        )

    def validate(self, request: Request, raw: bytes, query: str) -> None:
        # The document calls `started` a date-time; its own example, and the real
        # server, have this other form.
        super().validate(request, raw.replace(b'+0000"', b'+00:00"'), query)

    def routes(self) -> list[Any]:
        issue = f"{self.api}/issue/PROJ-([0-9]+)"
        return [
            (
                "GET",
                f"{self.api}/myself",
                lambda request: Answer(200, {"accountId": "1"}),
            ),
            ("GET", f"{self.api}/status", lambda request: Answer(200, [OPEN, DONE])),
            ("GET", f"{self.api}/mypermissions", self.rights),
            ("GET", f"{self.api}/{self.search}", self.find),
            ("GET", issue, self.read),
            ("GET", f"{issue}/comment", self.list),
            ("POST", f"{issue}/comment", self.comment),
            ("GET", f"{issue}/transitions", self.offer),
            ("POST", f"{issue}/transitions", self.move),
            ("PUT", f"{issue}/assignee", self.assign),
            (
                "GET",
                f"{issue}/worklog",
                lambda request, number: Answer(
                    200, {"worklogs": self.issues[int(number)].times}
                ),
            ),
            ("POST", f"{issue}/worklog", self.work),
        ]

    def rights(self, request: Request) -> Answer:
        asked = request.params["permissions"].split(",")
        has = {right: self.may_log_work or right != "WORK_ON_ISSUES" for right in asked}
        found = {right: {"havePermission": allowed} for right, allowed in has.items()}
        return Answer(200, {"permissions": found})

    def find(self, request: Request) -> Answer:
        wanted = "open" if "!= Done" in request.params["jql"] else "closed"
        found = [
            {"key": f"PROJ-{kept.number}"}
            for kept in self.issues.values()
            if kept.state == wanted
        ]
        return Answer(200, {"issues": found[:1]})

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return GONE
        moves = [{"field": "status", "toString": name} for name in kept.reached]
        past = {
            "histories": [
                {"created": LATE, "items": [item]} for item in reversed(moves)
            ]
        }
        known = {"key": f"PROJ-{number}", "fields": {"status": self.status(kept)}}
        return Answer(
            200,
            known
            | (
                {"changelog": past}
                if request.params.get("expand") == "changelog"
                else {}
            ),
        )

    def status(self, kept: Kept) -> dict[str, Any]:
        if kept.status:
            return {"name": kept.status, "statusCategory": {"key": "indeterminate"}}
        return DONE if kept.state == "closed" else OPEN

    def offered(self, kept: Kept) -> builtins.list[dict[str, Any]]:
        """All that leads elsewhere."""
        return [
            entry
            for entry in self.transitions[kept.state]
            if entry["to"]["name"] != self.status(kept)["name"]
        ]

    def list(self, request: Request, number: str) -> Answer:
        start, size = int(request.params["startAt"]), int(request.params["maxResults"])
        return Answer(
            200,
            {"comments": self.issues[int(number)].comments[::-1][start : start + size]},
        )

    def comment(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return GONE
        if (
            request.json["body"].get("type") != "doc"
            or request.json["body"].get("version") != 1
        ):
            self.problem(request, "no document")
        kept.comments.append(request.json | {"created": LATE})
        return Answer(201, {"id": "1"})

    def offer(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        return Answer(200, {"transitions": self.offered(kept)}) if kept else GONE

    def assign(self, request: Request, number: str) -> Answer:
        if list(request.json) != [self.who]:
            self.problem(request, "assignee")
        if request.json[self.who] != "jane-1":
            return Answer(
                404,
                {
                    "errorMessages": [
                        "The specified user does not exist or you do not have permission."
                    ]
                },
            )
        self.issues[int(number)].assigned.append(request.json[self.who])
        return Answer(204)

    def move(self, request: Request, number: str) -> Answer:
        kept = self.issues[int(number)]
        wanted = request.json["transition"]["id"]
        if not isinstance(wanted, str):
            self.problem(request, "the id of a transition is a string")
        found = [entry for entry in self.offered(kept) if entry["id"] == wanted]
        if not found:
            return Answer(400, {"errorMessages": ["no such transition"]})
        for name, rule in found[0].get("fields", {}).items():
            if rule["required"] and name not in request.json.get("fields", {}):
                return Answer(400, {"errors": {name: "is required"}})
        said = request.json.get("update", {}).get("comment", [])
        if said and "comment" not in found[0].get("fields", {}):
            self.problem(request, "a comment that the screen does not show")
        for entry in said:
            kept.comments.append({"body": entry["add"]["body"], "created": LATE})
        kept.history.append(request.json)
        target = found[0]["to"]
        kept.reached.append(target["name"])
        kept.state = "closed" if target["statusCategory"]["key"] == "done" else "open"
        kept.status = (
            target["name"] if target["statusCategory"]["key"] == "indeterminate" else ""
        )
        return Answer(204)

    def work(self, request: Request, number: str) -> Answer:
        self.issues[int(number)].times.append(
            request.json | {"time": request.json["timeSpentSeconds"]}
        )
        return Answer(201, {"id": "1"})


class JiraWorld(ContractWorld):
    contract_class: type[JiraContract] = JiraContract
    has_history = True
    status = "In Arbeit"

    @property
    def settings(self) -> dict[str, Any]:
        site = {"tracker": "jira", "url": self.relay.url, "project": "PROJ"}
        return site | {"user": "bot@example.org", "token": "token-1"}

    def status_of(self, written: str) -> str:
        assert isinstance(self.contract, JiraContract)
        return str(self.contract.status(self.kept(written))["name"])

    @property
    def least(self) -> dict[str, Any]:
        return self.settings | {"close": "Erledigt"}

    @property
    def transitions(self) -> dict[str, list[dict[str, Any]]]:
        """What the workflow offers in each state; to be changed by a test."""
        assert isinstance(self.contract, JiraContract)
        return self.contract.transitions

    def new(self, *, closed: bool = False) -> str:
        return f"PROJ-{super().new(closed=closed)[1:]}"

    def comments(self, written: str) -> list[str]:
        return [plain(entry["body"]) for entry in self.kept(written).comments]


class DataCenterContract(JiraContract):
    document = ""
    api = "/rest/api/2"
    search = "search"
    who = "name"

    def refuse(self, request: Request) -> Answer | None:
        return (
            None
            if request.headers.get("authorization") == "Bearer token-1"
            else Answer(401, {})
        )

    def comment(self, request: Request, number: str) -> Answer:
        kept: Kept | None = self.issue(number)
        if not kept:
            return GONE
        if set(request.json) != {"body"} or not isinstance(request.json["body"], str):
            self.problem(request, "body")
        kept.comments.append(request.json | {"created": LATE})
        return Answer(201, {"id": "1"})


class DataCenterWorld(JiraWorld):
    contract_class = DataCenterContract

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "jira",
            "url": self.relay.url,
            "project": "PROJ",
            "token": "token-1",
        }
