"""Send the push to an address, signed, as other programs expect a webhook."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from oberonc import BaseBroker, Check, Reject, Secret
from oberonc.kit import event
from oberonc.kit.github import push
from oberonc.kit.progress import Progress
from oberonc.payload.digest import moves
from oberonc.text import counted

FORMATS = ("oberonc", "github", "form")


class Webhook(BaseBroker):
    """Posts a push to an address, signed the ways that receivers know."""

    class Settings:
        url: Secret  # whoever knows the address may post there
        # any text, or `whsec_` and base64; of several the first is the newest, and
        # receivers that know one of them are content while they change over
        secret: Secret | list[Secret] | None = None
        # oberonc: the payload as JSON; github: what GitHub sends for a push, one
        # request for each ref; form: the payload in the field `payload` of a form
        format: str = "oberonc"
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        if self.settings.format not in FORMATS:
            raise ValueError(f"setting 'format' must be one of {', '.join(FORMATS)}")
        for secret in self._secrets():
            _key(secret)

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"post {what}" for what, _ in self._bodies(payload)]

    def check(self) -> list[Check]:
        # Whatever it says of a request without a push, something is there that answers.
        any_status = tuple(range(300, 600))
        answer = self.http().call("HEAD", self.settings.url, errors=any_status)
        count = len(self._secrets())
        signed = (
            f"are signed with {counted(count, 'secret')}" if count else "go unsigned"
        )
        return [
            Check(True, f"the server answers ({answer.status}); --send posts a test"),
            Check(True, f"requests {signed}"),
        ]

    def handle(self, payload: dict[str, Any]) -> str:
        client, bodies = self.http(), list(self._bodies(payload))
        progress = Progress(self.state, payload["delivery_id"])
        for number, (_, body) in list(enumerate(bodies))[progress.done :]:
            # The same over all tries, so that a receiver can drop what it has.
            one = payload["delivery_id"] + (f"-{number}" if number else "")
            headers = self._headers(one, body, payload)
            url = self.settings.url
            answer = client.call(
                "POST", url, data=body, headers=headers, pages=True, errors=(410,)
            )
            if answer.status == 410:
                raise Reject("410 Gone: the receiver wants no more; remove the service")
            progress.step()
        progress.end()
        return f"posted {', '.join(what for what, _ in bodies)}"

    def _secrets(self) -> list[Secret]:
        given = self.settings.secret or []
        return given if isinstance(given, list) else [given]

    def _bodies(self, payload: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
        """(what it is, body) of each request."""
        if self.settings.format == "github":
            if payload["event"] == "test":
                yield "ping", _json({"zen": "A test of oberonc: nothing was pushed."})
            for update in moves(payload):
                yield update["ref"], _json(push(payload, update))
            return
        body = event.body(payload)
        if self.settings.format == "form":
            body = urlencode({"payload": body.decode()}).encode()
        yield f"push {payload['id']}", body

    def _headers(
        self, delivery: str, body: bytes, payload: dict[str, Any]
    ) -> dict[str, str]:
        """For each kind of receiver its own: Standard Webhooks 1.0, GitHub's webhooks,
        CloudEvents 1.0 (HTTP binding, 3.1: binary mode).
        """
        now = str(int(time.time()))
        is_form = self.settings.format == "form"
        is_test = payload["event"] == "test"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded"
            if is_form
            else "application/json",
            "webhook-id": delivery,
            "webhook-timestamp": now,
            **event.attributes(payload, "ce-"),
            "ce-id": delivery,
            "X-GitHub-Event": "ping" if is_test else "push",
            "X-GitHub-Delivery": delivery,
        }
        if secrets := self._secrets():
            signed = f"{delivery}.{now}.".encode() + body
            headers["webhook-signature"] = " ".join(
                "v1," + base64.b64encode(_mac(_key(each), signed)).decode()
                for each in secrets
            )
            own = _mac(secrets[0].encode(), body)
            headers["X-Hub-Signature-256"] = f"sha256={own.hex()}"
        return headers


def _key(secret: str) -> bytes:
    """The key in *secret*: what `whsec_` says in base64, else its text."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret[len("whsec_") :], validate=True)
    except binascii.Error:
        raise ValueError(
            "setting 'secret': what follows whsec_ is not base64"
        ) from None


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
