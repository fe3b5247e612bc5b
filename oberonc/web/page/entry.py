"""Logging in, and out."""

import threading
import time
from typing import Final

from django.utils.http import url_has_allowed_host_and_scheme

from oberonc.piston import Problem
from oberonc.web.journal import say
from oberonc.web.page.frame import Asked, Moved, Shown
from oberonc.web.page.sessions import Sessions

#: Wrong tokens of one address in so many seconds, and addresses that are counted: a
#: flood from many must not keep out who has a token.
WRONG: Final = 10
ADDRESSES: Final = 1000
SECONDS: Final = 60.0


class Entry:
    """Gives sessions to who has a token; several threads may use it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._lock = threading.Lock()
        self._wrong: dict[str, int] = {}
        self._since = 0.0

    def show(self, asked: Asked) -> Shown | Moved:
        """The form."""
        where = _inside(asked.query.get("next", "/"))
        if asked.person:
            return Moved(where)
        return Shown("login.html", {"next": where})

    def enter(self, asked: Asked) -> Shown | Moved:
        """Log in. Raises Problem where wrong tokens come too fast."""
        where = _inside(asked.field("next"))
        self._brake(asked.address)
        begun = self._sessions.begin(asked.field("token"))
        if begun is None:
            with self._lock:
                self._wrong[asked.address] = self._wrong.get(asked.address, 0) + 1
            say(f"page: a wrong token from {asked.address}")
            context = {"next": where, "wrong": True}
            return Shown("login.html", context, 401)
        token, cookie = begun
        say(f"page: {token.name} logged in from {asked.address}")
        return Moved(where, cookie=cookie)

    def leave(self, _asked: Asked) -> Moved:
        """Log out."""
        return Moved("/login", "You are logged out.", cookie="")

    def _brake(self, address: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._since > SECONDS or len(self._wrong) > ADDRESSES:
                self._wrong, self._since = {}, now
            if self._wrong.get(address, 0) < WRONG:
                return
            left = int(self._since + SECONDS - now) + 1
        raise Problem(
            429,
            f"Too many wrong tokens were given: try again in {left} s.",
            headers={"Retry-After": str(left)},
        )


def _inside(path: str) -> str:
    """*path* where it is one of ours, else the first page."""
    ours = path.startswith("/") and path.isascii() and path.isprintable()
    if not ours or not url_has_allowed_host_and_scheme(path, allowed_hosts=None):
        return "/"
    return path
