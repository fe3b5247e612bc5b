"""MantisBT, written from its source."""

import hashlib
import json
from typing import Any

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import LATE, ContractWorld

STATUSES = {
    10: "new",
    20: "feedback",
    30: "acknowledged",
    50: "assigned",
    80: "resolved",
    90: "closed",
}
RESOLUTIONS = {
    10: "open",
    20: "fixed",
    30: "reopened",
    60: "duplicate",
    70: "no change required",
    90: "wont fix",
}


class MantisBTContract(Contract):
    #: The access level of the bot: manager.
    level = 70
    #: Whether it may see the histories of issues.
    shows_history = True

    def refuse(self, request: Request) -> Answer | None:
        if request.headers.get("authorization") == "token-1":
            return None
        return Answer(403)  # it says "API token not found" beside the status alone

    def routes(self) -> list[Any]:
        rest = r"/api/rest(?:/index\.php)?"
        issue = f"{rest}/issues/([0-9]+)"
        return [
            ("GET", f"{rest}/users/me", self.me),
            ("GET", f"{rest}/projects", self.projects),
            ("GET", f"{rest}/config", self.config),
            ("GET", issue, self.read),
            ("PATCH", issue, self.change),
            ("POST", f"{issue}/notes", self.note),
        ]

    def me(self, request: Request) -> Answer:
        return Answer(200, {"name": "bot", "access_level": {"id": self.level}})

    def projects(self, request: Request) -> Answer:
        found = {"id": 1, "name": "Hello", "access_level": {"id": self.level}}
        return Answer(200, {"projects": [found]})

    def config(self, request: Request) -> Answer:
        values: dict[str, Any] = {
            "status_enum_string": enum(STATUSES),
            "resolution_enum_string": enum(RESOLUTIONS),
            "bug_resolved_status_threshold": 80,
            "bug_reopen_status": 20,
            "bug_reopen_resolution": 30,
            "add_bugnote_threshold": [25, 40, 55, 70, 90],
            "update_bug_threshold": 40,
        }
        asked = [name for key, name in request.params.items() if "option[" in key]
        found = [
            {"option": name, "value": values[name]} for name in asked if name in values
        ]
        return Answer(200, {"configs": found})

    def shown(self, kept: Kept) -> Answer:
        found = {
            "id": kept.number,
            "project": {"id": 1, "name": kept.home or "Hello"},
            "status": {"id": status(kept), "name": STATUSES[status(kept)]},
            "resolution": {"id": resolution(kept)},
            "notes": [{"text": note["body"]} for note in kept.comments],
            "history": [*made(), *kept.history] if self.shows_history else [],
        }
        # it leaves out lists that are empty
        found = {name: value for name, value in found.items() if value != []}
        tag = hashlib.sha256(json.dumps(found).encode()).hexdigest()
        return Answer(200, {"issues": [found]}, (("ETag", tag),))

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        return self.shown(kept) if kept else missing(number)

    def read_only(self, kept: Kept) -> Answer | None:
        if status(kept) < 80 or self.level >= 70:
            return None
        return Answer(403, {"message": f"Issue {kept.number} is read-only."})

    def change(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return missing(number)
        tag = dict(self.shown(kept).headers)["ETag"]
        if request.headers.get("if-match", tag) != tag:
            return Answer(412, None, (("ETag", tag),))
        if "if-match" not in request.headers or "notes" not in request.json:
            self.problem(request, "notes would be written again")
        refused = self.read_only(kept)
        if refused:
            return refused
        for note in request.json["notes"]:
            self.add(request, kept, note)
        wanted, before = request.json["status"]["id"], status(kept)
        kept.times = [request.json.get("resolution", {"id": resolution(kept)})]
        if wanted != before:
            kept.history.append(moved(before, wanted))
        kept.status, kept.state = str(wanted), "closed" if wanted >= 80 else "open"
        return self.shown(kept)

    def note(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return missing(number)
        refused = self.read_only(kept)
        if refused:
            return refused
        self.add(request, kept, request.json)
        return Answer(201, {"note": {"text": request.json["text"]}})

    def add(self, request: Request, kept: Kept, note: Any) -> None:
        if set(note) != {"text", "view_state"} or note["view_state"] != {"id": 10}:
            self.problem(request, "another note")
        kept.comments.append({"body": note["text"]})


def status(kept: Kept) -> int:
    return int(kept.status or (80 if kept.state == "closed" else 10))


def resolution(kept: Kept) -> int:
    return int(kept.times[-1]["id"]) if kept.times else 10


def enum(values: dict[int, str]) -> list[dict[str, Any]]:
    return [{"id": at, "name": name, "label": name} for at, name in values.items()]


def made() -> list[dict[str, Any]]:
    return [{"created_at": "2001-01-01T00:00:00+00:00", "type": {"name": "issue-new"}}]


def moved(old: int, new: int) -> dict[str, Any]:
    return {
        "created_at": LATE,
        "field": {"name": "status", "label": "Status"},
        "old_value": {"id": old, "name": STATUSES[old]},
        "new_value": {"id": new, "name": STATUSES[new]},
    }


def missing(number: str) -> Answer:
    return Answer(404, {"message": f"Issue #{number} not found", "code": 1100})


class MantisBTWorld(ContractWorld):
    contract_class = MantisBTContract
    contract: MantisBTContract
    keeps_time = False
    has_history = True
    status = "assigned"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "mantisbt",
            "url": self.relay.url,
            "token": "token-1",
            "project": "Hello",
        }

    def seconds(self, written: str) -> int:
        return 0

    def status_of(self, written: str) -> str:
        return STATUSES[status(self.kept(written))]

    def reopen_by_hand(self, written: str) -> None:
        kept = self.kept(written)
        kept.history.append(moved(status(kept), 20))
        kept.state, kept.status = "open", "20"
