"""The contract between oberonc and a broker, and nothing else.

A broker is a class that subclasses `BaseBroker` and has `handle(self, payload)`. It is
constructed without arguments, then `bind` gives it its service: one instance per
worker, one delivery at a time.
"""

import threading
import time
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from oberonc import files, redaction
from oberonc.config import DEFAULT_TIMEOUT, SERVICE_KEYS
from oberonc.redaction import Secret
from oberonc.text import nearest, one_line

if TYPE_CHECKING:
    from oberonc.kit.http import Http

T = TypeVar("T")


class Check(NamedTuple):
    """One finding of `BaseBroker.check`:
    what was tried, whether it holds, and what mends it.
    """

    ok: bool
    what: str
    mend: str = ""


class BaseBroker:
    """Subclass this and write `handle`.

    Class attributes: `timeout`, seconds one `handle` may take (enforced from outside
    the process); `Settings`, an optional class whose annotated attributes are the
    broker's settings with their types and defaults.
    """

    timeout: ClassVar[float] = DEFAULT_TIMEOUT
    Settings: ClassVar[type | None] = None

    #: The settings of the service, checked against `Settings` where the class has one.
    #: For editors and mypy a class may say `settings: Settings` below its `Settings`.
    settings: Any = SimpleNamespace()
    #: The name of the service this instance works for.
    service: str = ""
    #: The state folder of all services, for what a broker's services share.
    common_state: Path = Path()
    _deadline: float | None = None

    @cached_property
    def state(self) -> Path:
        """A folder of this service's own that outlives runs, shared by all workers; for
        what a broker must remember. It is made when it is first asked for.
        """
        from urllib.parse import quote  # only where something is kept

        folder = self.common_state / "services" / quote(self.service, safe="")
        files.make_private(folder)
        return folder

    def handle(self, payload: Any) -> str | None:
        """Do the work for one push. Return = done (a str is kept as the note of the
        attempt).

        Raise `Retry` for "again later", `Reject` for "never"; any
        other exception is a failed attempt, retried by the policy.
        *payload* (an `oberonc.Payload`) is this call's own copy and may be changed.
        """
        raise NotImplementedError

    def has_work(self, payload: Any) -> bool:
        """Whether `handle` would do anything for *payload*. No network, nothing
        changed.

        Asked only where a hook runs the brokers and older deliveries wait: what is no
        work does not wait for them.
        """
        return True

    def verify(self) -> None:
        """Raise ValueError when the settings make no sense together.
        Called at reload; no network.
        """

    @classmethod
    def plugins(cls) -> dict[str, dict[str, Any]]:
        """Of a broker that has plugins of its own: what is to be told of each (as JSON
        has it), or why it cannot be used (`error`).
        """
        return {}

    def check(self) -> list[Check]:
        """Prove that the outside world is ready for this service, without changing it
        (`brokers test`).
        """
        return []

    def plan(self, payload: Any) -> list[str]:
        """What `handle` would do for *payload*, a line each (`send --dry-run`). No
        network, nothing changed; a broker that does not say gives no lines.
        """
        return []

    def http(
        self,
        headers: dict[str, str] | None = None,
        auth: Any = None,
    ) -> "Http":
        """A client for the server of this service, for one thread.

        No request outlives the time that is left; the settings `proxy` and `ca` hold
        where the broker declares them; no secret of the settings, and no part of an
        address that is one, gets into a message. *auth* is (user, password), or an
        object of requests that signs them.
        """
        from oberonc.kit.http import Http  # few brokers need it, and it loads requests

        return Http(
            headers=headers,
            auth=auth,
            secrets=_secret_texts(vars(self.settings)),
            proxy=getattr(self.settings, "proxy", ""),
            ca=getattr(self.settings, "ca", ""),
            remaining=self.remaining,
        )

    def remaining(self) -> float:
        """Seconds until this delivery's time limit; end a long turn with
        `Retry(progress=True)` before it. Outside a delivery the class's limit counts,
        from the first time this is asked.
        """
        if self._deadline is None:
            self._deadline = time.monotonic() + self.timeout
        return self._deadline - time.monotonic()

    def get_local(self, name: str, factory: Callable[[], T]) -> T:
        """The object called *name*, made by *factory* once per worker thread."""
        local = self.__dict__.setdefault("_local", threading.local())
        if name not in local.__dict__:
            local.__dict__[name] = factory()
        made: T = local.__dict__[name]
        return made

    def bind(self, service: str, settings: dict[str, Any], state: Path) -> None:
        """Give a new instance its service; raises ValueError with one line when
        *settings* do not fit. *state* is the state folder of all services.
        """
        self.service, self.common_state = service, state
        self.settings = checked_settings(type(self).Settings, settings)
        self.verify()


