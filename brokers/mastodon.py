"""Tell the followers of an account on Mastodon, each push once."""

from typing import Any

from oberonc import BaseBroker, Check, Secret
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message, post_size

VISIBILITIES = ("public", "unlisted", "private", "direct")


class Mastodon(BaseBroker):
    """Posts a push to Mastodon, and servers that speak its API, once."""

    class Settings:
        url: str  # of the server
        token: Secret  # with the scope write:statuses
        visibility: str = "unlisted"
        limit: int = 500  # characters that the server takes
        format: str = ""  # instead of the summary
        most: int = 3  # commits that are named
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)
        if self.settings.visibility not in VISIBILITIES:
            choices = ", ".join(VISIBILITIES)
            raise ValueError(f"setting 'visibility' must be one of {choices}")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return self._text(payload).splitlines()

    def check(self) -> list[Check]:
        client = self.http({"Authorization": f"Bearer {self.settings.token}"})
        where = "/api/v1/accounts/verify_credentials"
        address = self.settings.url.rstrip("/") + where
        answer = client.call("GET", address, errors=(403,))
        if answer.status == 403:  # a good token, which is for writing alone
            return [Check(True, "the token is accepted; it may not ask whose it is")]
        return [Check(True, f"the account is {answer.json().get('acct')}")]

    def handle(self, payload: dict[str, Any]) -> str:
        text = self._text(payload)
        if not text:
            return NOTHING
        body = {"status": text, "visibility": self.settings.visibility}
        # Kept for an hour (docs.joinmastodon.org, methods/statuses).
        once = {"Idempotency-Key": payload["delivery_id"]}
        sent = self._call("POST", "/api/v1/statuses", body, once)
        return f"posted {sent.get('url') or sent.get('id')}"

    def _text(self, payload: dict[str, Any]) -> str:
        given, markup = self.settings, MARKUPS["post"]
        return message(payload, given, markup, given.limit, post_size)

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        client = self.http({"Authorization": f"Bearer {self.settings.token}"})
        address = self.settings.url.rstrip("/") + path
        answer = client.call(method, address, json=body, headers=headers)
        said: dict[str, Any] = answer.json()
        return said
