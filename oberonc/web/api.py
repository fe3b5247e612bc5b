"""`/api/`: what the daemon knows and can be told, for other programs.

Each handler asks the daemon and gives its answer; rows are those of the command line's
`--json`.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.urls import register_converter

import oberonc
from oberonc.config import Config
from oberonc.delivery import handover, spool
from oberonc.errors import BadInput, OberoncError
from oberonc.grammar.message import scan
from oberonc.payload.check import loads
from oberonc.piston import (
    BearerAuthentication,
    Emitter,
    Page,
    Principal,
    Problem,
    Resource,
    idempotent,
    rc,
    require_mime,
    validate,
)
from oberonc.prometheus import exposition
from oberonc.text import one_line
from oberonc.web.daemon import AGAIN, Guarded, ask, by, needs, words_of
from oberonc.web.inputs import (
    DeliveryFilter,
    EventFilter,
    Lane,
    Message,
    Newest,
    Numbers,
    Reload,
    Span,
    Why,
)
from oberonc.web.settings import Token, token_of

#: Seconds in which the daemon has to take a payload; else it is spooled.
BUDGET: Final = 2.0
#: Seconds for which an answer is kept for whoever asks the same again.
REMEMBERED: Final = 3600


class _Verb:
    """A word of an address."""

    def to_python(self, word: str) -> str:
        """As it is."""
        return word

    to_url = to_python


class Changing(_Verb):
    """What can be done to a delivery."""

    regex = "retry|drop"


class Steering(_Verb):
    """What can be done to a service."""

    regex = "pause|resume|test"


class Prometheus(Emitter):
    """Numbers as Prometheus reads them."""

    def render(self, request: Any) -> str:
        """Its text format."""
        return exposition(self.data)


register_converter(Changing, "changing")
register_converter(Steering, "steering")


class _Handler(Guarded):
    """What all of them have."""

    config: Config
    #: What became of requests to webhooks.
    counts: Callable[[], dict[str, Any]]

    @classmethod
    def openapi(cls, method: str, arguments: Collection[str]) -> dict[str, Any]:
        """What the documentation cannot see: POST does something and makes nothing,
        and the daemon may refuse, or not answer.
        """
        return {"statuses": {400, 503} | ({200, 409} if method == "POST" else set())}

    def ask(self, op: str, *, missing: int = 400, **fields: Any) -> dict[str, Any]:
        """The daemon's answer. Raises Problem."""
        return ask(self.config, op, missing=missing, **fields)


class Events(_Handler):
    """Pushes that were accepted."""

    @needs("read")
    @validate(EventFilter, operation="GET")
    def read(self, request: Any) -> Any:
        """The newest first: of a `repository`, of a commit or an id (`commit`, its
        beginning), that name an `issue`, accepted from `since` on and before `until`.
        `Link` has the next page, which of a repository or an issue may have rows though
        this one has none.

        With `after`, the `seq` of an event, those accepted later, the oldest first, of
        all of them.
        """
        query: EventFilter = request.query
        if query.after is not None:
            if query != EventFilter(after=query.after, limit=query.limit):
                raise Problem(422, "'after' goes with 'limit' alone.")
            found = self.ask("log", after=query.after, limit=query.limit)["events"]
            links = {}
            if len(found) == query.limit:
                links["next"] = _link(request, after=found[-1]["seq"])
            return Page(found, links=links)
        found = self.ask(
            "event.list",
            repository=query.repository,
            key=query.commit,
            issue=query.issue,
            since=_milliseconds(query.since) or 0,
            until=_milliseconds(query.until),
            before=query.before,
            limit=query.limit,
        )
        links = {}
        if found["next"] is not None:
            links["next"] = _link(request, before=found["next"])
        return Page(found["events"], links=links)

    @classmethod
    def openapi(cls, method: str, arguments: Collection[str]) -> dict[str, Any]:
        """A payload is made into an event, unless it was before."""
        told = super().openapi(method, arguments)
        if method == "POST":
            told["statuses"].add(201)
            told["body"] = {"type": "object", "required": ["id", "schema"]}
        return told

    @needs("submit")
    @require_mime("json")
    @idempotent(timeout=REMEMBERED)
    def create(self, request: Any) -> Any:
        """Submit a payload of schema 1. It is durable before the answer: accepted by the
        daemon, or spooled where none answers.
        """
        try:
            payload = loads(request.body, "the body")
            handed = handover.submit(self.config, payload, BUDGET)
        except BadInput as error:
            raise Problem(422, one_line(str(error))) from None
        except OberoncError as error:
            again = {"Retry-After": AGAIN}
            raise Problem(503, one_line(str(error)), headers=again) from None
        request.push = payload["id"]
        answer = {"id": payload["id"], "status": handed.status}
        if handed.status == "duplicate":
            return rc.ALL_OK(answer)
        return rc.CREATED(answer, location=f"/api/events/{payload['id']}")


