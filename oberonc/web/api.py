"""`/api/`: what the daemon knows and can be told, for other programs.

Each handler asks the daemon and gives its answer; rows are those of the command line's
`--json`.
"""

from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpResponse

import oberonc
from oberonc.config import Config
from oberonc.delivery import handover, spool
from oberonc.errors import BadInput, OberoncError
from oberonc.grammar.message import scan
from oberonc.payload import schema
from oberonc.piston import (
    BaseHandler,
    BearerAuthentication,
    Page,
    Principal,
    Problem,
    Resource,
    rc,
)
from oberonc.prometheus import exposition
from oberonc.text import one_line
from oberonc.web.daemon import AGAIN, ask, by, needs, words_of
from oberonc.web.settings import Token, token_of

#: Seconds in which the daemon has to take a payload; else it is spooled.
BUDGET: Final = 2.0
#: Rows of a page.
PAGE, MOST = 100, 1000
#: What Prometheus' text format is called.
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
#: Characters of a message that is looked at.
LONGEST_MESSAGE: Final = 64 * 1024


class _Handler(BaseHandler):
    """What all of them have."""

    config: Config

    def ask(self, op: str, *, missing: int = 400, **fields: Any) -> dict[str, Any]:
        """The daemon's answer. Raises Problem."""
        return ask(self.config, op, missing=missing, **fields)


class Events(_Handler):
    """Pushes that were accepted."""

    @needs("read")
    def read(self, request: Any) -> Any:
        """The newest; or those that `commit`, the beginning of a commit's or an event's
        id, stands for. `after`, the `last` of an answer before, asks for later ones.
        """
        query = request.GET
        after = query.get("after")
        found = self.ask(
            "log",
            key=query.get("commit", ""),
            limit=_number(query, "limit", 20),
            after=None if after is None else _number(query, "after", 0),
        )
        return {"last": found["last"], "events": found["events"]}

    @needs("submit")
    def create(self, request: Any) -> Any:
        """Submit a payload of schema 1. It is durable before the answer: accepted by the
        daemon, or spooled where none answers.
        """
        try:
            payload = schema.loads(request.body, "the body")
            handed = handover.submit(self.config, payload, BUDGET)
        except BadInput as error:
            raise Problem(422, one_line(str(error))) from None
        except OberoncError as error:
            again = {"Retry-After": AGAIN}
            raise Problem(503, one_line(str(error)), headers=again) from None
        answer = {"id": payload["id"], "status": handed.status}
        if handed.status == "duplicate":
            return rc.ALL_OK(answer)
        return rc.CREATED(answer, location=f"/api/events/{payload['id']}")


class Event(_Handler):
    """One push."""

    @needs("read")
    def read(self, _request: Any, id: str) -> Any:
        """What became of it: each service's decision and reason, attempts and output."""
        for event in self.ask("log", missing=404, key=id, limit=2)["events"]:
            if event["id"] == id:
                return event
        raise Problem(404, f"There is no event {id}.")


class Deliveries(_Handler):
    """What each service got, or is to get."""

    @needs("read")
    def read(self, request: Any) -> Any:
        """The newest first, by `state`, `service` and `repository`; `before` is the id
        of the last one of the page before.
        """
        query = request.GET
        limit = min(_number(query, "limit", PAGE), MOST)
        wanted = {key: query.get(key) for key in ("state", "service", "repository")}
        # With nothing before it, from the newest on.
        before = _number(query, "before", 2**53)
        found = self.ask("delivery.list", limit=limit, before=before, **wanted)
        rows = found["deliveries"]
        links = {}
        if len(rows) == limit:
            said = {key: value for key, value in wanted.items() if value}
            more = urlencode(said | {"limit": limit, "before": rows[-1]["id"]})
            links["next"] = f"{request.path}?{more}"
        return Page(rows, links=links)


class Delivery(_Handler):
    """One delivery."""

    @needs("read")
    def read(self, _request: Any, number: int) -> Any:
        """Its attempts, with what the broker said."""
        return self.ask("dead.show", missing=404, delivery=number)["delivery"]


class Change(_Handler):
    """Deliveries, again or never."""

    @needs("operate")
    def create(self, request: Any, verb: str) -> Any:
        """`{"deliveries": [1, 2]}`: each is tried again now (`retry`), or never
        (`drop`); a row, or why not, for each. `reason` is written down.
        """
        if verb not in ("retry", "drop"):
            raise Problem(404, "There is retry and drop.")
        numbers = _said(request).get("deliveries")
        acts = _acts(request)
        found = self.ask(f"dead.{verb}", missing=422, deliveries=numbers, **acts)
        return found["results"]


class Services(_Handler):
    """The configured services."""

    @needs("read")
    def read(self, _request: Any, name: str | None = None) -> Any:
        """State, counts, breaker and last error of each, or of one."""
        found = self.ask("stats")["stats"]["services"]
        if name is None:
            return found
        if name not in found:
            raise Problem(404, f"There is no service {one_line(name, 80)}.")
        return found[name]


class Pause(_Handler):
    """A service that rests."""

    @needs("operate")
    def create(self, request: Any, name: str, verb: str) -> Any:
        """`pause`: hand it nothing more; `resume`: go on. With `{"repository": "a/b"}`
        for that repository alone.
        """
        if verb not in ("pause", "resume"):
            raise Problem(404, "There is pause and resume.")
        repository = _said(request).get("repository")
        fields = {"service": name, "repository": repository, **_acts(request)}
        self.ask(f"lane.{verb}", missing=404, **fields)
        return rc.ALL_OK({"service": name, "status": f"{verb}d"})


