"""Operations on deliveries: what waits, what ran, what is dead; again, or never."""

from collections.abc import Callable
from typing import Any, Final, get_args

from oberonc.daemon.journal import Say
from oberonc.daemon.operations import rows
from oberonc.daemon.operations.answers import Answer
from oberonc.daemon.operations.request import (
    MOST_ROWS,
    Request,
    actor,
    because,
    choice,
    number,
    numbers,
    optional_number,
    text,
)
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.errors import BadInput
from oberonc.queue.contract import Queue
from oberonc.queue.values import Delivery, State, Stats

STATES: Final = get_args(State)

#: Changes a delivery in somebody's name: (queue, its number, who).
Change = Callable[[Queue, int, str], Delivery]


class Deliveries:
    """What can be asked of deliveries."""

    def __init__(self, queue: QueueLink, say: Say) -> None:
        self._queue = queue
        self._say = say

    async def list(self, request: Request, _uid: int) -> Answer:
        """`delivery.list`: deliveries, filtered, by id from `after` on, or the newest
        first from `before` down.

        `services` says of each of theirs whether it is failing, when it is next
        tried, and when its rate lets the next delivery start.
        """
        wanted: dict[str, Any] = {
            "state": choice(request, "state", STATES),
            "service": text(request, "service"),
            "repo": text(request, "repository"),
            "limit": min(number(request, "limit", 100), MOST_ROWS),
            "after": number(request, "after", 0),
            "before": optional_number(request, "before"),
            "since": number(request, "since", 0),
        }

        def find(queue: Queue) -> tuple[list[Delivery], Stats]:
            return queue.deliveries(**wanted), queue.stats(now_ms())

        found, known = await self._queue.call(find)
        return {
            "ok": True,
            "deliveries": [rows.delivery(delivery) for delivery in found],
            "services": rows.services(known, found),
        }

    async def show(self, request: Request, _uid: int) -> Answer:
        """`dead.show`: one delivery with its attempts, and `services` as `list` has it."""
        wanted = number(request, "delivery")
        found, known = await self._queue.call(
            lambda queue: (queue.delivery(wanted), queue.stats(now_ms()))
        )
        if found is None:
            raise BadInput(f"there is no delivery {wanted}")
        services = rows.services(known, [found])
        return {"ok": True, "delivery": rows.delivery(found), "services": services}

    async def retry(self, request: Request, uid: int) -> Answer:
        """`dead.retry`: again, now; also for what is done."""

        def retry(queue: Queue, wanted: int, by: str) -> Delivery:
            return queue.retry(now_ms(), wanted, by)

        return await self._change(request, uid, "retries", retry)

    async def drop(self, request: Request, uid: int) -> Answer:
        """`dead.drop`: never, in the name of the caller."""

        def drop(queue: Queue, wanted: int, by: str) -> Delivery:
            return queue.drop(now_ms(), wanted, by)

        return await self._change(request, uid, "dropped", drop)

    async def _change(
        self, request: Request, uid: int, verb: str, change: Change
    ) -> Answer:
        """Change `delivery`; or each of `deliveries`, whatever becomes of the others: a
        row, or why not, for each.
        """
        by, why = actor(request, uid), because(request)
        is_one = "deliveries" not in request
        if is_one:
            wanted = [number(request, "delivery")]
        else:
            wanted = numbers(request, "deliveries")

        def each(queue: Queue) -> list[tuple[int, Delivery | BadInput]]:
            results: list[tuple[int, Delivery | BadInput]] = []
            for one in wanted:
                try:
                    results.append((one, change(queue, one, by + why)))
                except BadInput as error:
                    results.append((one, error))
            return results

        answers: list[Answer] = []
        for one, result in await self._queue.call(each):
            if not isinstance(result, BadInput):
                self._say(f"{by} {verb} delivery {one}{why}", result)
                answers.append({"id": one, "delivery": rows.delivery(result)})
            elif is_one:
                raise result
            else:
                answers.append({"id": one, "error": str(result)})
        self._queue.expect()
        if is_one:
            return {"ok": True, "delivery": answers[0]["delivery"]}
        return {"ok": True, "results": answers}
