"""Tell the followers of an account on Bluesky, each push exactly once."""

import hashlib
import json
import os
import re
from datetime import UTC, datetime
from typing import Any

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit.answers import CREDENTIALS_AFTER
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message

#: Graphemes of a post; characters are never fewer, nor more than its 3,000 bytes.
LIMIT = 300
_POST = "app.bsky.feed.post"
_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
_LINK = re.compile(r" <(https?://[^<>\s]+)>")


class Bluesky(BaseBroker):
    """Posts a push to Bluesky, exactly once."""

    class Settings:
        user: str  # the handle, as ann.bsky.social
        password: Secret  # an app password
        url: str = "https://bsky.social"  # the account's server
        format: str = ""  # instead of the summary
        most: int = 3  # commits that are named
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return self._text(payload)[0].splitlines()

    def check(self) -> list[Check]:
        return [Check(True, f"the account is {self._log_in()['handle']}")]

    def handle(self, payload: dict[str, Any]) -> str:
        text, facets = self._text(payload)
        if not text:
            return NOTHING
        when = datetime.fromisoformat(payload["time"]).astimezone(UTC)
        record = {
            "$type": _POST,
            "text": text,
            "facets": facets,
            "createdAt": when.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        }
        # A record put under a key of our own is the same record the next time.
        key = _key(when, payload["delivery_id"])
        session = self._session()
        body = {
            "repo": session["did"],
            "collection": _POST,
            "rkey": key,
            "record": record,
        }
        try:
            sent = self._call("com.atproto.repo.putRecord", body, session["accessJwt"])
        except _Expired:
            session = self._log_in()
            sent = self._call("com.atproto.repo.putRecord", body, session["accessJwt"])
        return f"posted {sent['uri']}"

    def _text(self, payload: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
        """The post and its links: Bluesky has no markup, a link is a place in the bytes
        of the text.
        """
        text = message(
            payload,
            self.settings,
            MARKUPS["post"],
            LIMIT,
            lambda t: len(_LINK.sub("", t)),
        )
        shown, facets = "", []
        last = 0
        for found in _LINK.finditer(text):
            shown += text[last : found.start()]
            last = found.end()
            end = len(shown.encode())
            begin = end - len(shown.rpartition(" ")[2].rpartition("\n")[2].encode())
            link = {"$type": "app.bsky.richtext.facet#link", "uri": found[1]}
            index = {"byteStart": begin, "byteEnd": end}
            facets.append({"index": index, "features": [link]})
        return shown + text[last:], facets

    def _session(self) -> dict[str, Any]:
        """The session that is kept: logins are few in an hour, and it lasts two."""
        try:
            kept: dict[str, Any] = json.loads((self.state / "session").read_text())
        except (OSError, ValueError):
            return self._log_in()
        return kept if kept.get("user") == self.settings.user else self._log_in()

    def _log_in(self) -> dict[str, Any]:
        body = {
            "identifier": self.settings.user,
            "password": str(self.settings.password),
        }
        session = self._call("com.atproto.server.createSession", body)
        session["user"] = self.settings.user
        aside = self.state / f"session.{os.getpid()}"
        aside.touch(0o600)
        aside.write_text(json.dumps(session))
        aside.replace(self.state / "session")
        return session

    def _call(
        self, method: str, body: dict[str, Any], token: str = ""
    ) -> dict[str, Any]:
        client = self.http({"Authorization": f"Bearer {token}"} if token else None)
        address = f"{self.settings.url.rstrip('/')}/xrpc/{method}"
        answer = client.call("POST", address, json=body, errors=(400, 401))
        if answer.status == 200:
            said: dict[str, Any] = answer.json()
            return said
        error = answer.json()
        if error.get("error") in ("ExpiredToken", "InvalidToken") and token:
            raise _Expired
        if answer.status == 401:
            raise Retry(
                f"CREDENTIALS refused: {error.get('message')}", after=CREDENTIALS_AFTER
            )
        raise Reject(f"{method}: {error.get('message')}")


class _Expired(Exception):
    """The session has ended."""


def _key(when: datetime, delivery: str) -> str:
    """A record key in the order of time: 53 bits of microseconds and 10 of a clock's
    number, in base 32. Source: atproto.com/specs/tid

    What a moment does not say, *delivery* does: two of the same second would else
    have the same key by chance, and the second post would replace the first.
    """
    digest = int.from_bytes(hashlib.sha256(delivery.encode()).digest()[:8])
    microseconds = int(when.timestamp()) * 1_000_000 + (digest >> 10) % 1_000_000
    number, text = (microseconds << 10) | (digest & 1023), ""
    for _ in range(13):
        text, number = _DIGITS[number & 31] + text, number >> 5
    return text
