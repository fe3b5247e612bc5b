"""Bugzilla, YouTrack, Linear and Trac's XmlRpcPlugin, written from what real ones were
seen to answer.
"""

import base64
import re
from typing import Any, ClassVar
from uuid import UUID

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import ContractWorld


class BugzillaContract(Contract):
    """5.0: the key counts as a parameter only."""

    def refuse(self, request: Request) -> Answer | None:
        if "api_key" not in request.params:
            return fault(
                401, 410, "You must log in before using this part of Bugzilla."
            )
        return (
            None
            if request.params["api_key"] == "token-1"
            else fault(400, 306, "The API key is invalid.")
        )

    def routes(self) -> list[Any]:
        bug = "/rest/bug/([0-9]+)"
        leads = {
            "RESOLVED": ["CONFIRMED"],
            "CONFIRMED": ["IN_PROGRESS", "RESOLVED"],
            "IN_PROGRESS": ["CONFIRMED", "RESOLVED"],
        }
        values = [
            {
                "name": name,
                "is_open": name != "RESOLVED",
                "can_change_to": [
                    {"name": target, "comment_required": False} for target in targets
                ],
            }
            for name, targets in leads.items()
        ]
        products = [{"name": "Hello", "classification": "Unclassified"}]
        return [
            ("GET", "/rest/whoami", self.whoami),
            ("GET", "/rest/user", self.users),
            (
                "GET",
                "/rest/product",
                lambda request: Answer(200, {"products": products}),
            ),
            (
                "GET",
                "/rest/field/bug/bug_status",
                lambda request: Answer(200, {"fields": [{"values": values}]}),
            ),
            ("GET", bug, self.read),
            ("PUT", bug, self.change),
            ("GET", f"{bug}/comment", self.list),
            ("POST", f"{bug}/comment", self.comment),
            ("GET", f"{bug}/history", self.past),
        ]

    def whoami(self, request: Request) -> Answer:
        what = "An invalid resource 'GET /whoami'. was requested for this API."
        return fault(404, 32614, what)

    def users(self, request: Request) -> Answer:
        if "match" in request.params:
            return Answer(200, {"users": []})
        names = {"bot@example.org": ["editbugs"], "reader@example.org": []}
        groups = [{"id": 1, "name": name} for name in names[request.params["names"]]]
        return Answer(200, {"users": [{"groups": groups}]})

    def past(self, request: Request, number: str) -> Answer:
        changes = [
            {"field_name": "status", "added": status}
            for status in self.issues[int(number)].history
        ]
        return Answer(
            200,
            {
                "bugs": [
                    {"history": [{"when": "2036-01-01T00:00:00Z", "changes": changes}]}
                ]
            },
        )

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return fault(404, 101, f"Bug #{number} does not exist.")
        known = {
            "is_open": kept.state == "open",
            "status": self.status(kept),
            "actual_time": 0,
            "product": kept.home or "Hello",
            "classification": "Unclassified",
        }
        if kept.history == ["no time"]:
            del known["actual_time"]
        fields = request.params["include_fields"].split(",")
        return Answer(
            200, {"bugs": [{name: known[name] for name in fields if name in known}]}
        )

    def status(self, kept: Kept) -> str:
        return kept.status or ("RESOLVED" if kept.state == "closed" else "CONFIRMED")

    def change(self, request: Request, number: str) -> Answer:
        kept, status = self.issues[int(number)], request.json["status"]
        if status not in ("RESOLVED", "CONFIRMED", "IN_PROGRESS"):
            return fault(404, 51, f"There is no status named '{status}'.")
        if (status == "RESOLVED") != ("resolution" in request.json):
            return fault(
                400, 121, "A valid resolution is required to mark bugs as RESOLVED."
            )
        kept.state = "closed" if status == "RESOLVED" else "open"
        kept.status = status
        kept.history.append(status)
        if "comment" in request.json:
            said = request.json["comment"]["body"]
            kept.comments.append({"text": said, "body": said})
        return Answer(200, {"bugs": [{"changes": {}}]})

    def list(self, request: Request, number: str) -> Answer:
        return Answer(
            200, {"bugs": {number: {"comments": self.issues[int(number)].comments}}}
        )

    def comment(self, request: Request, number: str) -> Answer:
        kept = self.issues[int(number)]
        if not request.json["comment"]:
            return fault(400, 50, "You must enter a comment")
        kept.comments.append(
            {"text": request.json["comment"], "body": request.json["comment"]}
        )
        kept.times.append({"time": round(request.json.get("work_time", 0) * 3600)})
        return Answer(201, {"id": len(kept.comments)})


