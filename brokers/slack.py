"""Tell a channel of Slack."""

import time
from typing import Any

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit.answers import CREDENTIALS_AFTER, wait_hint
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message, planned

API = "https://slack.com/api"
#: Characters of a text that Slack does not cut.
LIMIT = 4000
#: What the API says in a 200 when later is better, and when a person has to act.
#: Source: docs.slack.dev/reference/methods/chat.postMessage
_LATER = {"ratelimited", "rate_limited", "internal_error", "fatal_error"}
_CREDENTIALS = {
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "token_expired",
    "account_inactive",
    "missing_scope",
    "access_denied",
}


class Slack(BaseBroker):
    """Posts a push to a channel of Slack."""

    class Settings:
        url: Secret | None = None  # of an incoming webhook; or
        token: Secret | None = None  # of a bot that has chat:write, and
        channel: str = ""  # the id of its channel
        thread: str = ""  # the `ts` of the message to answer to
        format: str = ""  # instead of the summary
        most: int = 10  # commits that are named
        api: str = API
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)
        if bool(self.settings.url) == bool(self.settings.token):
            raise ValueError("give either 'url' or 'token'")
        if self.settings.token and not self.settings.channel:
            raise ValueError("'token' needs 'channel'")

    plan = planned(LIMIT)

    def check(self) -> list[Check]:
        if self.settings.token:
            said = self._call("auth.test", {})
            return [Check(True, f"the bot {said.get('user')} of {said.get('team')}")]
        # A body without text is refused by the channel's own webhook, and posts nothing.
        answer = self.http().call("POST", self.settings.url, json={}, errors=(400,))
        return [Check(answer.status == 400, "the webhook answers")]

    def handle(self, payload: dict[str, Any]) -> str:
        text = message(payload, self.settings, MARKUPS["slack"], LIMIT)
        if not text:
            return NOTHING
        body: dict[str, Any] = {"text": text, "unfurl_links": False, "mrkdwn": True}
        if self.settings.thread:
            body["thread_ts"] = self.settings.thread
        if self.settings.url:
            self.http().call("POST", self.settings.url, json=body)
            return "posted"
        body |= {"channel": self.settings.channel, "parse": "none", "link_names": False}
        return f"posted {self._call('chat.postMessage', body).get('ts', '')}".strip()

    def _call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """A method of the API, whose errors come with status 200."""
        client = self.http({"Authorization": f"Bearer {self.settings.token}"})
        answer = client.call("POST", f"{self.settings.api}/{method}", json=body)
        said: dict[str, Any] = answer.json()
        error = str(said.get("error", "no reason"))
        if said.get("ok"):
            return said
        if error in _LATER:
            raise Retry(f"{method}: {error}", after=wait_hint(answer, time.time()))
        if error in _CREDENTIALS:
            raise Retry(f"CREDENTIALS refused: {error}", after=CREDENTIALS_AFTER)
        raise Reject(f"{method}: {error}")
