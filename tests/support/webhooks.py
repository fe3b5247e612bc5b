"""Webhooks as forges send them: the examples, and how to sign one of our own."""

import base64
import hmac
import json
from pathlib import Path
from typing import NamedTuple

#: What the examples are signed with; their README says where each is from.
SECRET = "It's a Secret to Everybody"
SIGNING_KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
VECTOR_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

FOLDER = Path(__file__).parents[1] / "web" / "examples"


class Example(NamedTuple):
    """A request of *forge* (as in the configuration), and what it is signed with."""

    name: str
    forge: str
    headers: dict[str, str]
    raw: bytes
    secrets: tuple[str, ...]

    @property
    def when(self) -> float:
        """The time it was signed at."""
        stamps = {name.lower(): value for name, value in self.headers.items()}
        return float(stamps.get("webhook-timestamp", 0))


def examples() -> list[Example]:
    """All of them, in an order that stays."""
    found = []
    for listing in sorted(FOLDER.glob("*/headers.json")):
        folder = listing.parent
        forge = folder.name.replace("standard-webhooks", "standard")
        secret = {"standard": VECTOR_KEY, "oberonc": SIGNING_KEY}.get(forge, SECRET)
        for file, headers in json.loads(listing.read_text()).items():
            raw = (folder / file).read_bytes()
            name = f"{forge}/{file.partition('.')[0]}"
            found.append(Example(name, forge, headers, raw, (secret,)))
    return found


def example(name: str) -> Example:
    """The one called `forge/name`."""
    return next(each for each in examples() if each.name == name)


def signed_like_github(value: object, delivery: str = "1") -> Example:
    """A push in GitHub's form, signed."""
    raw = json.dumps(value).encode()
    digest = hmac.digest(SECRET.encode(), raw, "sha256").hex()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={digest}",
    }
    return Example("github/ours", "github", headers, raw, (SECRET,))


def signed_as_standard(
    raw: bytes, stamp: str, key: str = SIGNING_KEY
) -> dict[str, str]:
    """The headers of Standard Webhooks for *raw*."""
    secret = base64.b64decode(key.removeprefix("whsec_"))
    signed = f"msg_1.{stamp}.".encode() + raw
    made = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1a,nonsense v1,{made}",
    }
