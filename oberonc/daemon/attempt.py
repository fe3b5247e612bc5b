"""One attempt: a lease, a worker, and how it ended."""

import json
import os
import time
from typing import Final, Literal

from oberonc import jsontext, redaction
from oberonc.daemon.generation.generation import Generation, Runtime
from oberonc.daemon.generation.worker_link import WorkerLink, WorkerLost
from oberonc.daemon.queue_link import QueueLink
from oberonc.daemon.threads import in_a_thread
from oberonc.delivery import frames
from oberonc.payload import filters
from oberonc.payload.digest import joined
from oberonc.queue.values import Ending, Lease
from oberonc.text import CUT, visible

Kind = Literal["done", "retry", "crash", "dead", "interrupted", "progress"]
_KINDS: Final[dict[str, Kind]] = {
    "done": "done",
    "retry": "retry",
    "dead": "dead",
    "crash": "crash",
}
#: The longest delay that a broker can ask for, in seconds.
_LONGEST: Final = 10**9


async def attempt(
    queue: QueueLink, generation: Generation, worker: WorkerLink, lease: Lease
) -> Ending:
    """Have *worker* handle the delivery. Never raises for what broker code does."""
    runtime = generation.runtimes[lease.service]
    began = time.monotonic()
    # Random: what a broker left running cannot answer for a delivery that it was not
    # given.
    ticket = os.urandom(16).hex()
    try:
        if lease.members:  # they may be megabytes
            request = await in_a_thread(_request, runtime, lease, ticket)
        else:
            request = _request(runtime, lease, ticket)
        answer = await worker.ask(request, runtime.timeout)
        outcome = answer.get("outcome")
        if answer.get("lease") != ticket or not isinstance(outcome, dict):
            # Broker code wrote to the channel itself, or for an older lease: no attempt
            # has the number 0, so it counts as late.
            await queue.end([(lease.token._replace(attempt=0), Ending("done"))])
            await worker.kill()
            raise WorkerLost("answered for a lease it does not hold")
        kind = _KINDS.get(str(outcome.get("kind")), "crash")
        if kind == "retry" and outcome.get("progress") is True:
            kind = "progress"
        after, after_ms = outcome.get("after"), None
        if isinstance(after, (int, float)):
            after_ms = int(min(max(after, 0), _LONGEST) * 1000)
        ending = Ending(kind, str(outcome.get("note", "")), after_ms)
    except WorkerLost as lost:
        if generation.interrupted:
            ending = Ending("interrupted", "stopped to make way")
        elif worker.innocent:
            ending = Ending("interrupted", "its host ended, and not for it alone")
        else:
            ending = Ending("crash", str(lost))
    except Exception as error:  # noqa: BLE001  whatever it is, the lease must end
        why = f"the daemon could not hand it over: {type(error).__name__}: {error}"
        ending = Ending("crash", why)
    output, cut = worker.printed
    if output:
        output = visible(redaction.redact(output, runtime.hidden, cut=cut))
        output += CUT if cut else ""
    # Again, though the worker did it: what says it is a worker's answer may be the
    # broker's.
    note = redaction.redact(ending.note, runtime.hidden)
    took_ms = int((time.monotonic() - began) * 1000)
    return ending._replace(took_ms=took_ms, output=output, note=note)


def _request(runtime: Runtime, lease: Lease, ticket: str) -> bytes:
    """The frame that has the lease's delivery handled, by who can name *ticket*."""
    service, body = runtime.service, lease.body
    this = {
        "delivery_id": lease.delivery_id,
        "attempt": lease.token.attempt,
        "gap": lease.gap,
    }
    if lease.members:
        bodies = [body, *(member.body for member in lease.members)]
        told = [filters.promised(service, json.loads(body)) for body in bodies]
        body = jsontext.canonical(joined(told))
    elif filters.cuts(service, body):
        body = jsontext.canonical(filters.promised(service, json.loads(body)))
    # What is JSON already is not read and written again on its way through.
    request = jsontext.canonical({"op": "handle", "lease": ticket, "this": this})
    request = request[:-1] + b',"every":' + runtime.told + b',"payload":' + body + b"}"
    return frames.frame(request)
