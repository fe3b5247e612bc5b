"""One service's deliveries of one repository while brokers run here: tried in order,
one at a time, until one does not end or time is up.
"""

import threading
import time
from itertools import chain
from typing import Any, NamedTuple

from oberonc import policy
from oberonc.broker import declared, registry, runner, secrets
from oberonc.broker.budget import Budget
from oberonc.broker.request import Outcome, Request, first_attempt, stood
from oberonc.config import DEFAULT_TIMEOUT, Config, Service
from oberonc.delivery import spool
from oberonc.delivery.kept import Kept
from oberonc.delivery.log import Result
from oberonc.errors import OberoncError
from oberonc.payload.schema import Payload
from oberonc.text import one_line

#: Seconds a broker may take to be loaded and asked for its limit.
ASK = 10.0
#: The longest limit there is, and the longest delay a broker may ask for, in seconds.
LONGEST = 7 * 86_400.0
_ASKED = policy.ASKED_MS / policy.SECOND
#: Characters of what a broker printed that the log keeps.
_OUTPUT = 2000


class Means(NamedTuple):
    """What every attempt of one run needs:
    the configuration, the brokers, and the time there is.
    """

    config: Config
    catalogue: registry.Catalogue
    budget: Budget

    def limit(self, name: str) -> float:
        """Seconds one delivery of service *name* may take: what the service says, else
        what its broker's class says.
        """
        service = self.config.services.get(name)
        place = service and self.catalogue.places.get(service.broker)
        limit = service.timeout if service else None
        if limit is None and place:
            limit = declared.timeout(place)
            if limit is None:
                # It is computed or inherited: only the class itself can tell.
                patience = min(ASK, max(self.budget.left(), 0))
                limit = runner.ask(place, {"describe": True}, patience).get("timeout")
        return min(limit or DEFAULT_TIMEOUT, LONGEST)

    def prepare(
        self, service: Service, payload: Payload, limit: float
    ) -> tuple[registry.Place, Request]:
        """The broker of *service*, and what its first attempt is asked.

        Raises ConfigError or NotAllowed where the
        broker cannot be used or a secret cannot be had.
        """
        place = self.catalogue.places.get(service.broker)
        if place is None:
            raise registry.BrokenBroker(
                self.catalogue.missing(service.broker, service.name)
            )
        settings = secrets.resolve(service, time.monotonic() + self.budget.left())
        state = str(self.config.state)
        return place, first_attempt(service, settings, payload, state, limit)


