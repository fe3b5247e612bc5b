"""Who looks at the page: whoever gave a token of the configuration, or whom a proxy
names.

A cookie is signed with a key made of the token that it was got with. So nothing is
kept here, a restart ends no session, and a token that is replaced or taken away ends
those of it.
"""

import hashlib
import hmac
import secrets
from typing import Final, NamedTuple

from django.core import signing

from oberonc.web.settings import ROLES, Settings, Token, token_of

#: Seconds until somebody has to log in again.
SESSION: Final = 12 * 3600
#: Of users who have no line of their own in `[web.users]`.
ANYBODY: Final = "*"


class Person(NamedTuple):
    """Who looks, what they may do, and what their forms have to bring along."""

    name: str
    role: str
    csrf: str
    #: Whether there is a session to end.
    has_session: bool


class Sessions:
    """Knows people again; has no state, so that several threads may use it."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = settings.tokens
        self._keys = {token.name: key_of(token) for token in settings.tokens}
        self._header, self._users = settings.user_header, settings.users
        # of forms of people who have no session; they are sent again after a restart
        self._forms = secrets.token_bytes(32)

    def begin(self, given: str) -> tuple[Token, str] | None:
        """The token that *given* is, and a cookie for it."""
        found = token_of(self._tokens, given)
        if found is None or "read" not in ROLES[found.role]:
            return None
        return found, self._signer(found).sign(secrets.token_urlsafe(16))

    def person(self, cookie: str, headers: list[tuple[bytes, bytes]]) -> Person | None:
        """Whom a request with these *headers* comes from; the proxy's word goes first."""
        wanted = self._header.lower().encode()
        said = [value for name, value in headers if name == wanted]
        # Two of them: one is not the proxy's.
        name = said[0].decode("utf-8", "replace") if len(said) == 1 else ""
        role = self._users.get(name) or self._users.get(ANYBODY)
        if name and role:
            return Person(name, role, _mac(self._forms, name), False)
        for token in self._tokens if cookie else ():
            try:
                self._signer(token).unsign(cookie, max_age=SESSION)
            except signing.BadSignature:
                continue
            return Person(
                token.name, token.role, _mac(self._keys[token.name], cookie), True
            )
        return None

    def _signer(self, token: Token) -> signing.TimestampSigner:
        return signing.TimestampSigner(key=self._keys[token.name], salt="oberonc.page")


def key_of(token: Token) -> bytes:
    """What the cookies of *token* are signed with."""
    return hashlib.sha256(b"oberonc page\0" + token.secret.encode()).digest()


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, b"form\0" + text.encode(), "sha256").hexdigest()
