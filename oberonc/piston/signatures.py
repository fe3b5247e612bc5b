"""Signed requests, as forges send them: an HMAC of the body under a shared secret.

GitHub: the defaults. Gitea and Forgejo: `header="X-Gitea-Signature", prefix=""`.
Bitbucket: `header="X-Hub-Signature"`. GitLab sends the secret itself:
`header="X-Gitlab-Token", digest=None`.
"""

import hmac
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.views.decorators.debug import sensitive_variables

from oberonc.piston.authentication import BadCredentials, Principal, raw_body

Secrets = str | bytes | Sequence[str | bytes]


class SignatureAuthentication:
    """Whoever knows a secret; `request.user` is then the Principal *user*.

    *secret* is one or several (the old and the new one, while they are exchanged), or a
    callable that returns them, given the request if it takes an argument. *digest* is a
    name that `hashlib` knows; None: the header is the secret. There is no challenge, so
    who does not know it gets a 403.

    Raises ImproperlyConfigured for an empty secret, none at all, and an unknown
    *digest*.
    """

    def __init__(
        self,
        secret: Secrets | Callable[..., Secrets | None],
        header: str = "X-Hub-Signature-256",
        prefix: str = "sha256=",
        digest: str | None = "sha256",
        user: str = "webhook",
    ) -> None:
        self.header = header
        self.prefix = prefix if digest is not None else ""
        self.digest = digest
        self.user = user
        self.vary = (header,)
        self.openapi = {"type": "apiKey", "in": "header", "name": header}
        if callable(secret):
            self._secrets = secret
            self._takes_request = bool(signature(secret).parameters)
        else:
            fixed = _keys(secret)
            if not fixed or not all(fixed):
                raise ImproperlyConfigured(
                    "SignatureAuthentication has an empty secret."
                )
            self._secrets = lambda: fixed
            self._takes_request = False
        if digest is not None:
            try:
                hmac.new(b"", b"", digest)
            except ValueError:
                raise ImproperlyConfigured(f"hashlib knows no {digest!r}.") from None

    @sensitive_variables()
    def is_authenticated(self, request: Any) -> bool:
        """Raises BadCredentials for a wrong signature, Problem 413 for a long body."""
        given = request.headers.get(self.header)
        if given is None:
            return False
        arguments = [request] if self._takes_request else []
        # An empty secret is none: everybody knows it.
        keys = [key for key in _keys(self._secrets(*arguments)) if key]
        expected = [self._signature(request, key) for key in keys]
        # Header bytes come as Latin-1 (PEP 3333); each comparison is made, whichever is
        # right.
        actual = given.encode("latin-1", "backslashreplace")
        if sum(hmac.compare_digest(actual, one) for one in expected) == 0:
            raise BadCredentials(f"The header {self.header} does not fit.")
        request.user = Principal(self.user)
        return True

    def _signature(self, request: Any, key: bytes) -> bytes:
        if self.digest is None:
            return key
        body = raw_body(request)
        return (
            self.prefix.encode() + hmac.new(key, body, self.digest).hexdigest().encode()
        )

    def challenge(self) -> str | None:
        """None: there is no scheme of HTTP for it."""
        return None


def _keys(secrets: Secrets | None) -> list[bytes]:
    if isinstance(secrets, str | bytes):
        secrets = [secrets]
    return [one.encode() if isinstance(one, str) else one for one in secrets or []]