class Event(_Handler):
    """One push."""

    @needs("read")
    def read(self, request: Any, id: str) -> Any:
        """What became of it: each service's decision and reason, attempts and output."""
        request.push = id
        if not re.fullmatch(r"[0-9a-f]{32}", id):
            raise Problem(404, f"There is no event {one_line(id, 80)}.")
        for event in self.ask("log", missing=404, key=id, limit=2)["events"]:
            if event["id"] == id:
                return event
        raise Problem(404, f"There is no event {id}.")


class Deliveries(_Handler):
    """What each service got, or is to get."""

    @needs("read")
    @validate(DeliveryFilter, operation="GET")
    def read(self, request: Any) -> Any:
        """The newest first, by `state`, `service` and `repository`; `before` is the id
        of the last one of the page before.
        """
        query: DeliveryFilter = request.query
        found = self.ask("delivery.list", **asdict(query))["deliveries"]
        links = {}
        if len(found) == query.limit:
            links["next"] = _link(request, before=found[-1]["id"])
        return Page(found, links=links)


class Delivery(_Handler):
    """One delivery."""

    @needs("read")
    def read(self, _request: Any, number: int) -> Any:
        """Its attempts, with what the broker said."""
        return self.ask("dead.show", missing=404, delivery=number)["delivery"]


class Change(_Handler):
    """Deliveries, again or never."""

    @needs("operate")
    @idempotent(timeout=REMEMBERED)
    @validate(Numbers)
    def create(self, request: Any, verb: str) -> Any:
        """Each is tried again now (`retry`), or never (`drop`); a row, or why not, for
        each. The `reason` is written down.
        """
        wanted = {"deliveries": request.cleaned.deliveries, **_acts(request)}
        found = self.ask(f"dead.{verb}", missing=422, **wanted)
        return rc.ALL_OK(found["results"])


class ChangeOne(_Handler):
    """One delivery, again or never."""

    @needs("operate")
    @idempotent(timeout=REMEMBERED)
    @validate(Why)
    def create(self, request: Any, number: int, verb: str) -> Any:
        """It is tried again now (`retry`), or never (`drop`)."""
        wanted = {"deliveries": [number], **_acts(request)}
        [found] = self.ask(f"dead.{verb}", missing=422, **wanted)["results"]
        if "error" in found:
            raise Problem(409, one_line(found["error"]))
        return rc.ALL_OK(found["delivery"])


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
    """A service that rests, and one that is tried."""

    @needs("operate")
    @validate(Lane)
    def create(self, request: Any, name: str, verb: str) -> Any:
        """`pause`: hand it nothing more; `resume`: go on; with `repository` for that
        alone. `test`: prove that it could do its work, without changing anything; what
        was found, each with `ok`, `what` it is and what will `mend` it.
        """
        if verb == "test":
            wanted = {"service": name, **_acts(request)}
            found = self.ask("service.test", missing=404, **wanted)["findings"]
            return rc.ALL_OK({"service": name, "findings": found})
        repository = request.cleaned.repository
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
    @validate(Reload)
    def create(self, request: Any) -> Any:
        """Reload: take what is in the files now into service. `check` only says what a
        reload would; `partial` takes what is good of it.
        """
        said: Reload = request.cleaned
        wanted = {"check": said.check, "partial": said.partial, **_acts(request)}
        report = self.ask("reload", **wanted)["report"]
        return rc.ALL_OK(report)