class Brokers(_Handler):
    """Broker code in service."""

    @needs("read")
    def read(self, _request: Any) -> Any:
        """Every broker of the generation in service."""
        found = self.ask("brokers")
        return {"generation": found["generation"], "brokers": found["brokers"]}


class Generations(_Handler):
    """Snapshots of broker code."""

    @needs("read")
    def read(self, _request: Any) -> Any:
        """The newest."""
        return self.ask("generation")["generations"]

    @needs("admin")
    def create(self, request: Any) -> Any:
        """Reload: take what is in the files now into service. `{"check": true}` only
        says what a reload would; `{"partial": true}` takes what is good of it.
        """
        said = _said(request)
        wanted = {key: bool(said.get(key)) for key in ("check", "partial")}
        report = self.ask("reload", **wanted, **_acts(request))["report"]
        return rc.ALL_OK(report)


class Actions(_Handler):
    """What people had the daemon do."""

    @needs("read")
    def read(self, request: Any) -> Any:
        """The newest `limit`, newest first: who, what, when, why."""
        return self.ask("actions", limit=_number(request.GET, "limit", PAGE))["actions"]


class Stats(_Handler):
    """Numbers."""

    @needs("read")
    def read(self, _request: Any) -> Any:
        """Those of `oberonc stats --json`."""
        return self.ask("stats")["stats"]


class Metrics(_Handler):
    """Numbers for Prometheus."""

    @needs("read")
    def read(self, _request: Any) -> HttpResponse:
        """Those of `oberonc stats --prometheus`."""
        value = self.ask("stats")["stats"] | {"command_version": oberonc.__version__}
        return HttpResponse(exposition(value), content_type=METRICS)


class Spool(_Handler):
    """What the daemon did not take yet."""

    @needs("read")
    def read(self, _request: Any) -> Any:
        """How many files wait, and how many were put aside."""
        folder = self.config.spool
        try:
            waiting, aside = len(spool.listing(folder)), len(spool.rejected(folder))
        except OSError as error:
            raise Problem(503, f"The spool cannot be read: {error.strerror}.") from None
        return {"waiting": waiting, "aside": aside}


class Parse(_Handler):
    """The grammar."""

    @needs("read")
    def create(self, request: Any) -> Any:
        """`{"message": "fixes #42", "words": "github"}`: the references in it, each with
        its place, action and reason, and what was nearly one.
        """
        said = _said(request)
        message, kind = said.get("message"), said.get("words", "local")
        if not isinstance(message, str) or not isinstance(kind, str):
            raise Problem(
                422, "'message' must be a text, and 'words' a tracker's kind."
            )
        if len(message) > LONGEST_MESSAGE:
            raise Problem(422, f"'message' has over {LONGEST_MESSAGE} characters.")
        keys = said.get("keys", [])
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Problem(422, "'keys' must be a list of project keys.")
        try:
            options = {"keys": keys} if keys else {}
            found = scan(message, words_of(self.config, kind, options))
        except ValueError as error:
            raise Problem(422, one_line(str(error))) from None
        return rc.ALL_OK(
            {
                "references": [one._asdict() for one in found.references],
                "warnings": [one._asdict() for one in found.warnings],
                "near_misses": [one._asdict() for one in found.near_misses],
            }
        )


def _said(request: Any) -> dict[str, Any]:
    """The body, an object. Raises Problem."""
    said = request.data
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise Problem(422, "The body must be an object.")
    return said


def _acts(request: Any) -> dict[str, Any]:
    """Who does it and why, for the log of actions."""
    why = _said(request).get("reason")
    return {"by": by("api", request.user.name), "reason": why}


def _number(query: Any, name: str, default: int) -> int:
    said = query.get(name, str(default))
    if not (said.isascii() and said.isdigit() and len(said) <= 19):
        raise Problem(400, f"'{name}' must be a number.")
    return int(said)


class Holder(Principal):
    """Who has a token."""

    def __init__(self, token: Token) -> None:
        super().__init__(token.name)
        self.role = token.role


def resources(config: Config, tokens: tuple[Token, ...]) -> dict[str, Resource]:
    """What is at each address below `/api/`."""

    def holder(given: str) -> Holder | None:
        found = token_of(tokens, given)
        return Holder(found) if found else None

    _Handler.config = config
    who = [BearerAuthentication(holder, realm="oberonc")]
    return {
        "events": Resource(Events, authentication=who),
        "events/<str:id>": Resource(Event, authentication=who),
        "deliveries": Resource(Deliveries, authentication=who),
        "deliveries/<int:number>": Resource(Delivery, authentication=who),
        "deliveries/<str:verb>": Resource(Change, authentication=who),
        "services": Resource(Services, authentication=who),
        "services/<str:name>": Resource(Services, authentication=who),
        "services/<str:name>/<str:verb>": Resource(Pause, authentication=who),
        "brokers": Resource(Brokers, authentication=who),
        "generations": Resource(Generations, authentication=who),
        "actions": Resource(Actions, authentication=who),
        "stats": Resource(Stats, authentication=who),
        "metrics": Resource(Metrics, authentication=who),
        "spool": Resource(Spool, authentication=who),
        "parse": Resource(Parse, authentication=who),
    }
