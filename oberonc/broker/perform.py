"""One payload through one broker in this process, which was made for that."""

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from oberonc import redaction
from oberonc.broker import legacy
from oberonc.broker.contract import BaseBroker, Check
from oberonc.broker.loading import error_text, named
from oberonc.broker.request import Outcome, Request
from oberonc.errors import Reject, Retry
from oberonc.text import one_line, shortened, visible

#: Characters of a note or an error that are kept.
NOTE = 4096
#: What a call gives back instead of doing its work: coroutines, generators, `map`, and
#: the like.
_UNDONE = (Awaitable, AsyncIterator, Iterator)


def perform(
    broker_class: type[BaseBroker],
    request: Request,
    on_error: Callable[[BaseException], None] | None = None,
) -> Outcome:
    """Run `handle` once in this process. Never raises for what the broker's code does;
    *on_error* is given what it raises first.
    """
    if request.traceback:
        on_error = show_error
    hidden = redaction.secrets_in(request.settings)
    file = source(broker_class)
    try:
        with legacy.names_of_2009(legacy.needs(file)):
            outcome = _handle(broker_class, request)
    except BaseException as error:  # noqa: BLE001  it is the broker's code: it may raise anything
        if on_error:
            on_error(error)
        outcome = _failed(error, file, hidden)
    # Redacted before anything is cut or escaped: half a secret is not recognised.
    return outcome._replace(
        note=shortened(visible(redaction.redact(outcome.note, hidden)), NOTE)
    )


def show_error(error: BaseException) -> None:
    """Print *error* with the way to it through the broker's code, and not ours."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__ and trace.tb_next:
        trace = trace.tb_next
    import traceback  # only where an author looks

    traceback.print_exception(error.with_traceback(trace))


def source(broker_class: type[BaseBroker]) -> str:
    """The file *broker_class* was loaded from, or an empty string."""
    return getattr(sys.modules.get(broker_class.__module__), "__file__", None) or ""


def _handle(broker_class: type[BaseBroker], request: Request) -> Outcome:
    broker = broker_class()
    try:
        broker.bind(request.service, request.settings, Path(request.state))
    except ValueError as error:
        # Somebody will mend the configuration; until then the delivery waits.
        return Outcome("retry", f"settings of service '{request.service}': {error}")
    if request.only_idle and broker.has_work(request.delivered()):
        return Outcome("retry", "there is something to do", progress=True)
    broker._deadline = time.monotonic() + request.timeout
    if request.until is not None:
        broker._deadline = min(broker._deadline, request.until)
    result = broker.handle(request.delivered())
    kind = result if isinstance(result, type) else type(result)
    if issubclass(kind, BaseException):
        raise TypeError(f"handle gave back {kind.__name__}; raise it")
    if isinstance(result, _UNDONE):
        if hasattr(result, "close"):
            result.close()  # else Python would say on stderr that it was never awaited
        raise TypeError(
            f"handle gave back a {type(result).__name__}, of which nothing ran; write a plain method"
        )
    return Outcome("done", result if isinstance(result, str) else "")


def _failed(error: BaseException, file: str, hidden: list[str]) -> Outcome:
    text = redaction.redact(error_text(error), hidden)
    if isinstance(error, Retry):
        after = (
            error.after
            if isinstance(error.after, (int, float)) and 0 <= error.after < 10**9
            else None
        )
        return Outcome("retry", text, after, bool(error.progress))
    if isinstance(error, Reject):
        return Outcome("dead", text or "rejected without a reason")
    return Outcome("retry", told(error, file, hidden))


def told(error: BaseException, file: str, hidden: list[str]) -> str:
    """What a broker of *file* raised, in one line, and where; for a setting that makes
    no sense what is wrong is enough.
    """
    # Redacted before it is cut: half a secret is not recognised.
    text = one_line(redaction.redact(error_text(error), hidden), NOTE // 2)
    return f"{named(error, text)}{_place(error, file)}"


def _place(error: BaseException, file: str) -> str:
    # A broker's author needs their own line, not the runner's.
    line = None
    trace = error.__traceback__
    while trace is not None:
        if file and trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" ({Path(file).name}:{line})" if line else ""


def call(broker_class: type[BaseBroker], name: str, request: Request) -> dict[str, Any]:
    """What the broker's `check()` or `plan(payload)` says, as `said`; `error` where it
    raises.
    """
    hidden, bound = redaction.secrets_in(request.settings), False
    file = source(broker_class)
    try:
        with legacy.names_of_2009(legacy.needs(file)):
            broker = broker_class()
            broker.bind(request.service, request.settings, Path(request.state))
            bound = True
            broker._deadline = time.monotonic() + request.timeout
            if name == "check":
                said = _checks(broker.check())
            else:
                planned = broker.plan(request.delivered())
                if isinstance(planned, str):
                    raise TypeError("plan gave back a text; a list of lines is wanted")
                said = [str(line) for line in planned]
    except BaseException as error:  # noqa: BLE001  it is the broker's code: it may raise anything
        meant = isinstance(error, Retry | Reject)
        if meant or (isinstance(error, ValueError) and not bound):
            return {"error": one_line(redaction.redact(error_text(error), hidden))}
        return {"error": told(error, file, hidden)}
    return {"said": redaction.redact_all(said, hidden)}


def _checks(found: Any) -> list[Any]:
    if isinstance(found, Check | str | bool | None):
        kind = type(found).__name__
        raise TypeError(f"check gave back a {kind}; a list of Check is wanted")
    return [
        [bool(ok), str(what), str(mend)]
        for ok, what, mend in (Check(*each) for each in found)
    ]
