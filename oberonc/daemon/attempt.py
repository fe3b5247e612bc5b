"""One attempt: a lease, a worker, and how it ended."""

import json
import os
import time
from typing import Any, Final, Literal

from oberonc import jsontext, redaction
from oberonc.broker.request import Request
from oberonc.config import Service
from oberonc.daemon.generation.generation import Generation, Runtime
from oberonc.daemon.queue_link import QueueLink
from oberonc.daemon.worker_link import Worker, WorkerLost
from oberonc.delivery import frames
from oberonc.payload import filters
from oberonc.queue.values import Ending, Lease
from oberonc.text import CUT, visible

Kind = Literal["done", "retry", "crash", "dead", "interrupted", "progress"]
_KINDS: Final[dict[str, Kind]] = {
    "done": "done",
    "retry": "retry",
    "dead": "dead",
    "crash": "crash",
}


async def attempt(
    queue: QueueLink, generation: Generation, worker: Worker, lease: Lease
) -> Ending:
    """Have *worker* handle the delivery. Never raises for what broker code does."""
    runtime = generation.runtimes[lease.service]
    began = time.monotonic()
    try:
        # Random: what a broker left running cannot answer for a delivery that it was
        # not given.
        ticket = os.urandom(16).hex()
        request = _request(runtime, lease, str(generation.config.state), ticket)
        answer = await worker.ask(request, runtime.timeout)
        ending = await _judged(queue, worker, answer, lease, ticket)
    except WorkerLost as lost:
        if generation.interrupted:
            ending = Ending("interrupted", "stopped to make way")
        elif worker.innocent:
            ending = Ending("interrupted", "its host ended, and not for it alone")
        else:
            ending = Ending(
                "crash",
                redaction.redact(str(lost), redaction.secrets_in(runtime.settings)),
            )
    except Exception as error:  # noqa: BLE001  whatever it is, the lease must end
        ending = Ending(
            "crash",
            f"the daemon could not hand it over: {type(error).__name__}: {error}",
        )
    output = worker.printed()
    if output:
        output = visible(
            redaction.redact(
                output, redaction.secrets_in(runtime.settings), cut=worker.cut
            )
        )
        output += CUT if worker.cut else ""
    # Again, though the worker did it: what says it is a worker's answer may be the
    # broker's.
    note = redaction.redact(ending.note, redaction.secrets_in(runtime.settings))
    return ending._replace(
        took_ms=int((time.monotonic() - began) * 1000), output=output, note=note
    )


async def _judged(
    queue: QueueLink, worker: Worker, answer: dict[str, Any], lease: Lease, ticket: str
) -> Ending:
    outcome = answer.get("outcome")
    if answer.get("lease") == ticket and isinstance(outcome, dict):
        return _ending(outcome)
    # Broker code wrote to the channel itself, or for an older lease: no attempt has the
    # number 0, so it counts as late.
    await queue.end(lease.token._replace(attempt=0), Ending("done"))
    await worker.kill()
    raise WorkerLost("answered for a lease it does not hold")


def _ending(outcome: dict[str, Any]) -> Ending:
    """What the worker said, as the queue takes it."""
    kind = _KINDS.get(str(outcome.get("kind")), "crash")
    after = outcome.get("after")
    after_ms = (
        int(min(max(after, 0), 10**9) * 1000)
        if isinstance(after, (int, float))
        else None
    )
    if kind == "retry" and outcome.get("progress") is True:
        kind = "progress"
    return Ending(kind, str(outcome.get("note", "")), after_ms)


def _request(runtime: Runtime, lease: Lease, state: str, ticket: str) -> bytes:
    """The frame that has the lease's delivery handled, by who can name *ticket*."""
    asked = Request(
        lease.service,
        runtime.service.broker,
        runtime.settings,
        state,
        runtime.timeout,
        lease.delivery_id,
        payload={},
        attempt=lease.token.attempt,
        gap=lease.gap,
    )
    request = {"op": "handle", "lease": ticket, "request": asked.wire()}
    # The payload is JSON already: it is not read and written again on its way through.
    return frames.frame(
        jsontext.canonical(request)[:-1]
        + b',"payload":'
        + _trimmed(runtime.service, lease.body)
        + b"}"
    )


def _trimmed(service: Service, body: bytes) -> bytes:
    """The payload cut down to what passes the filters of *service*."""
    if not (service.refs or service.paths or service.authors):
        return body
    chosen = filters.choose(service, json.loads(body)).payload
    # The filters may have changed since the event was accepted; what was promised then
    # is kept.
    return body if chosen is None else jsontext.canonical(chosen)
