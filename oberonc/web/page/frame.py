"""What all pages have: who asks and what they may, forms that are really ours, and
answers that a browser cannot be made to misuse.

A view is a function from `Asked` to `Shown` or `Moved`; it runs in a thread, since
asking the daemon waits.
"""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine

import oberonc
from oberonc.config import Config
from oberonc.piston import Principal, Problem
from oberonc.text import one_line, visible
from oberonc.web.daemon import by
from oberonc.web.journal import say
from oberonc.web.page import static
from oberonc.web.page.sessions import SESSION, Person, Sessions
from oberonc.web.settings import ROLES, Settings

#: Bytes of a form, and how many fields it may have.
LARGEST_FORM: Final = 1 << 20
MOST_FIELDS: Final = 1100
#: Characters of what the next page says, and seconds for which it is kept.
LONGEST_SAID: Final = 600
KEPT_SAID: Final = 60
#: Seconds after which a browser asks again for a page that the daemon did not answer.
AGAIN: Final = "5"

#: Nothing but our own files, nothing inline, nothing around it.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not `no-referrer`: with that a browser hides where a form of ours comes from.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_TITLES: Final = (
    ("/", "Now"),
    ("/pushes", "Pushes"),
    ("/letters", "Dead letters"),
    ("/services", "Services and brokers"),
    ("/actions", "Actions"),
    ("/try", "Try a message"),
)

_ENGINE: Final = Engine(dirs=[str(Path(__file__).with_name("templates"))])
#: Asking the daemon is waiting; the webhooks have threads of their own.
_THREADS: Final = ThreadPoolExecutor(8, thread_name_prefix="page")


class Asked(NamedTuple):
    """A request: *form* is empty unless one was sent, and was ours."""

    config: Config
    path: str
    query: Mapping[str, str]
    form: Mapping[str, list[str]]
    person: Person | None
    address: str

    def field(self, name: str) -> str:
        """A field of the form, without blanks around it."""
        return self.form.get(name, [""])[0].strip()

    def acts(self) -> dict[str, Any]:
        """Who does it and why, for the log of actions."""
        name = self.person.name if self.person else ""
        return {"by": by("page", name), "reason": one_line(self.field("reason"), 200)}


class Shown(NamedTuple):
    """A page."""

    template: str
    context: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = {}


class Moved(NamedTuple):
    """Go to *path*, a page of ours, which says *said*. *cookie*: of the session that
    begins; empty where one ends.
    """

    path: str
    said: str = ""
    cookie: str | None = None


class Verbatim(str):
    """A text that is shown as it is: in a field that is sent back."""

    __slots__ = ()


Look = Callable[..., Shown | Moved]
View = Callable[..., Awaitable[HttpResponse]]


class Frame:
    """Makes views of functions."""

    def __init__(self, config: Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self.sessions = Sessions(settings)
        self._key = secrets.token_bytes(32)
        secure = settings.is_secure
        self._cookies = [f"{'__Host-' if secure else ''}oberonc{n}" for n in ("", "-s")]

    def view(
        self,
        get: Look | None = None,
        post: Look | None = None,
        *,
        right: str | None = "read",
        acts: str | None = "operate",
    ) -> View:
        """A view that shows *get* to who has *right*, and does *post* for who has the
        right *acts*; None: for everybody.
        """

        allowed = [*(("GET", "HEAD") if get else ()), *(("POST",) if post else ())]
        refuse = partial(_no_method, allow=", ".join(allowed))

        async def answer(request: HttpRequest, **values: Any) -> HttpResponse:
            look, needed = (post, acts) if request.method == "POST" else (get, right)
            if request.method not in allowed or look is None:
                look, needed = refuse, None
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                _THREADS, self._answer, request, look, needed, values
            )

        return answer

    def person(self, request: HttpRequest) -> Person | None:
        """Whom *request* comes from."""
        cookie = request.COOKIES.get(self._cookies[0], "")
        found = self.sessions.person(cookie, request.scope["headers"])
        if found:
            request.user = Principal(found.name)  # for the log of requests
        return found

    def _answer(
        self, request: HttpRequest, look: Look, right: str | None, values: Any
    ) -> HttpResponse:
        person = self.person(request)
        request.push = values.get("id", "")  # for the log, too
        address = request.META.get("REMOTE_ADDR", "") or "a local socket"
        asked = Asked(self._config, request.path, request.GET, {}, person, address)
        try:
            if right is not None and person is None:
                if request.method == "POST":
                    raise Problem(403, "You are logged out: log in, and do it again.")
                here = quote(request.get_full_path(), safe="")
                return self._moved(Moved(f"/login?next={here}"))
            if right is not None and right not in ROLES[person.role if person else ""]:
                raise Problem(403, f"Your role does not let you: it takes '{right}'.")
            if request.method == "POST":
                asked = asked._replace(form=_form(request, person, right))
            found = look(asked, **values)
        except Problem as problem:
            found = _trouble(problem, request.method != "POST")
        if isinstance(found, Moved):
            return self._moved(found)
        said = ""
        # A script that reads a page anew must not take what the next one is to say.
        if request.headers.get("Sec-Fetch-Dest") != "empty":
            said = _unsigned(self._key, request.COOKIES.get(self._cookies[1], ""))
        return self._shown(found, asked, said)

    def _moved(self, found: Moved) -> HttpResponse:
        answer = HttpResponse(status=303, headers=HEADERS | {"Location": found.path})
        if found.said:
            text = signing.dumps(found.said[:LONGEST_SAID], key=self._key, salt="said")
            self._keep(answer, 1, text, KEPT_SAID)
        if found.cookie is not None:
            self._keep(answer, 0, found.cookie, SESSION if found.cookie else 0)
        return answer

    def _shown(self, found: Shown, asked: Asked, said: str) -> HttpResponse:
        person = asked.person
        context = {
            "nav": [
                {"path": path, "title": title, "here": _is_below(asked.path, path)}
                for path, title in _TITLES
            ],
            "person": person,
            "may": ROLES[person.role] if person else (),
            "said": said,
            "status": found.status,
            "version": oberonc.__version__,
            "next_path": _back(asked.path),
            "files": static.NAMES,
            **_visible(found.context),
        }
        page = _ENGINE.get_template(found.template).render(Context(context))
        headers = HEADERS | {"Cache-Control": "no-store"} | dict(found.headers)
        answer = HttpResponse(page, status=found.status, headers=headers)
        if said:
            self._keep(answer, 1, "", 0)
        return answer

    def _keep(self, answer: HttpResponse, which: int, value: str, age: int) -> None:
        answer.set_cookie(
            self._cookies[which],
            value,
            max_age=age,
            secure=self._settings.is_secure,
            httponly=True,
            samesite="Lax",
        )