def fault(status: int, code: int, message: str) -> Answer:
    return Answer(status, {"error": True, "code": code, "message": message})


class NewBugzillaContract(BugzillaContract):
    """5.1 and later: there is `whoami`."""

    login = "bot@example.org"

    def whoami(self, request: Request) -> Answer:
        return Answer(200, {"id": 1, "name": self.login, "real_name": "Bot"})


class BugzillaWorld(ContractWorld):
    contract_class = BugzillaContract
    has_history = True
    status = "IN_PROGRESS"

    def status_of(self, written: str) -> str:
        assert isinstance(self.contract, BugzillaContract)
        return self.contract.status(self.kept(written))

    @property
    def settings(self) -> dict[str, Any]:
        return {"tracker": "bugzilla", "url": self.relay.url, "token": "token-1"}


class YouTrackContract(Contract):
    def refuse(self, request: Request) -> Answer | None:
        return (
            None
            if request.headers.get("authorization") == "Bearer token-1"
            else Answer(401, {"error": "Unauthorized"})
        )

    def routes(self) -> list[Any]:
        issue = "/api/issues/PROJ-([0-9]+)"
        return [
            ("GET", "/api/users/me", lambda request: Answer(200, {"id": "1-1"})),
            (
                "GET",
                "/api/admin/projects/PROJ",
                lambda request: Answer(200, {"id": "0-0"}),
            ),
            ("GET", issue, self.read),
            ("GET", f"{issue}/customFields", self.fields),
            ("GET", f"{issue}/comments", self.list),
            ("POST", f"{issue}/comments", self.comment),
            ("POST", "/api/commands", self.command),
        ]

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return Answer(404, {"error": "Not Found"})
        fields = [
            {"name": "State", "value": {"name": kept.status or "Open"}},
            {"name": "Tags", "value": [{}]},
        ]
        known = {
            "idReadable": f"PROJ-{number}",
            "resolved": 1 if kept.state == "closed" else None,
        }
        asked = request.params["fields"].startswith
        return Answer(200, {"customFields": fields} | (known if asked("id") else {}))

    def list(self, request: Request, number: str) -> Answer:
        skip, top = int(request.params["$skip"]), int(request.params["$top"])
        return Answer(200, self.issues[int(number)].comments[skip : skip + top])

    #: The states that the command understands, and whether each resolves.
    states: ClassVar[dict[str, bool]] = {
        "Fixed": True,
        "Won't fix": True,
        "Duplicate": True,
        "Open": False,
        "In Progress": False,
    }
    #: Whether the token's user may see which there are.
    may_see_states = True

    def fields(self, request: Request, number: str) -> Answer:
        if not self.may_see_states:
            return Answer(403, {"error": "Forbidden"})
        values = [
            {"name": name, "isResolved": resolved}
            for name, resolved in self.states.items()
        ]
        of_state = {
            "$type": "StateIssueCustomField",
            "projectCustomField": {"bundle": {"values": values}},
        }
        other = {"$type": "SingleUserIssueCustomField", "projectCustomField": {}}
        return Answer(200, [other, of_state])

    def say(self, kept: Kept, text: str) -> None:
        kept.comments.append({"text": text, "body": text})

    def comment(self, request: Request, number: str) -> Answer:
        self.say(self.issues[int(number)], request.json["text"])
        return Answer(200, {"id": "4-1"})

    def command(self, request: Request) -> Answer:
        kept = self.issues[
            int(request.json["issues"][0]["idReadable"].removeprefix("PROJ-"))
        ]
        query = request.json["query"]
        work = re.fullmatch(r"work (?:(\d+)h)? ?(?:(\d+)m)?", query)
        if query.startswith("for "):
            kept.assigned.append(query.removeprefix("for "))
        elif work:
            kept.times.append(
                {"time": int(work[1] or 0) * 3600 + int(work[2] or 0) * 60}
            )
        elif query in self.states:
            kept.state = "closed" if self.states[query] else "open"
            kept.status = query
            kept.history.append(query)
        else:
            return Answer(
                400,
                {
                    "error": "invalid_query",
                    "error_description": f"Command [{query}] is invalid",
                },
            )
        if request.json.get("comment"):
            self.say(kept, request.json["comment"])
        return Answer(200)