class Actions(_Handler):
    """What people had the daemon do."""

    @needs("read")
    @validate(Newest, operation="GET")
    def read(self, request: Any) -> Any:
        """The newest `limit`, newest first: who, what, when, why."""
        return self.ask("actions", limit=request.query.limit)["actions"]


class Stats(_Handler):
    """Numbers."""

    @needs("read")
    @validate(Span, operation="GET")
    def read(self, request: Any) -> Any:
        """Those of `oberonc stats --json`, with `minutes` or `hours` what happened in
        each of so many, of all services, one `service`, or `each`; and `webhooks`, what
        became of the requests that came to them since this process began.
        """
        value = self.ask("stats", **asdict(request.query))["stats"]
        return value | {"webhooks": self.counts()}


class Metrics(_Handler):
    """Numbers for Prometheus."""

    formats = ("prometheus",)

    @needs("read")
    def read(self, _request: Any) -> Any:
        """Those of `oberonc stats --prometheus`, and those of webhooks."""
        return self.ask("stats")["stats"] | {
            "command_version": oberonc.__version__,
            "webhooks": self.counts(),
        }


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
    @validate(Message)
    def create(self, request: Any) -> Any:
        """The references in a message, each with its place, action and reason, and what
        was nearly one; `words` are those of a tracker, `keys` its projects'.
        """
        said: Message = request.cleaned
        keys = {"keys": said.keys} if said.keys else {}
        try:
            found = scan(said.message, words_of(self.config, said.words, keys))
        except ValueError as error:
            raise Problem(422, one_line(str(error))) from None
        return rc.ALL_OK(
            {
                "references": [one._asdict() for one in found.references],
                "warnings": [one._asdict() for one in found.warnings],
                "near_misses": [one._asdict() for one in found.near_misses],
            }
        )


def _acts(request: Any) -> dict[str, Any]:
    """Who does it and why, for the log of actions."""
    return {"by": by("api", request.user.name), "reason": request.cleaned.reason}


def _link(request: Any, **cursor: int) -> str:
    """The address of the next page."""
    said = {k: v for k, v in request.GET.items() if k not in ("before", "after")}
    return f"{request.path}?{urlencode(said | cursor)}"


def _milliseconds(when: datetime | None) -> int | None:
    """*when* since 1970; without a time zone it is UTC."""
    if when is None:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0, int(aware.timestamp() * 1000))


class Holder(Principal):
    """Who has a token."""

    def __init__(self, token: Token) -> None:
        super().__init__(token.name)
        self.role = token.role


def resources(
    config: Config, tokens: tuple[Token, ...], counts: Callable[[], dict[str, Any]]
) -> dict[str, Resource]:
    """What is at each address below `/api/`; *counts* says what became of requests to
    webhooks.
    """

    def holder(given: str) -> Holder | None:
        found = token_of(tokens, given)
        return Holder(found) if found else None

    _Handler.config = config
    _Handler.counts = staticmethod(counts)
    who = [BearerAuthentication(holder, realm="oberonc")]
    return {
        "events": Resource(Events, authentication=who),
        "events/<str:id>": Resource(Event, authentication=who),
        "deliveries": Resource(Deliveries, authentication=who),
        "deliveries/<int:number>": Resource(Delivery, authentication=who),
        "deliveries/<int:number>/<changing:verb>": Resource(
            ChangeOne, authentication=who
        ),
        "deliveries/<changing:verb>": Resource(Change, authentication=who),
        "services": Resource(Services, authentication=who),
        "services/<str:name>": Resource(Services, authentication=who),
        "services/<str:name>/<steering:verb>": Resource(Pause, authentication=who),
        "brokers": Resource(Brokers, authentication=who),
        "generations": Resource(Generations, authentication=who),
        "actions": Resource(Actions, authentication=who),
        "stats": Resource(Stats, authentication=who),
        "metrics": Resource(Metrics, authentication=who),
        "spool": Resource(Spool, authentication=who),
        "parse": Resource(Parse, authentication=who),
    }