def _no_method(_asked: Asked, *, allow: str, **_values: Any) -> Shown:
    raise Problem(405, "This page cannot be asked so.", headers={"Allow": allow})


def nowhere(_asked: Asked) -> Shown:
    """What is at every other address: nothing. Raises Problem."""
    raise Problem(404, "There is no such page.")


def _trouble(problem: Problem, may_repeat: bool) -> Shown:
    """The page that says what is wrong; where that ends by itself it asks again, unless
    it was to do something: nobody but who wanted that can say whether to repeat it.
    """
    headers = dict(problem.headers)
    asks_again = problem.status == 503 and may_repeat
    if problem.status == 503:
        headers = {"Retry-After": AGAIN} | headers
    if asks_again:
        headers["Refresh"] = AGAIN
    context = {
        "title": problem.title,
        "detail": problem.detail,
        "asks_again": asks_again,
    }
    return Shown("trouble.html", context, problem.status, headers)


def _form(
    request: HttpRequest, person: Person | None, right: str | None
) -> Mapping[str, list[str]]:
    """The fields of a form that a page of ours made, for this person. Raises Problem."""
    if _is_foreign(request):
        say(f"page: a form of another site was refused at {request.path}")
        raise Problem(403, "This form was sent by another site.")
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "Send it as a form.")
    if len(request.body) > LARGEST_FORM:
        raise Problem(413, f"A form has at most {LARGEST_FORM} bytes.")
    try:
        text = request.body.decode("ascii")
        form = parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Problem(400, "This is no form that a page of ours made.") from None
    given = form.get("csrf", [""])[0].encode()
    if person and right and not hmac.compare_digest(given, person.csrf.encode()):
        raise Problem(403, "The form is not yours, or too old: open its page again.")
    return form


def _is_foreign(request: HttpRequest) -> bool:
    """Whether a browser says that another site made it send this."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return False  # no browser: without one there is no cookie to misuse
    try:
        return bool(urlsplit(origin).netloc != request.headers.get("Host", ""))
    except ValueError:
        return True


def _back(path: str) -> str:
    """The page that belongs to *path*, at which something may be only done."""
    return path if any(_is_below(path, top) for top, _ in _TITLES) else "/"


def _is_below(path: str, top: str) -> bool:
    return path == top or (top != "/" and path.startswith(f"{top}/"))


def _unsigned(key: bytes, text: str) -> str:
    try:
        said = signing.loads(text, key=key, salt="said", max_age=KEPT_SAID)
    except signing.BadSignature:
        return ""
    return str(said)


def _visible(value: Any) -> Any:
    """*value* with all texts in it made visible: no word of a stranger steers what
    stands beside it.
    """
    if isinstance(value, str):
        return value if isinstance(value, Verbatim) else visible(value)
    if isinstance(value, Mapping):
        return {key: _visible(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(map(_visible, value))
    if isinstance(value, (list, tuple)):
        return [_visible(item) for item in value]
    return value
