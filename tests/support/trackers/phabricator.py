"""Phabricator and Phorge, written from Phorge's source: a refusal is a 200 with an
`error_code`, and what is refused for other reasons than the token has one and the same.
"""

import json
from typing import Any

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import ContractWorld

#: Late, in epoch seconds.
LATE = 2_082_758_400
#: Those that Maniphest has out of the box, and one that somebody added.
STATUSES: list[dict[str, Any]] = [
    {"name": "Open", "value": "open", "closed": False, "special": "default"},
    {"name": "In Progress", "value": "progress", "closed": False},
    {"name": "Resolved", "value": "resolved", "closed": True, "special": "closed"},
    {"name": "Wontfix", "value": "wontfix", "closed": True},
    {"name": "Invalid", "value": "invalid", "closed": True},
    {"name": "Duplicate", "value": "duplicate", "closed": True, "special": "duplicate"},
]
#: The parameters of the calls that are made.
PARAMS = {
    "user.whoami": set(),
    "maniphest.status.search": set(),
    "maniphest.search": {"constraints", "attachments", "limit"},
    "maniphest.edit": {"objectIdentifier", "transactions"},
    "transaction.search": {"objectIdentifier", "limit", "after"},
    "project.search": {"constraints", "attachments"},
}


class PhabricatorContract(Contract):
    """Knows no token but one; `locked` tasks may be seen and not edited."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[int] = set()
        self.locked: set[int] = set()
        #: How many entries a page has at most.
        self.page = 1000

    def routes(self) -> list[Any]:
        return [("POST", "/api/([a-z.]+)", self.conduit)]

    def conduit(self, request: Request, method: str) -> Answer:
        form = request.json
        if "application/json" in request.headers["content-type"]:
            return failed("Use form-encoded data to submit parameters.")
        if set(form) != {"params", "output", "__conduit__"}:
            self.problem(request, "other fields")
        params = json.loads(form["params"])
        token = params.pop("__conduit__")["token"]
        if token != "token-1":
            told = f'API token "{token}" has the wrong length. API tokens should be 32 characters long.'
            return failed(told, "ERR-INVALID-AUTH")
        if method not in PARAMS:
            told = f'API Method "{method}" does not exist.'
            return failed(told, "ERR-CONDUIT-CALL")
        if not set(params) <= PARAMS[method]:
            self.problem(request, "other parameters")
        calls = {
            "user.whoami": lambda given: found(
                {"phid": "PHID-USER-1", "userName": "b"}
            ),
            "maniphest.status.search": lambda given: found({"data": STATUSES}),
            "maniphest.search": self.search,
            "maniphest.edit": self.edit,
            "transaction.search": self.past,
            "project.search": self.projects,
        }
        return calls[method](params)

    def search(self, params: dict[str, Any]) -> Answer:
        ids = params.get("constraints", {}).get("ids", list(self.issues))
        if any(type(number) is not int for number in ids):
            return failed('Expected a list of integers, but value at index "0" is not.')
        seen = [self.issues[number] for number in ids if number in self.issues]
        seen = [kept for kept in seen if kept.number not in self.hidden]
        data = [
            {
                "id": kept.number,
                "phid": f"PHID-TASK-{kept.number}",
                "fields": {"status": {"value": status(kept), "name": status(kept)}},
                "attachments": {
                    "projects": {"projectPHIDs": [f"PHID-PROJ-{kept.home}"]}
                    if kept.home
                    else {"projectPHIDs": []}
                },
            }
            for kept in seen
        ]
        return found({"data": data[: params.get("limit", 100)]})

    def task(self, params: dict[str, Any]) -> Kept | None:
        kept = self.issues.get(int(params["objectIdentifier"].removeprefix("T")))
        return kept if kept and kept.number not in self.hidden else None

    def edit(self, params: dict[str, Any]) -> Answer:
        name, kept = params["objectIdentifier"], self.task(params)
        if not kept:
            return failed(f'Monogram "{name}" does not identify a valid object.')
        made = {each["type"]: each["value"] for each in params["transactions"]}
        if not made or not set(made) <= {"comment", "status"} or "" in made.values():
            self.problems.append(f"maniphest.edit {params}")
        if "status" in made and kept.number in self.locked:
            return failed(
                f"[You Shall Not Pass: {name}] (Can Edit) You do not have permission to"
                " edit this object. // The owner of a task can always view and edit it."
            )
        if "status" in made:
            # any word is taken, as Maniphest does
            known = {each["value"]: each["closed"] for each in STATUSES}
            before, kept.status = status(kept), made["status"]
            kept.state = "closed" if known.get(kept.status, True) else "open"
            if kept.status != before:
                kept.history.append(entry("status", new=kept.status, old=before))
        if "comment" in made:
            kept.comments.append({"body": made["comment"]})
            kept.history.append(entry("comment", made["comment"]))
        return found({"object": {"id": kept.number}, "transactions": []})

    def past(self, params: dict[str, Any]) -> Answer:
        name, kept = params["objectIdentifier"], self.task(params)
        if not kept:
            told = 'In call to "transaction.search", specified "objectIdentifier"'
            return failed(f'{told} ("{name}") does not exist.')
        first, size = int(params.get("after", 0)), min(self.page, params["limit"])
        shown = kept.history[::-1][first : first + size]
        more = first + size < len(kept.history)
        cursor = {"limit": size, "after": str(first + size) if more else None}
        return found({"data": shown, "cursor": cursor})

    def projects(self, params: dict[str, Any]) -> Answer:
        above = {"ancestors": {"ancestors": [{"id": 1, "name": "Products"}]}}
        known = {
            name: {
                "phid": f"PHID-PROJ-{name}",
                "fields": {"name": f"The {name}", "slug": name},
                "attachments": above,
            }
            for name in ("shop", "web")
        }
        wanted = params["constraints"]
        slugs = wanted.get("slugs", [phid[10:] for phid in wanted.get("phids", ())])
        tokens = str(wanted.get("name", "-")).lower().split()
        data = [
            project
            for name, project in known.items()
            if name in slugs or name in tokens
        ]
        return found({"data": data})


def status(kept: Kept) -> str:
    return kept.status or ("resolved" if kept.state == "closed" else "open")


def entry(kind: str, comment: str = "", **fields: str) -> dict[str, Any]:
    """A transaction, as `transaction.search` shows it."""
    said = [{"version": 1, "removed": False, "content": {"raw": comment}}]
    return {
        "type": kind,
        "dateCreated": LATE,
        "comments": said if comment else [],
        "fields": fields,
    }


def found(result: Any) -> Answer:
    return Answer(200, {"result": result, "error_code": None, "error_info": None})


def failed(info: str, code: str = "ERR-CONDUIT-CORE") -> Answer:
    return Answer(200, {"result": None, "error_code": code, "error_info": info})


class PhabricatorWorld(ContractWorld):
    contract_class = PhabricatorContract
    has_history = True
    keeps_time = False
    status = "In Progress"

    def status_of(self, written: str) -> str:
        names = {each["value"]: each["name"] for each in STATUSES}
        return str(names[status(self.kept(written))])

    @property
    def settings(self) -> dict[str, Any]:
        return {"tracker": "phabricator", "url": self.relay.url, "token": "token-1"}

    def new(self, *, closed: bool = False) -> str:
        return f"T{super().new(closed=closed)[1:]}"
