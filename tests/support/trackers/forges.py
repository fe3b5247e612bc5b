"""GitHub, GitLab and Gitea as their contracts have them."""

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

from oberonc.testing.relay import Relay
from oberonc.testing.world import REPOSITORY, World
from tests.support.trackers.contract import Answer, Contract, Kept, Request

LATE = "2036-01-01T00:00:00Z"
MISSING = Answer(404, {"message": "Not Found"})


class ContractWorld(World):
    """A world on a contract: reads what the contract keeps."""

    contract_class: type[Contract]

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self.contract = self.contract_class()
        relay.target = ("127.0.0.1", self.contract.port)

    def new(self, *, closed: bool = False) -> str:
        kept = self.contract.new()
        kept.state = "closed" if closed else "open"
        return f"#{kept.number}"

    def kept(self, written: str) -> Kept:
        return self.contract.issues[int(re.sub(r"\D", "", written))]

    def comments(self, written: str) -> list[str]:
        return [entry["body"] for entry in self.kept(written).comments]

    def is_closed(self, written: str) -> bool:
        return self.kept(written).state == "closed"

    def seconds(self, written: str) -> int:
        return sum(entry["time"] for entry in self.kept(written).times)

    def reopen_by_hand(self, written: str) -> None:
        self.kept(written).state, self.kept(written).status = "open", ""


W = TypeVar("W", bound=ContractWorld)


def running(world: Callable[[Relay], W], *, check: bool = True) -> Iterator[W]:
    """A world behind a relay, for a fixture; whether its requests keep to the contract
    is looked at after the test.

    Without *check* only by the server, not by the official contract: for tests of very
    many requests.
    """
    relay = Relay()
    made = world(relay)
    if not check:
        made.contract.validators = []
    yield made
    relay.stop()
    made.contract.stop()
    assert not made.contract.problems, "\n".join(made.contract.problems)