class Lane(threading.Thread):
    """The thread that works a lane off; what it did is in *results*, by event and
    service.

    An attempt gets *limit* seconds, all of them together end at *deadline* (monotonic).
    *at_once*: no delay that a broker asked for is waited for.
    """

    def __init__(
        self,
        service: str,
        means: Means,
        entries: list[Kept],
        results: dict[tuple[str, str], Result],
        *,
        limit: float,
        deadline: float,
        at_once: bool,
    ) -> None:
        super().__init__(name=f"service {service}", daemon=True)
        self._service, self._means = service, means
        self._entries, self._results = entries, results
        self._limit, self._deadline, self._at_once = limit, deadline, at_once

    def run(self) -> None:
        name, service = self._service, self._means.config.services.get(self._service)
        gap = False
        found = self._batches(name, service)
        for index, batch in enumerate(found):
            state = batch[0].services[name]
            wait = state.due - time.time()
            # More than can be asked for is a clock that was set back.
            if 0 < wait <= _ASKED and not self._at_once:
                until = time.strftime("%H:%M:%SZ", time.gmtime(state.due))
                note = f"waits until {until}, as its broker asked: {state.error}"
                result = Result("matches", "retry", note)
            else:
                result = self._attempt(batch, gap)
            for kept in batch:
                self._results[kept.payload["id"], name] = result
            if result.outcome not in ("retry", "crash"):
                for kept in batch:
                    kept.end(name)
                gap = gap or result.outcome == "dead"
                continue
            gap = True
            # Later ones may overtake what had its lane for `hold` seconds.
            held = service is not None and time.time() - state.first >= service.hold
            order = service.order if service else "none"
            if order == "strict" or (order == "bounded" and not held):
                note = f"waits behind an earlier delivery: {result.note}"
                for later in chain.from_iterable(found[index + 1 :]):
                    waits = Result("matches", "retry", note)
                    self._results[later.payload["id"], name] = waits
                return

    def _batches(self, name: str, service: Service | None) -> list[list[Kept]]:
        """The deliveries as they are handed over: most of them alone."""
        thins = service and (service.max_age or service.collapse or service.digest)
        if not thins and not any(e.services[name].digest for e in self._entries):
            return [[kept] for kept in self._entries]
        from oberonc.delivery.batches import batches, left_out

        for kept, outcome, note in left_out(service, self._entries) if service else ():
            self._results[kept.payload["id"], name] = Result("matches", outcome, note)
            kept.end(name)
        waiting = [kept for kept in self._entries if name in kept.services]
        return batches(service, name, waiting, self._means.config.limits)

    def _attempt(self, batch: list[Kept], gap: bool) -> Result:
        """Try one delivery, or those that are handed over together; without an outcome
        where a filter kept it back. A dead one is kept as a file.
        """
        kept = batch[0]
        name, began = self._service, time.monotonic()
        why = "matches"
        try:
            why, outcome = self._run_broker(batch, gap)
        except OberoncError as error:
            # The configuration may be mended: the delivery waits for that.
            outcome = Outcome("retry", str(error))
        except OSError as error:
            note = f"cannot run the broker: {error.strerror or error}"
            outcome = Outcome("retry", note)
        except Exception as error:  # noqa: BLE001  a payload that trips us must not take its neighbours with it
            note = f"unexpected {type(error).__name__}: {one_line(str(error))}"
            outcome = Outcome("retry", note)
        if outcome is None:
            return Result(why)
        result = Result(
            why=why,
            outcome=outcome.kind,
            note=outcome.note,
            attempt=kept.services[name].attempts,
            took_ms=round((time.monotonic() - began) * 1000),
            output=outcome.output[:_OUTPUT],
        )
        if result.outcome == "done":
            return result
        if result.outcome == "interrupted":
            # What was cut off is not charged: it may well be tried again.
            return result._replace(outcome="retry")
        if result.outcome in ("retry", "crash"):
            _change(batch, name, error=result.note)
            state = kept.services[name]
            waited = round((time.time() - state.first) * policy.SECOND)
            spent = policy.Spent(crashes=state.crashes, waited_ms=waited)
            if not policy.exhausted(spent):
                return result
        try:
            folder = self._means.config.spool
            letters = [
                spool.bury(folder, kept.payload, name, result.note) for kept in batch
            ]
        except OSError as error:
            note = f"{result.note} (not put aside: {error.strerror})"
            return result._replace(outcome="retry", note=note)
        return result._replace(outcome="dead", kept=str(letters[0]))

    def _run_broker(self, batch: list[Kept], gap: bool) -> tuple[str, Outcome | None]:
        """The filter's reason, and how the attempt ended; None where the filter kept it
        back. What it used up is noted in *batch*.
        """
        kept = batch[0]
        name, budget = self._service, self._means.budget
        service = self._means.config.services.get(name)
        if service is None:
            note = f"service '{name}' is no longer configured"
            return "matches", Outcome("dead", note)
        chosen = [each.choice(service) for each in batch]
        why = chosen[0].reason
        payloads = [each.payload for each in chosen if each.payload is not None]
        if not payloads:
            return why, None
        state = kept.services[name]
        if state.running:
            # It took its push down with it.
            _change(batch, name, running=False, orphans=state.orphans + 1)
            state = kept.services[name]
        if policy.exhausted(policy.Spent(orphans=state.orphans)):
            note = "everything around it was ended each time while it ran"
            return why, Outcome("dead", note)
        payload = payloads[0]
        if len(payloads) > 1:
            from oberonc.payload.digest import joined

            payload = joined(payloads)
        place, request = self._means.prepare(service, payload, self._limit)
        limit, used_up = self._time()
        if limit > 0 and service.rate:
            limit, used_up = self._turn(service)
        if limit <= 0:
            return why, Outcome("interrupted", used_up)
        if len(batch) > 1:
            _change(batch, name, digest=kept.payload["id"])
        for each in batch:
            each.begin(name)
        request = request._replace(timeout=limit, attempt=state.attempts + 1, gap=gap)
        outcome = runner.run(place, request, limit, budget)
        if outcome.kind == "crash" and (limit < self._limit or budget.interrupted):
            # Ended early, because time was used up otherwise: nobody's fault.
            used_up = self._time()[1]
            where = "" if budget.interrupted else stood(outcome.output.encode())
            note = f"{used_up}{where}" if used_up else outcome.note
            outcome = outcome._replace(kind="interrupted", note=note)
            _change(batch, name, error=outcome.note)
        crashes = state.crashes + (outcome.kind == "crash")
        _change(batch, name, running=False, crashes=crashes)
        if outcome.kind == "retry" and outcome.after:
            _change(batch, name, due=time.time() + min(outcome.after, _ASKED))
        return why, outcome

    def _turn(self, service: Service) -> tuple[float, str]:
        """As `_time`, once the rate of the service lets a delivery start; a push does
        not wait for that, who asked for what is kept does.
        """
        from oberonc.delivery import rates

        while due := rates.take(self._means.config, service):
            limit, used_up = self._time()
            if not self._at_once or time.time() + limit < due:
                until = time.strftime("%H:%M:%SZ", time.gmtime(due))
                return 0.0, used_up or f"its `rate` lets it start at {until}"
            time.sleep(min(0.1, max(0.0, due - time.time())))
        return self._time()

    def _time(self) -> tuple[float, str]:
        """Seconds the next attempt may take, and why it may take none."""
        seconds, budget = self._deadline - time.monotonic(), self._means.budget
        # Looking into the spool takes its moment: nearly the whole limit is as good as
        # the whole.
        limit = min(
            self._limit if seconds >= self._limit * 0.9 else seconds, budget.left()
        )
        if limit > 0:
            return limit, ""
        if budget.left() <= 0:
            return limit, budget.why
        return limit, "the time of this push was used up by earlier deliveries"


def _change(batch: list[Kept], service: str, **facts: Any) -> None:
    for kept in batch:
        kept.change(service, **facts)
