"""Azure Boards, written from Microsoft's documentation of its REST interface and from
what people saw it answer.
"""

import base64
from typing import Any

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import LATE, ContractWorld

#: The type Bug of the process Agile.
STATES = {
    "New": "Proposed",
    "Active": "InProgress",
    "Resolved": "Resolved",
    "Closed": "Completed",
}
TRANSITIONS = {
    "": ["New"],
    "New": ["Active", "Resolved", "Closed"],
    "Active": ["New", "Resolved", "Closed"],
    "Resolved": ["Active", "New", "Closed"],
    "Closed": ["New", "Active", "Resolved"],
}
PATCH = "application/json-patch+json"


class AzureContract(Contract):
    """A work item's comments and changes are its updates, one for each revision."""

    def refuse(self, request: Request) -> Answer | None:
        if "api-version=6.0" not in request.headers.get("accept", ""):
            self.problem(request, "no version")
        expected = "Basic " + base64.b64encode(b":token-1").decode()
        if request.headers.get("authorization") == expected:
            return None
        # to browsers, and to others that do not say Suppress, it shows where to sign in
        if request.headers.get("x-tfs-fedauthredirect") != "Suppress":
            return Answer(203, "<html>Sign In</html>")
        return Answer(401, None, (("WWW-Authenticate", "Basic"),))

    def routes(self) -> list[Any]:
        item = "/org/_apis/wit/work[iI]tems/([0-9]+)"
        kind = "/org/([^/]+)/_apis/wit/workitemtypes"
        return [
            ("GET", "/org/_apis/wit/fields/System.State", self.field),
            ("GET", item, self.read),
            ("PATCH", item, self.change),
            ("GET", f"{item}/updates", self.updates),
            ("GET", kind, self.kinds),
            ("GET", f"{kind}/Bug", lambda request, project: Answer(200, bug())),
            ("POST", "/org(?:/([^/_]+))?/_apis/wit/wiql", self.query),
            ("GET", "/org/_apis/wit/workitems", self.batch),
        ]

    def field(self, request: Request) -> Answer:
        return Answer(200, {"referenceName": "System.State", "type": "string"})

    def kinds(self, request: Request, project: str) -> Answer:
        if project != "Web Site":
            told = f"TF200016: The following project does not exist: {project}."
            return failed(404, told, "ProjectDoesNotExistWithNameException")
        return Answer(200, {"count": 1, "value": [bug()]})

    def query(self, request: Request, project: str | None) -> Answer:
        if project not in (None, "Web Site"):
            return self.kinds(request, project)
        ids = [{"id": number} for number in sorted(self.issues, reverse=True)]
        top = int(request.params["$top"])
        return Answer(200, {"queryType": "flat", "workItems": ids[:top]})

    def batch(self, request: Request) -> Answer:
        numbers = [int(number) for number in request.params["ids"].split(",")]
        found = [shown(self.issues[number]) for number in numbers]
        return Answer(200, {"count": len(found), "value": found})

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        return Answer(200, shown(kept)) if kept else missing(number)

    def updates(self, request: Request, number: str) -> Answer:
        top, skip = int(request.params["$top"]), int(request.params["$skip"])
        found = self.issues[int(number)].history[skip : skip + top]
        return Answer(200, {"count": len(found), "value": found})

    def change(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return missing(number)
        if request.headers.get("content-type") != PATCH:
            return failed(415, "VS415", "VssRequestContentTypeNotSupportedException")
        fields = {}
        for each in request.json:
            if each["op"] == "test":
                if each["value"] != rev(kept):
                    told = "VS403351: Test Operation for path /rev failed."
                    return failed(412, told, "TestPatchOperationFailedException")
                continue
            if each["op"] != "add" or not each["value"]:
                self.problem(request, "no such change")
            fields[each["path"].removeprefix("/fields/")] = each["value"]
        if set(fields) - {"System.State", "System.History"}:
            self.problem(request, "other fields")
        return self.apply(request, kept, fields)

    def apply(self, request: Request, kept: Kept, fields: dict[str, str]) -> Answer:
        state, now = fields.get("System.State"), name(kept)
        if state and state != now and state not in TRANSITIONS[now]:
            told = f"The field 'State' contains the value '{state}' that is not in the list of supported values"
            return failed(400, told, "RuleValidationException")
        if request.params.get("validateOnly") == "true":
            return Answer(200, shown(kept))
        changed = {"System.ChangedDate": {"newValue": LATE}}
        if state and state != now:
            changed["System.State"] = {"oldValue": now, "newValue": state}
            kept.state = "closed" if STATES[state] == "Completed" else "open"
            kept.status = state
        if "System.History" in fields:
            changed["System.History"] = {"newValue": fields["System.History"]}
            kept.comments.append({"body": fields["System.History"]})
        kept.history.append({"id": rev(kept) + 1, "fields": changed})
        return Answer(200, shown(kept))


def bug() -> dict[str, Any]:
    states = [{"name": name, "category": kind} for name, kind in STATES.items()]
    leads = {
        name: [{"to": to, "actions": None} for to in found]
        for name, found in TRANSITIONS.items()
    }
    return {"name": "Bug", "states": states, "transitions": leads}


def name(kept: Kept) -> str:
    return kept.status or ("New" if kept.state == "open" else "Closed")


def rev(kept: Kept) -> int:
    return len(kept.history) + 1


def shown(kept: Kept) -> dict[str, Any]:
    fields = {
        "System.TeamProject": kept.home or "Web Site",
        "System.WorkItemType": "Bug",
        "System.State": name(kept),
    }
    return {"id": kept.number, "rev": rev(kept), "fields": fields}


def missing(number: str) -> Answer:
    told = f"TF401232: Work item {number} does not exist, or you do not have permissions to read it."
    return failed(404, told, "WorkItemUnauthorizedAccessException")


def failed(status: int, message: str, key: str) -> Answer:
    return Answer(status, {"$id": "1", "message": message, "typeKey": key})


class AzureWorld(ContractWorld):
    contract_class = AzureContract
    keeps_time = False
    has_history = True
    status = "Active"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "azure",
            "url": f"{self.relay.url}/org",
            "token": "token-1",
            "project": "Web Site",
        }

    def status_of(self, written: str) -> str:
        return name(self.kept(written))

    def reopen_by_hand(self, written: str) -> None:
        kept = self.kept(written)
        changed = {"oldValue": name(kept), "newValue": "New"}
        when = {"System.ChangedDate": {"newValue": LATE}}
        kept.history.append(
            {"id": rev(kept), "fields": {"System.State": changed} | when}
        )
        kept.state, kept.status = "open", "New"