class YouTrackWorld(ContractWorld):
    contract_class = YouTrackContract
    has_history = True
    status = "In Progress"

    def status_of(self, written: str) -> str:
        return self.kept(written).status or "Open"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "youtrack",
            "url": self.relay.url,
            "token": "token-1",
            "project": "PROJ",
        }

    def new(self, *, closed: bool = False) -> str:
        return f"PROJ-{super().new(closed=closed)[1:]}"


class LinearContract(Contract):
    states = (
        ("s1", "Todo", "unstarted", 1.0),
        ("s2", "Later", "unstarted", 2.0),
        ("s3", "Done", "completed", 3.0),
        ("s4", "Canceled", "canceled", 4.0),
    )

    def refuse(self, request: Request) -> Answer | None:
        if request.headers.get("authorization") == "Bearer token-1":
            return None
        return Answer(
            401, {"errors": [gone("Authentication required", "AUTHENTICATION_ERROR")]}
        )

    def routes(self) -> list[Any]:
        return [("POST", "/graphql", self.graphql)]

    def graphql(self, request: Request) -> Answer:
        query, variables = request.json["query"], request.json["variables"]
        nodes = [
            {"id": i, "name": name, "type": kind, "position": at}
            for i, name, kind, at in self.states
        ]
        if "teams(" in query:
            return data(
                viewer={"id": "u1"},
                teams={"nodes": [{"id": "t1", "states": {"nodes": nodes}}]},
            )
        if "commentCreate" in query:
            return self.comment(variables["i"])
        if "issueUpdate" in query:
            kept = self.issues[int(variables["id"])]
            if "assigneeId" in variables["i"]:
                kept.assigned.append(variables["i"]["assigneeId"])
                return data(issueUpdate={"success": True})
            wanted = variables["i"]["stateId"]
            name, kind = next(
                (name, kind) for i, name, kind, _ in self.states if i == wanted
            )
            kept.state, kept.status = "open" if kind == "unstarted" else "closed", name
            kept.history.append(wanted)
            return data(issueUpdate={"success": True})
        if "history(" in query:
            past = [
                {"createdAt": "2036-01-01T00:00:00Z", "toState": {"name": n, "type": t}}
                for wanted in self.issues[
                    int(variables["id"].removeprefix("ENG-"))
                ].history
                for i, n, t, _ in self.states
                if i == wanted
            ]
            return data(issue={"history": {"nodes": past}})
        if "comment(id" in query:
            found = [
                entry
                for kept in self.issues.values()
                for entry in kept.comments
                if entry["id"] == variables["id"]
            ]
            return (
                data(comment=found[0])
                if found
                else Answer(200, {"errors": [gone("Entity not found: Comment")]})
            )
        asked = self.issue(variables["id"].removeprefix("ENG-"))
        if not asked:
            return Answer(200, {"errors": [gone("Entity not found: Issue")]})
        name = asked.status or ("Done" if asked.state == "closed" else "Todo")
        state = next(
            {"id": i, "name": known, "type": kind}
            for i, known, kind, _ in self.states
            if known == name
        )
        return data(
            issue={
                "id": str(asked.number),
                "identifier": f"ENG-{asked.number}",
                "state": state,
                "team": {"states": {"nodes": nodes}},
            }
        )

    def comment(self, given: dict[str, Any]) -> Answer:
        if set(given) != {"id", "issueId", "body"} or UUID(given["id"]).version != 4:
            self.problems.append(f"commentCreate {given}")
        self.issues[int(given["issueId"])].comments.append(
            {"id": given["id"], "body": given["body"]}
        )
        return data(commentCreate={"success": True, "comment": {"id": given["id"]}})


def data(**fields: Any) -> Answer:
    return Answer(200, {"data": fields})


def gone(message: str, code: str = "INPUT_ERROR") -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}}


class LinearWorld(ContractWorld):
    contract_class = LinearContract
    has_history = True
    keeps_time = False
    status = "Later"

    def status_of(self, written: str) -> str:
        return self.kept(written).status

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "linear",
            "url": self.relay.url,
            "token": "token-1",
            "project": "ENG",
        }

    def new(self, *, closed: bool = False) -> str:
        return f"ENG-{super().new(closed=closed)[1:]}"


