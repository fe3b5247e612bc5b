"""One request of a forge, as it came, and whether it is true: what it is signed with is
a secret that the forge and we share.

Each check returns why the request is not to be believed, or an empty string. That is
for the log; whoever sent it gets the same answer whatever was wrong.
"""

import base64
import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from oberonc import paths
from oberonc.errors import BadInput

#: Seconds that the time in a signed request may differ from ours. From the
#: specification of Standard Webhooks.
TOLERANCE: Final = 300
#: Bytes of a body. GitHub sends up to 25 MB.
LARGEST: Final = 26 << 20
#: Fields of a form.
MOST_FIELDS: Final = 16

Secrets = tuple[str, ...]


class WrongType(BadInput):
    """The body is of a type that no forge sends."""


class Delivery(NamedTuple):
    """A request: its headers, with names in lower case; its body as received (*raw*);
    and the JSON in it, which is the body, or what a form has as `payload`.
    """

    headers: dict[str, str]
    raw: bytes
    json: bytes

    def header(self, *names: str) -> str:
        """The first of these headers that says something, else an empty string."""
        return next((self.headers[n] for n in names if self.headers.get(n)), "")


def received(headers: Iterable[tuple[str, str]], raw: bytes) -> Delivery:
    """The request with these *headers* and this body. Raises WrongType or BadInput."""
    named = {name.lower(): value for name, value in headers}
    kind = named.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return Delivery(named, raw, raw)
    if kind == "application/x-www-form-urlencoded":
        # GitHub signs the form as it is sent, Gitea and Gogs the JSON in it
        try:
            # Each field takes forty times its bytes, and forges send one.
            pairs = parse_qsl(
                raw.decode("latin-1"), encoding="utf-8", max_num_fields=MOST_FIELDS
            )
        except ValueError:
            raise BadInput(f"the form has more than {MOST_FIELDS} fields") from None
        return Delivery(named, raw, dict(pairs).get("payload", "").encode())
    raise WrongType(
        "the body is neither application/json nor application/x-www-form-urlencoded"
    )


def hmac_sha256(secrets: Secrets, signed: bytes, given: str) -> str:
    """*given* is the HMAC with SHA-256 of *signed*, in hex, with or without `sha256=`."""
    # Without a secret Gitea sends the header with nothing in it.
    given = given.removeprefix("sha256=").strip()
    if not given:
        return "it has no signature: set the secret in the forge's webhook"
    if any(
        _same(hmac.digest(s.encode(), signed, "sha256").hex(), given) for s in secrets
    ):
        return ""
    return "its signature is not made with a secret of this webhook"


def token(secrets: Secrets, given: str) -> str:
    """*given* is a secret itself."""
    if not given:
        return "it has no token: set the secret in the forge's webhook"
    if any(_same(secret, given) for secret in secrets):
        return ""
    return "its token is not a secret of this webhook"


def basic(secrets: Secrets, authorization: str) -> str:
    """The password of Basic authentication is a secret; any user name will do."""
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "it has no Basic authentication"
    try:
        said = base64.b64decode(coded, validate=True).decode()
    except ValueError:
        return "its Basic authentication cannot be read"
    return token(secrets, said.partition(":")[2])


def standard(secrets: Secrets, delivery: Delivery, now: float) -> str:
    """It is signed as Standard Webhooks says, less than `TOLERANCE` seconds ago.
    Secrets are `whsec_` and base64.
    """
    name, stamp, given = (
        delivery.headers.get(f"webhook-{part}", "")
        for part in ("id", "timestamp", "signature")
    )
    if not (name and stamp and given):
        return "it has no signature of Standard Webhooks"
    # A leaked old request must not be good for ever.
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        return "its webhook-timestamp is no time"
    if abs(int(stamp) - now) > TOLERANCE:
        return f"its time is more than {TOLERANCE} s from ours: is one of the clocks wrong?"
    signed = f"{name}.{stamp}.".encode() + delivery.raw
    for key in filter(None, map(_signing_key, secrets)):
        right = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        for signature in given.split():
            version, _, value = signature.partition(",")
            if version == "v1" and _same(right, value):
                return ""
    return "its signature is not made with a secret of this webhook"


def is_signing_key(secret: str) -> bool:
    """Whether *secret* is one of Standard Webhooks."""
    return secret.startswith("whsec_")


def _signing_key(secret: str) -> bytes | None:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return None


def ed25519(keys: Secrets, signed: bytes, given: str) -> str:
    """*given* is the signature of *signed* with the private half of one of *keys*, both
    in base64. Raises BadInput where the library for it is missing.
    """
    if not given:
        return "it has no signature"
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise BadInput(
            f"sourcehut signs with Ed25519: {paths.adding('sourcehut')}"
        ) from None
    for key in keys:
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
            public.verify(base64.b64decode(given, validate=True), signed)
        except (InvalidSignature, ValueError):
            continue
        return ""
    return "its signature is not made with the key of this webhook"


def _same(right: str, given: str) -> bool:
    """Whether they are equal; takes the same time wherever they differ."""
    return hmac.compare_digest(right.encode(), given.encode("utf-8", "replace"))