class GitHubContract(Contract):
    document = "github.json"
    origin = "https://api.github.com"
    prefix = "/api/v3"
    beside = ("/repos/[^/]+/[^/]+", "/repos/[^/]+/[^/]+/issues/[0-9]+/events")

    def refuse(self, request: Request) -> Answer | None:
        headers = request.headers
        if (
            headers.get("accept") != "application/vnd.github+json"
            or "x-github-api-version" not in headers
        ):
            self.problem(request, "headers")
        return (
            None
            if headers.get("authorization") == "Bearer token-1"
            else Answer(401, {"message": "Bad credentials"})
        )

    def routes(self) -> list[Any]:
        issue = f"/api/v3/repos/{REPOSITORY}/issues/([0-9]+)"
        rights = {"has_issues": True, "permissions": {"triage": True}}
        return [
            (
                "GET",
                "/api/v3/rate_limit",
                lambda request: Answer(200, {"resources": {}}),
            ),
            ("GET", f"/api/v3/repos/{REPOSITORY}", lambda request: Answer(200, rights)),
            ("GET", issue, self.read),
            ("PATCH", issue, self.change),
            ("GET", f"{issue}/comments", self.list),
            ("POST", f"{issue}/comments", self.comment),
            ("GET", f"{issue}/events", self.events),
        ]

    def events(self, request: Request, number: str) -> Answer:
        reasons = [entry["reason"] for entry in self.issues[int(number)].times]
        kinds = ["reopened" if reason == "reopened" else "closed" for reason in reasons]
        return Answer(200, [{"event": kind, "created_at": LATE} for kind in kinds])

    def shown(self, kept: Kept) -> dict[str, Any]:
        extra = {"pull_request": {"url": "x"}} if kept.history == ["pull"] else {}
        return {"number": kept.number, "state": kept.state, **extra}

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        return Answer(200, self.shown(kept)) if kept else MISSING

    def change(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return MISSING
        reasons = ("completed", "not_planned", "duplicate", "reopened")
        if (
            request.json["state"] not in ("open", "closed")
            or request.json.get("state_reason") not in reasons
        ):
            self.problem(request, "state")
        kept.state = request.json["state"]
        kept.times.append({"reason": request.json["state_reason"], "time": 0})
        return Answer(200, self.shown(kept))

    def list(self, request: Request, number: str) -> Answer:
        page, size = int(request.params["page"]), int(request.params["per_page"])
        kept = self.issue(number)
        return (
            Answer(200, kept.comments[(page - 1) * size : page * size])
            if kept
            else MISSING
        )

    def comment(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return MISSING
        if set(request.json) != {"body"}:
            self.problem(request, "body")
        kept.comments.append(
            {
                "id": len(kept.comments) + 1,
                "body": request.json["body"],
                "created_at": LATE,
            }
        )
        return Answer(201, kept.comments[-1])


class GitHubWorld(ContractWorld):
    contract_class = GitHubContract
    has_history = True
    keeps_time = False

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "github",
            "url": self.relay.url,
            "token": "token-1",
            "project": REPOSITORY,
        }


class GitLabContract(Contract):
    """Notes run quick actions, as the real one does."""

    #: The users that `Sudo` may name, with their addresses.
    users: ClassVar[dict[str, str]] = {"ann": "ann@example.org"}

    def refuse(self, request: Request) -> Answer | None:
        if request.headers.get("private-token") != "token-1":
            return Answer(401, {"message": "401 Unauthorized"})
        user = request.headers.get("sudo")
        if user == "locked":
            told = "Your account has been blocked."
            return Answer(403, {"message": f"403 Forbidden - {told}"})
        if user and user not in self.users:
            told = f"404 User with ID or username '{user}' Not Found"
            return Answer(404, {"message": told})
        return None

    def find_users(self, request: Request) -> Answer:
        found = [
            {"username": name, "state": "active", "email": mail}
            for name, mail in self.users.items()
            if request.params["search"] in mail.lower()
        ]
        return Answer(200, found)

    def routes(self) -> list[Any]:
        project = f"/api/v4/projects/{REPOSITORY.replace('/', '%2F')}"
        issue = f"{project}/issues/([0-9]+)"
        rights = {
            "permissions": {
                "project_access": {"access_level": 20},
                "group_access": None,
            }
        }
        return [
            ("GET", "/api/v4/users", self.find_users),
            ("GET", "/api/v4/user", lambda request: Answer(200, {"username": "bot"})),
            ("GET", project, lambda request: Answer(200, rights)),
            ("GET", issue, self.read),
            ("PUT", issue, self.change),
            ("GET", f"{issue}/notes", self.list),
            ("GET", f"{issue}/resource_state_events", self.events),
            ("POST", f"{issue}/notes", self.note),
        ]

    def shown(self, kept: Kept) -> dict[str, Any]:
        return {
            "iid": kept.number,
            "state": "opened" if kept.state == "open" else "closed",
            "labels": kept.reached,
        }

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        return Answer(200, self.shown(kept)) if kept else MISSING

    def change(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return MISSING
        if set(request.json) == {"add_labels"}:
            kept.reached.append(request.json["add_labels"])
            return Answer(200, self.shown(kept))
        events = {"close": "closed", "reopen": "open"}
        if (
            set(request.json) != {"state_event"}
            or request.json["state_event"] not in events
        ):
            self.problem(request, "state_event")
        kept.state = events[request.json["state_event"]]
        kept.history.append(
            {"close": "closed", "reopen": "reopened"}[request.json["state_event"]]
        )
        return Answer(200, self.shown(kept))

    def events(self, request: Request, number: str) -> Answer:
        return Answer(
            200,
            [
                {"state": state, "created_at": LATE}
                for state in self.issues[int(number)].history
            ],
        )

    def list(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return MISSING
        page, size = int(request.params["page"]), int(request.params["per_page"])
        newest = (
            kept.comments[::-1] if request.params["sort"] == "desc" else kept.comments
        )
        return Answer(200, newest[(page - 1) * size : page * size])

    def note(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return MISSING
        text = request.json["body"]
        for command, argument in re.findall(r"^/(\w+) ?(.*)$", text, re.MULTILINE):
            self.quick(kept, command, argument)
        left = re.sub(r"^/\w+.*\n?", "", text, flags=re.MULTILINE).strip()
        if not left:
            return Answer(202, {"commands_changes": {}})
        note = {
            "id": len(kept.comments) + 1,
            "body": left,
            "created_at": LATE,
            "sudo": request.headers.get("sudo"),
        }
        kept.comments.append(note)
        return Answer(201, note)

    def quick(self, kept: Kept, command: str, argument: str) -> None:
        if command == "close":
            kept.state = "closed"
        if command == "spend":
            kept.times.append({"time": int(argument.removesuffix("m")) * 60})


class GitLabWorld(ContractWorld):
    contract_class = GitLabContract
    has_history = True
    status = "status::doing"

    def status_of(self, written: str) -> str:
        return " ".join(self.kept(written).reached)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "gitlab",
            "url": self.relay.url,
            "token": "token-1",
            "project": REPOSITORY,
        }


class GiteaContract(Contract):
    document = "gitea.json"
    origin = "https://gitea.example.org"
    beside = (
        "/api/v1/user",
        "/api/v1/users/search",
        "/api/v1/repos/[^/]+/[^/]+",
        "/api/v1/repos/[^/]+/[^/]+/issues/[0-9]+/timeline",
    )

    #: The users that `Sudo` may name, with their addresses.
    users: ClassVar[dict[str, str]] = {"ann": "ann@example.org"}

    def refuse(self, request: Request) -> Answer | None:
        if request.headers.get("authorization") != "token token-1":
            return Answer(401, {"message": "no"})
        user = request.headers.get("sudo")
        if user == "locked":
            return Answer(403, {"message": "user is not allowed to sign in"})
        if user and user not in self.users:
            return Answer(404, {"message": f"user does not exist [name: {user}]"})
        return None

    def find_users(self, request: Request) -> Answer:
        found = [
            {"login": name, "email": mail}
            for name, mail in self.users.items()
            if request.params["q"] in mail.lower()
        ]
        return Answer(200, {"ok": True, "data": found})

    def routes(self) -> list[Any]:
        issue = f"/api/v1/repos/{REPOSITORY}/issues/([0-9]+)"
        rights = {"has_issues": True, "permissions": {"push": True}}
        return [
            ("GET", "/api/v1/users/search", self.find_users),
            ("GET", "/api/v1/user", lambda request: Answer(200, {"login": "bot"})),
            ("GET", f"/api/v1/repos/{REPOSITORY}", lambda request: Answer(200, rights)),
            ("GET", issue, self.read),
            ("PATCH", issue, self.change),
            (
                "GET",
                f"{issue}/comments",
                lambda request, number: Answer(200, self.issues[int(number)].comments),
            ),
            ("POST", f"{issue}/comments", self.comment),
            (
                "GET",
                f"{issue}/times",
                lambda request, number: Answer(200, self.issues[int(number)].times),
            ),
            ("POST", f"{issue}/times", self.time),
            ("GET", f"{issue}/timeline", self.timeline),
        ]

    def read(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return MISSING
        return Answer(
            200, {"number": kept.number, "state": kept.state, "pull_request": None}
        )

    def change(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return MISSING
        if kept.history == ["depends"]:
            return Answer(
                412,
                {
                    "message": "cannot close this issue because it still has open dependencies"
                },
            )
        kept.reached.append(request.json["state"])
        # Every other word counts as open, as it did on older servers.
        kept.state = "closed" if request.json["state"] == "closed" else "open"
        if request.json["state"] not in ("open", "closed") or set(request.json) != {
            "state"
        }:
            self.problem(request, "state")
        return Answer(201, {"number": kept.number, "state": kept.state})

    def comment(self, request: Request, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return MISSING
        kept.comments.append(
            {"id": 1, "body": request.json["body"], "sudo": request.headers.get("sudo")}
        )
        return Answer(201, kept.comments[-1])

    def timeline(self, request: Request, number: str) -> Answer:
        names = {"closed": "close", "open": "reopen"}
        kinds = [names[state] for state in self.issues[int(number)].reached]
        first = request.params["page"] == "1"
        return Answer(200, [{"type": kind} for kind in kinds] if first else [])

    def time(self, request: Request, number: str) -> Answer:
        self.issues[int(number)].times.append(
            {"time": request.json["time"], "created": LATE}
        )
        return Answer(200, {"time": request.json["time"]})


class GiteaWorld(ContractWorld):
    contract_class = GiteaContract
    has_history = True

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "gitea",
            "url": self.relay.url,
            "token": "token-1",
            "project": REPOSITORY,
        }