class XmlRpcContract(Contract):
    """The XmlRpcPlugin in JSON: every refusal is a 200 with an error."""

    #: How often a change still collides with somebody else's.
    collisions = 0
    #: Whether the user has TICKET_VIEW alone.
    reads_only = False

    def refuse(self, request: Request) -> Answer | None:
        expected = "Basic " + base64.b64encode(b"bot:secret").decode()
        if request.headers.get("authorization") == expected:
            return None
        return Answer(
            401,
            {"message": "Unauthorized"},
            (("WWW-Authenticate", 'Basic realm="trac"'),),
        )

    def routes(self) -> list[Any]:
        return [("POST", "/login/rpc", self.call)]

    def call(self, request: Request) -> Answer:
        method, params = request.json["method"], request.json["params"]
        if method.startswith("system."):
            return result(
                [1, 2, 0]
                if method == "system.getAPIVersion"
                else ["ticket.update", "ticket.get"]
            )
        if method == "ticket.query":
            closed = params[0].startswith("status=closed&")
            found = [
                kept.number
                for kept in self.issues.values()
                if (kept.state == "closed") == closed
            ]
            return result(found[-1:])
        if type(params[0]) is not int:
            self.problem(request, "a ticket's number is a number")
        kept = self.issues.get(params[0])
        if not kept:
            return error(404, f"Ticket {params[0]} does not exist.")
        return {
            "ticket.get": self.get,
            "ticket.getActions": self.actions,
            "ticket.changeLog": self.log,
            "ticket.update": self.update,
        }[method](kept, params)

    def get(self, kept: Kept, params: list[Any]) -> Answer:
        status = "closed" if kept.state == "closed" else "new"
        found = {"status": status, "_ts": str(len(kept.history))}
        return result([kept.number, {}, {}, found | {"component": kept.home or "web"}])

    def actions(self, kept: Kept, params: list[Any]) -> Answer:
        field = "action_resolve_resolve_resolution"
        options = ["fixed", "invalid", "wontfix", "duplicate"]
        resolve = [
            "resolve",
            "resolve",
            "The resolution will be set",
            [[field, "fixed", options]],
        ]
        reopen = ["reopen", "reopen", "The resolution will be deleted", []]
        if self.reads_only:
            return result([["leave", "leave", ".", []]])
        return result(
            [["leave", "leave", ".", []], resolve if kept.state == "open" else reopen]
        )

    def log(self, kept: Kept, params: list[Any]) -> Answer:
        time = {"__jsonclass__": ["datetime", "2036-01-01T00:00:00"]}
        states = [
            [time, "bot", "status", "", "closed" if entry else "reopened", 1]
            for entry in kept.history
        ]
        return result(
            states
            + [
                [time, "bot", "comment", "1", entry["body"], 1]
                for entry in kept.comments
            ]
        )

    def update(self, kept: Kept, params: list[Any]) -> Answer:
        _, text, change, _ = params
        if change:
            action = change["action"]
            if (action == "resolve") != (kept.state == "open"):
                return error(
                    -32603,
                    f"Rpc: Ticket {kept.number} by bot invalid action '{action}'",
                )
            if self.collisions:
                self.collisions -= 1
                kept.history.append("somebody else")
            if change["_ts"] != str(len(kept.history)):
                return error(
                    -32603,
                    "Sorry, can not save your changes. This ticket has been modified by someone else",
                )
            kept.state = "closed" if action == "resolve" else "open"
            kept.history.append(change.get("action_resolve_resolve_resolution", ""))
        if text:
            kept.comments.append({"body": text})
        return result([kept.number])


def result(value: Any) -> Answer:
    return Answer(200, {"error": None, "id": 1, "result": value})


def error(code: int, message: str) -> Answer:
    return Answer(
        200,
        {
            "error": {"code": code, "name": "JSONRPCError", "message": message},
            "id": 1,
            "result": None,
        },
    )


class XmlRpcWorld(ContractWorld):
    contract_class = XmlRpcContract
    has_history = True
    keeps_time = False

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "trac",
            "url": self.relay.url,
            "user": "bot",
            "password": "secret",
        }
