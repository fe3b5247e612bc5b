"""Asana, written from its documentation: rich text that is not its XML, it would show
as it stands, so the server here takes none.
"""

import re
from typing import Any
from xml.etree import ElementTree

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import ContractWorld

LATE = "2036-01-01T00:00:00.000Z"
#: What is added to our numbers: Asana's have sixteen digits.
BASE = 1_205_000_000_000_000
TAGS = {"body", "a", "pre", "strong", "em", "u", "s", "code", "ol", "ul", "li"}
PROJECTS = {"9001": "Web", "9002": "Shop"}


class AsanaContract(Contract):
    """Tasks of projects of one workspace; `hidden` ones may not be seen, `frozen` ones
    not be changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[int] = set()
        self.frozen: set[int] = set()
        #: How many stories a page has at most.
        self.page = 100

    def refuse(self, request: Request) -> Answer | None:
        if request.headers.get("authorization") == "Bearer token-1":
            return None
        return failed(401, "Not Authorized")

    def routes(self) -> list[Any]:
        task = "/api/1.0/tasks/([0-9]+)"
        return [
            ("GET", "/api/1.0/users/me", self.me),
            ("GET", "/api/1.0/projects/([0-9]+)", self.project),
            ("GET", "/api/1.0/workspaces/800/typeahead", self.typeahead),
            ("GET", task, self.read),
            ("PUT", task, self.change),
            ("GET", f"{task}/stories", self.stories),
            ("POST", f"{task}/stories", self.comment),
        ]

    def me(self, request: Request) -> Answer:
        return data({"gid": "700", "workspaces": [{"gid": "800", "name": "Acme"}]})

    def project(self, request: Request, gid: str) -> Answer:
        if gid not in PROJECTS:
            return failed(404, f"project: Unknown object: {gid}")
        return data({"gid": gid, "name": PROJECTS[gid]})

    def typeahead(self, request: Request) -> Answer:
        if request.params["resource_type"] != "project":
            self.problem(request, "not of projects")
        asked = request.params["query"].lower()
        found = PROJECTS.items()
        return data(
            [{"gid": i, "name": name} for i, name in found if asked in name.lower()]
        )

    def task(self, gid: str) -> Kept | Answer:
        kept = self.issues.get(int(gid) - BASE)
        if not kept:
            return failed(404, f"task: Unknown object: {gid}")
        if kept.number in self.hidden:
            return failed(403, "task: You do not have access to this task.")
        return kept

    def read(self, request: Request, gid: str) -> Answer:
        kept = self.task(gid)
        return self.show(kept) if isinstance(kept, Kept) else kept

    def show(self, kept: Kept) -> Answer:
        gids = {name: gid for gid, name in PROJECTS.items()}
        home = [{"gid": gids[kept.home], "name": kept.home}] if kept.home else []
        return data(
            {
                "gid": str(BASE + kept.number),
                "completed": kept.state == "closed",
                "resource_subtype": kept.status or "default_task",
                "projects": home,
                "workspace": {"gid": "800", "name": "Acme"},
            }
        )

    def change(self, request: Request, gid: str) -> Answer:
        kept = self.task(gid)
        if not isinstance(kept, Kept):
            return kept
        if kept.number in self.frozen:
            return failed(403, "task: You cannot edit this task.")
        asked = request.json["data"]
        if set(asked) != {"completed"} or type(asked["completed"]) is not bool:
            self.problem(request, "other fields")
        if asked["completed"] != (kept.state == "closed"):
            kept.state = "closed" if asked["completed"] else "open"
            subtype = "marked_complete" if asked["completed"] else "marked_incomplete"
            kept.history.append(story(subtype, "somebody did something"))
        return self.show(kept)

    def comment(self, request: Request, gid: str) -> Answer:
        kept = self.task(gid)
        if not isinstance(kept, Kept):
            return kept
        try:
            root = ElementTree.fromstring(request.json["data"]["html_text"])
        except ElementTree.ParseError as error:
            self.problem(request, f"no XML: {error}")
            return failed(400, "html_text: Invalid XML")
        used = [each.tag for each in root.iter()]
        attributes = [name for each in root.iter() for name in each.attrib]
        if used[0] != "body" or set(used) - TAGS or set(attributes) - {"href"}:
            self.problem(request, "tags it would show as they stand")
        text = "".join(root.itertext())
        kept.comments.append({"body": text, "html": request.json["data"]["html_text"]})
        kept.history.append(story("comment_added", text))
        return Answer(201, {"data": {"gid": "1"}})

    def stories(self, request: Request, gid: str) -> Answer:
        kept = self.task(gid)
        if not isinstance(kept, Kept):
            return kept
        size = min(self.page, int(request.params["limit"]))
        first = int(request.params.get("offset", "0-0").partition("-")[2])
        more = {"offset": f"next-{first + size}", "path": "/", "uri": "/"}
        left = len(kept.history) > first + size
        found = kept.history[first : first + size]
        return Answer(200, {"data": found, "next_page": more if left else None})


def story(subtype: str, text: str) -> dict[str, Any]:
    return {"created_at": LATE, "resource_subtype": subtype, "text": text}


def data(found: Any) -> Answer:
    return Answer(200, {"data": found})


def failed(status: int, message: str) -> Answer:
    more = (
        "For more information on API status codes and how to handle them, read the docs"
    )
    return Answer(status, {"errors": [{"message": message, "help": more}]})


class AsanaWorld(ContractWorld):
    contract_class = AsanaContract
    has_history = True
    keeps_time = False

    @property
    def settings(self) -> dict[str, Any]:
        return {"tracker": "asana", "url": self.relay.url, "token": "token-1"}

    def new(self, *, closed: bool = False) -> str:
        return f"#{BASE + int(super().new(closed=closed)[1:])}"

    def kept(self, written: str) -> Kept:
        return self.contract.issues[int(re.sub(r"\D", "", written)) - BASE]
