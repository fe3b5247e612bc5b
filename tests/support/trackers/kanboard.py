"""Kanboard, written from its source and from what a real one was seen to answer."""

import base64
from typing import Any

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import ContractWorld

#: The parameters of the calls that are made, all of which have to be there.
PARAMS = {
    "getMe": set(),
    "getMyProjects": set(),
    "getProjectById": {"project_id"},
    "getTask": {"task_id"},
    "closeTask": {"task_id"},
    "openTask": {"task_id"},
    "getAllComments": {"task_id"},
    "createComment": {"task_id", "user_id", "content"},
}


class KanboardContract(Contract):
    """A refusal is `false` in a 200; what one may not see, and what is not there, 403."""

    def refuse(self, request: Request) -> Answer | None:
        expected = "Basic " + base64.b64encode(b"bot:token-1").decode()
        if request.headers.get("authorization") == expected:
            return None
        return failed(401, "Unauthorized")

    def routes(self) -> list[Any]:
        return [("POST", "/jsonrpc.php", self.rpc)]

    def rpc(self, request: Request) -> Answer:
        method, params = request.json["method"], request.json["params"]
        if set(params) != PARAMS[method]:
            self.problem(request, "other parameters")
        if method == "getMe":
            return result({"id": 2, "username": "bot"})
        if method == "getMyProjects":
            return result([{"id": 1, "name": "Web", "identifier": "WEB"}])
        if method == "getProjectById":
            home = "Shop" if params["project_id"] == 2 else "Web"
            return result({"name": home, "identifier": home.upper()})
        kept = self.issues.get(params["task_id"])
        if not kept:
            return failed(403, "Forbidden")
        return result(self.act(method, kept, params))

    def act(self, method: str, kept: Kept, params: dict[str, Any]) -> Any:
        if method == "getTask":
            active = int(kept.state == "open")
            project = 2 if kept.home == "Shop" else 1
            return {"id": kept.number, "is_active": active, "project_id": project}
        if method == "getAllComments":
            return [{"comment": each["body"]} for each in kept.comments]
        if method == "createComment":
            if not params["content"]:
                return False
            kept.comments.append({"body": params["content"]})
            return len(kept.comments)
        wanted = "closed" if method == "closeTask" else "open"
        if kept.state == wanted:
            return False
        kept.state = wanted
        return True


def result(value: Any) -> Answer:
    return Answer(200, {"jsonrpc": "2.0", "id": 1, "result": value})


def failed(status: int, message: str) -> Answer:
    error = {"code": status, "message": message}
    return Answer(status, {"jsonrpc": "2.0", "id": None, "error": error})


class KanboardWorld(ContractWorld):
    contract_class = KanboardContract
    keeps_time = False

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "kanboard",
            "url": self.relay.url,
            "user": "bot",
            "token": "token-1",
        }
