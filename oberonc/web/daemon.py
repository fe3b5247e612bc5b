"""Asking the daemon, with its refusals as problem documents."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from oberonc.config import Config
from oberonc.delivery import handover
from oberonc.errors import BadInput, NotAccepted, NotAllowed, Unreachable
from oberonc.grammar.words import PRESETS, Words, words_for
from oberonc.piston import BaseHandler, Problem, throttle
from oberonc.piston.handler import FUNCTIONS
from oberonc.text import one_line
from oberonc.web.journal import say
from oberonc.web.settings import ROLES

#: Seconds until a client may ask a daemon again that did not answer.
AGAIN: Final = "5"
#: Requests a minute of one token.
OFTEN: Final = 300

M = TypeVar("M", bound=Callable[..., Any])


def ask(
    config: Config, op: str, *, missing: int = 400, **fields: Any
) -> dict[str, Any]:
    """The daemon's answer to *op*. Raises Problem: *missing* is the status of what it
    does not know, or cannot read.
    """
    try:
        return handover.call(config, op, **fields)
    except BadInput as error:
        raise Problem(missing, one_line(str(error))) from None
    except NotAccepted as error:
        raise Problem(409, one_line(str(error))) from None
    except NotAllowed as error:
        # What is to be done about it is for whoever runs the face.
        say(f"the daemon may not be asked: {error}")
        raise Problem(503, "The daemon may not be asked from here.") from None
    except Unreachable:
        raise Problem(
            503, "The daemon does not answer.", headers={"Retry-After": AGAIN}
        ) from None


def by(way: str, name: str) -> str:
    """Who does it, for the daemon's log of actions: *name*, who came in by *way*."""
    shown = "".join(c if c.isprintable() else "?" for c in one_line(name, 80))
    return f"{way}: {shown}"


def needs(right: str) -> Callable[[M], M]:
    """Let only tokens with *right* call a method of a `Guarded` handler; those that
    only submit as often as they like, the others at most `OFTEN` times a minute.
    """

    def guard(method: M) -> M:
        method.right = right  # type: ignore[attr-defined]
        if right == "submit":
            return method
        return throttle(OFTEN, 60, extra="api")(method)

    return guard


class Guarded(BaseHandler):
    """A handler whose methods say what a token must be allowed to."""

    def authorize(self, request: Any, **_address: Any) -> None:
        """Raise Problem where the token of *request* is not."""
        method = "GET" if request.method == "HEAD" else request.method
        right = getattr(self, FUNCTIONS[method]).right
        if right not in ROLES[request.user.role]:
            raise Problem(403, f"The token may not do that: it needs '{right}'.")


def words_of(config: Config, kind: str, options: dict[str, Any]) -> Words:
    """The words of a tracker of *kind* with *options*; of one that is a plugin the
    daemon knows them. Raises ValueError, and Problem.
    """
    if kind in PRESETS:
        return words_for(kind, options)
    own = _plugins(config).get(kind)
    if own is None:
        return words_for(kind, options)  # of which it says that it is unknown
    return words_for("local", options, own)


def kinds(config: Config) -> list[str]:
    """The kinds of trackers whose words are known; without those of plugins while the
    daemon does not answer.
    """
    try:
        return sorted({*PRESETS, *_plugins(config)})
    except Problem:
        return sorted(PRESETS)


def _plugins(config: Config) -> dict[str, dict[str, Any]]:
    """The words of each tracker that is a plugin. Raises Problem."""
    return {
        kind: plugin["words"]
        for row in ask(config, "brokers")["brokers"]
        if row["broker"] == "issues"
        for kind, plugin in row["plugins"].items()
        if "words" in plugin
    }
