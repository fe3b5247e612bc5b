"""OpenProject, written from its documentation and its source."""

import base64
import json
from typing import Any

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import LATE, ContractWorld

#: Name, whether it closes; by their ids from 1.
STATUSES = [
    ("New", False),
    ("In progress", False),
    ("Tested", False),
    ("Closed", True),
    ("Rejected", True),
]
ERRORS = "urn:openproject-org:api:v3:errors:"
BOT, PERSON = "/api/v3/users/4", "/api/v3/users/5"
CLOSED = '[{"status":{"operator":"c","values":[]}}]'


class OpenProjectContract(Contract):
    """What one person does within a few minutes is one activity, until they have said
    something.
    """

    #: The statuses that the workflow does not lead to.
    barred: tuple[str, ...] = ()

    def refuse(self, request: Request) -> Answer | None:
        expected = "Basic " + base64.b64encode(b"apikey:token-1").decode()
        if request.headers.get("authorization") == expected:
            return None
        return failed(401, "Unauthenticated", "You need to be authenticated.")

    def routes(self) -> list[Any]:
        package = "/api/v3/work_packages/([0-9]+)"
        return [
            ("GET", "/api/v3/users/me", self.me),
            ("GET", "/api/v3/statuses", self.statuses),
            ("GET", "/api/v3/projects/([a-z]+)", self.project),
            ("GET", "/api/v3(?:/projects/web)?/work_packages", self.newest),
            ("GET", package, self.read),
            ("PATCH", package, self.change),
            ("POST", f"{package}/form", self.form),
            ("GET", f"{package}/activities", self.activities),
            ("POST", f"{package}/activities", self.comment),
        ]

    def me(self, request: Request) -> Answer:
        return Answer(200, {"_type": "User", "id": 4, "name": "Bot"})

    def statuses(self, request: Request) -> Answer:
        found = [
            {"id": at, "name": name, "isClosed": closed, "isDefault": name == "New"}
            for at, (name, closed) in enumerate(STATUSES, 1)
        ]
        return collection(found)

    def project(self, request: Request, name: str) -> Answer:
        if name not in ("web", "shop", "all"):
            return missing()
        parent = {"href": None if name == "all" else "/api/v3/projects/all"}
        found = {"identifier": name, "name": name.title(), "_links": {"parent": parent}}
        return Answer(200, found)

    def newest(self, request: Request) -> Answer:
        json.loads(request.params["sortBy"])
        wanted = request.params["filters"] == CLOSED
        found = [
            shown(kept)
            for kept in reversed(self.issues.values())
            if (kept.state == "closed") == wanted
        ]
        return collection(found[: int(request.params["pageSize"])])

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        return Answer(200, shown(kept)) if kept else missing()

    def form(self, request: Request, number: str) -> Answer:
        links = [
            {"href": f"/api/v3/statuses/{at}", "title": name}
            for at, (name, _) in enumerate(STATUSES, 1)
            if name not in self.barred
        ]
        status = {"type": "Status", "_links": {"allowedValues": links}}
        schema = {"status": status}
        return Answer(200, {"_embedded": {"schema": schema, "validationErrors": {}}})

    def change(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return missing()
        if set(request.json) != {"lockVersion", "_links"}:
            self.problem(request, "other properties")
        if request.json["lockVersion"] != len(kept.reached):
            told = (
                "Your changes could not be saved, because the work package was changed."
            )
            return failed(409, "UpdateConflict", told)
        href = request.json["_links"]["status"]["href"]
        name, closed = STATUSES[int(href.rpartition("/")[2]) - 1]
        if name in self.barred:
            told = "Status is invalid because no valid transition exists."
            return failed(422, "PropertyConstraintViolation", told)
        told = f"Status changed from {status(kept)} to {name}"
        kept.history.append(activity(BOT, "", [told]))
        kept.state, kept.status = ("closed" if closed else "open"), name
        kept.reached.append(name)
        return Answer(200, shown(kept))

    def activities(self, request: Request, number: str) -> Answer:
        return collection(self.issues[int(number)].history)

    def comment(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return missing()
        text = request.json["comment"]["raw"]
        last = kept.history[-1] if kept.history else activity(PERSON, "", [])
        if last["_links"]["user"]["href"] == BOT and not last["comment"]["raw"]:
            last["comment"]["raw"] = text
        else:
            kept.history.append(activity(BOT, text, []))
        kept.reached.append(status(kept))
        kept.comments.append({"body": text})
        return Answer(201, kept.history[-1])


def status(kept: Kept) -> str:
    return kept.status or ("Closed" if kept.state == "closed" else "New")


def shown(kept: Kept) -> dict[str, Any]:
    name, number = status(kept), kept.number
    place = f"/api/v3/work_packages/{number}"
    at = [known for known, _ in STATUSES].index(name) + 1
    links = {
        "status": {"href": f"/api/v3/statuses/{at}", "title": name},
        "project": {"href": f"/api/v3/projects/{kept.home or 'web'}"},
        "type": {"href": "/api/v3/types/1", "title": "Task"},
        "updateImmediately": {"href": place, "method": "patch"},
        "addComment": {"href": f"{place}/activities", "method": "post"},
    }
    found = {"_type": "WorkPackage", "id": number, "lockVersion": len(kept.reached)}
    return found | {"_links": links}


def activity(user: str, text: str, details: list[str]) -> dict[str, Any]:
    return {
        "_links": {"user": {"href": user}},
        "comment": {"format": "markdown", "raw": text},
        "details": [{"format": "custom", "raw": detail} for detail in details],
        "createdAt": LATE,
        "updatedAt": LATE,
    }


def collection(found: list[Any]) -> Answer:
    return Answer(200, {"_type": "Collection", "_embedded": {"elements": found}})


def missing() -> Answer:
    return failed(404, "NotFound", "The requested resource could not be found.")


def failed(status: int, name: str, message: str) -> Answer:
    error = {"_type": "Error", "errorIdentifier": ERRORS + name, "message": message}
    return Answer(status, error)


class OpenProjectWorld(ContractWorld):
    contract_class = OpenProjectContract
    contract: OpenProjectContract
    keeps_time = False
    has_history = True
    status = "In progress"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "openproject",
            "url": self.relay.url,
            "token": "token-1",
            "project": "web",
        }

    def status_of(self, written: str) -> str:
        return status(self.kept(written))

    def reopen_by_hand(self, written: str) -> None:
        kept = self.kept(written)
        told = f"Status changed from {status(kept)} to New"
        kept.history.append(activity(PERSON, "", [told]))
        kept.state, kept.status = "open", "New"
        kept.reached.append("New")