def _secret_texts(settings: dict[str, Any]) -> list[str]:
    """The secrets in *settings*; of those that are addresses also what messages name
    of them, and the long parts of their path, which servers like to repeat.
    """
    from urllib.parse import urlsplit  # only where something is sent

    found = redaction.secrets_in(settings)
    addresses = [urlsplit(text) for text in found if "://" in text]
    return [
        *found,
        *(url._replace(query="", fragment="").geturl() for url in addresses),
        *(part for url in addresses for part in url.path.split("/") if len(part) > 7),
    ]


@cache
def settings_fields(declared: type | None) -> dict[str, tuple[Any, Any]]:
    """{name: (type, default or `...` where there is
    none)} of a `Settings` class; not to be changed.
    """
    if declared is None:
        return {}
    hints = get_type_hints(declared)
    return {
        name: (hint, _default(declared, name))
        for name, hint in hints.items()
        if name[0] != "_" and get_origin(hint) is not ClassVar
    }


def _default(declared: type, name: str) -> Any:
    """The default of setting *name*, `...` where there is none; *declared* may be a
    dataclass or a NamedTuple, too.
    """
    if field := getattr(declared, "__dataclass_fields__", {}).get(name):
        from dataclasses import MISSING  # it is loaded where a class is one

        if field.default_factory is not MISSING:
            return field.default_factory()
        return ... if field.default is MISSING else field.default
    if hasattr(declared, "_field_defaults"):
        return declared._field_defaults.get(name, ...)
    return getattr(declared, name, ...)


def checked_settings(declared: type | None, given: dict[str, Any]) -> SimpleNamespace:
    """*given* with defaults filled in;
    raises ValueError naming the first setting that does not fit.
    """
    if declared is None:
        return SimpleNamespace(**given)
    fields = settings_fields(declared)
    for name in given:
        if name not in fields:
            raise ValueError(
                f"unknown setting '{name}'{nearest(name, [*fields, *SERVICE_KEYS])}"
            )
    values = {}
    for name, (hint, default) in fields.items():
        if name not in given and default is ...:
            raise ValueError(f"setting '{name}' is missing")
        values[name] = _fit(name, hint, given[name]) if name in given else default
    return SimpleNamespace(**values)


def _fit(name: str, hint: Any, value: Any) -> Any:
    """*value* as the declared type; a whole number serves as a float, a list as any of
    its kind, a text as a Path, a reference's text as a Secret.
    """
    choices = _choices(hint)
    for choice in choices:
        kind = get_origin(choice) or choice
        if kind is Secret and isinstance(value, str) and not isinstance(value, Secret):
            raise ValueError(
                f"setting '{name}' is a secret: give env:NAME, file:PATH, cred:NAME or cmd:..."
            )
        if kind is Literal:
            if any(
                _is_a(type(one), value) and value == one for one in get_args(choice)
            ):
                return value
        elif kind is Path:
            if isinstance(value, str):
                return Path(value).expanduser()
        elif kind in _LISTS:
            if isinstance(value, list):
                inner = (*get_args(choice), Any)[0]
                return kind(
                    _fit(f"{name}[{number}]", inner, part)
                    for number, part in enumerate(value)
                )
        elif kind is dict:
            if isinstance(value, dict):
                inner = (*get_args(choice), Any, Any)[1]
                return {k: _fit(f"{name}.{k}", inner, v) for k, v in value.items()}
        elif kind in (Any, object) or _is_a(kind, value):
            return value
        elif kind is float and _is_a(int, value):
            return float(value)
    wanted = " or ".join(_wanted(c) for c in choices if c is not type(None))
    given = type(value).__name__
    if any(get_origin(choice) is Literal for choice in choices):
        given = one_line(repr(value), 40)
    raise ValueError(f"setting '{name}' must be {wanted}, not {given}")


def settable(hint: Any) -> bool:
    """Whether a configuration can give a setting that is declared so."""
    return any(
        kind in (Any, object, Literal, Path, *_PLAIN)
        or (
            kind in (*_LISTS, dict)
            and all(map(settable, (a for a in get_args(choice) if a is not ...)))
        )
        for choice in _choices(hint)
        for kind in (get_origin(choice) or choice,)
    )


#: What a list of TOML becomes where a setting is declared so, and what is taken as it is.
_LISTS = (list, tuple, set, frozenset)
_PLAIN = (str, Secret, bool, int, float)


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_a(kind: Any, value: Any) -> bool:
    """Whether *value* is of a plain *kind*; true is no number."""
    return (
        kind in _PLAIN
        and isinstance(value, kind)
        and (kind is bool or not isinstance(value, bool))
    )


def _wanted(choice: Any) -> str:
    if get_origin(choice) is Literal:
        return " or ".join(map(repr, get_args(choice)))
    return "str" if choice is Path else getattr(choice, "__name__", str(choice))
