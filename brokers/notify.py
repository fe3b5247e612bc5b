"""Tell anything else that apprise knows: about 190 services."""

import importlib
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit import event
from oberonc.kit.answers import Answer, check
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message, planned
from oberonc.redaction import redact
from oberonc.text import one_line

#: Characters of a message, bytes of an answer that are read, and seconds to connect and
#: to wait for an answer.
LIMIT, ANSWER, CONNECT, READ = 4000, 1 << 16, 8.0, 20.0
_EXTRA, _SILENCE = "notify", logging.NullHandler()


class Notify(BaseBroker):
    """Tells a service that apprise knows of a push."""

    class Settings:
        url: Secret  # as apprise documents it, of one receiver
        format: str = ""  # instead of the summary
        most: int = 10  # commits that are named

    def verify(self) -> None:
        check_settings(self.settings)
        self._plugin()

    plan = planned(LIMIT)

    def check(self) -> list[Check]:
        name = type(self._plugin()).service_name
        return [Check(True, f"the address is one of {name}; only a message proves it")]

    def handle(self, payload: dict[str, Any]) -> str:
        plugin = self._plugin()
        limit = min(LIMIT, plugin.body_maxlen)
        text = message(payload, self.settings, MARKUPS["anywhere"], limit)
        if not text:
            return NOTHING
        title = MARKUPS["anywhere"].dead(payload["repository"]["full_name"][:100])
        said = {"body": text, "title": title if plugin.title_maxlen else ""}
        apprise = event.library("apprise", _EXTRA)
        told = apprise.Apprise()
        told.add(plugin)
        with _watched() as exchanges:
            result = told.notify(body_format=apprise.NotifyFormat.TEXT, **said)
        if result.status.name != "SUCCESS":
            self._failed(plugin, result, exchanges)
        return f"told {type(plugin).service_name}"

    def _plugin(self) -> Any:
        """The plugin for the address, and no other one; ValueError where there is none."""
        apprise = event.library("apprise", _EXTRA)
        # Without a handler, what the result tells us is printed too.
        logging.getLogger("apprise").addHandler(_SILENCE)
        url = str(self.settings.url)
        kind = _kind(url.partition(":")[0].lower())
        asset = apprise.AppriseAsset(
            # Followed, a POST becomes a GET, and that a success.
            http_redirects=False,
            storage_mode="memory",
            async_mode=False,
            # Above all that one request may take: what is left to its thread then may
            # still be delivered.
            service_timeout=max(1.0, min(60.0, self.remaining() - 2)),
        )
        try:
            plugin = kind(**kind.parse_url(url), asset=asset)
        except TypeError as error:  # also where the address is none: ** of None
            why = self._hidden(str(error)) if "NoneType" not in str(error) else ""
            raise ValueError(
                f"setting 'url' is no address of {kind.service_name} {why}".rstrip()
            ) from None
        plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT, READ
        return plugin

    def _failed(
        self, plugin: Any, result: Any, exchanges: "list[_Exchange]"
    ) -> NoReturn:
        """Raise what a failure means, by what went over the wire."""
        logged = [entry.message for entry in result.logs() if entry.level == "WARNING"]
        name = type(plugin).service_name
        why = self._hidden(one_line(f"{name}: {' '.join(logged[-1:])}"))
        for each in exchanges:
            if each.answer:
                check(
                    each.answer._replace(text=self._hidden(each.answer.text)),
                    why,
                    time.time(),
                )
            elif not each.connected:
                raise Retry(f"{why} {self._hidden(each.error)}")
        if (exchanges and not exchanges[-1].answer) or result.status.name == "TIMEOUT":
            raise Reject(f"perhaps told, and not told again: {why} gave no answer")
        if _speaks_http(type(plugin)):
            raise Reject(f"{why} it was not told")
        raise Retry(why)

    def _hidden(self, text: str) -> str:
        """*text* without the parts of the address that may be credentials."""
        url = str(self.settings.url)
        parts = [part for part in re.split(r"[/:@?&=#]+", url) if len(part) > 5]
        return redact(text, [url, *parts])


@cache
def _kind(scheme: str) -> Any:
    """The class of the plugin for *scheme*.

    Apprise loads all of its plugins to find one; here their texts are searched.
    """
    plugins = event.library("apprise.plugins", _EXTRA)
    named = re.compile(r"protocol\s*=\s*(\([^)]*\)|[\"'][^\"']*[\"'])")
    folder = Path(plugins.__file__).parent
    for file in sorted(folder.rglob("*.py")):
        found = " ".join(named.findall(file.read_text("utf-8")))
        if f'"{scheme}"' not in found:
            continue
        place = ".".join(file.relative_to(folder).with_suffix("").parts)
        module = importlib.import_module(f"apprise.plugins.{place}")
        for kind in vars(module).values():
            if isinstance(kind, type) and scheme in _schemes(kind):
                return kind
    raise ValueError(f"setting 'url': apprise knows no '{one_line(scheme, 30)}://'")


def _schemes(kind: type) -> list[str]:
    both = (getattr(kind, name, ()) or () for name in ("protocol", "secure_protocol"))
    return [one for each in both for one in ([each] if isinstance(each, str) else each)]


def _speaks_http(kind: type) -> bool:
    return hasattr(importlib.import_module(kind.__module__), "requests")


class _Exchange(NamedTuple):
    """A request of a plugin's: its answer if any came, and whether it got anywhere."""

    answer: Answer | None
    connected: bool
    error: str = ""


_exchanges: ContextVar[list[_Exchange] | None] = ContextVar("exchanges", default=None)


@contextmanager
def _watched() -> Iterator[list[_Exchange]]:
    """What the plugin called inside asks, in whatever thread: apprise itself tells
    neither statuses nor how long to wait.
    """
    seen: list[_Exchange] = []
    _watch()
    mark = _exchanges.set(seen)
    try:
        yield seen
    finally:
        _exchanges.reset(mark)


@cache
def _watch() -> None:
    """Have each request of this process noted where `_watched` asks for it; nothing of
    it comes from the environment, and no more of its answer is read than is of use.
    """
    import requests

    request = requests.Session.request

    def watched(
        self: requests.Session, method: str, url: str, *args: Any, **more: Any
    ) -> Any:
        seen = _exchanges.get()
        if seen is None:
            return request(self, method, url, *args, **more)
        self.trust_env = False
        try:
            answer = request(self, method, url, *args, **more | {"stream": True})
            body = answer.raw.read(ANSWER, decode_content=True)
        except Exception as error:
            told = isinstance(error, requests.ConnectTimeout) or any(
                name in repr(error) for name in ("NewConnectionError", "SSLError")
            )
            seen.append(_Exchange(None, not told, one_line(str(error))))
            # Of another kind plugins would let it through.
            raise requests.ConnectionError(str(error)) from error
        answer._content = body
        answer._content_consumed = True  # type: ignore[attr-defined]
        answer.close()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        text = body.decode("utf-8", "replace")
        seen.append(_Exchange(Answer(answer.status_code, headers, text), True))
        return answer

    requests.Session.request = watched  # type: ignore[method-assign,assignment]
