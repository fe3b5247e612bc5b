"""Tell a channel of Mattermost or Rocket.Chat."""

from typing import Any

from oberonc import BaseBroker, Check, Reject, Secret
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message, planned
from oberonc.text import one_line

#: Characters of a post: Mattermost takes 16,383, Rocket.Chat 5,000.
LIMIT = 4900


class Mattermost(BaseBroker):
    """Posts a push to a channel of Mattermost or Rocket.Chat."""

    class Settings:
        url: Secret  # of an incoming webhook
        channel: str = ""  # where the webhook is not bound to one
        format: str = ""  # instead of the summary
        most: int = 10  # commits that are named
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)

    plan = planned(LIMIT)

    def check(self) -> list[Check]:
        # Without a text nothing is posted, and only a webhook that exists says so.
        answer = self.http().call("POST", self.settings.url, json={}, errors=(400,))
        return [Check(answer.status == 400, "the webhook answers")]

    def handle(self, payload: dict[str, Any]) -> str:
        text = message(payload, self.settings, MARKUPS["markdown"], LIMIT)
        if not text:
            return NOTHING
        body = {"text": text}
        if self.settings.channel:
            body["channel"] = self.settings.channel
        answer = self.http().call("POST", self.settings.url, json=body)
        if '"success":false' in "".join(answer.text.split()):  # Rocket.Chat, in a 200
            raise Reject(f"it is not posted: {one_line(answer.text, 200)}")
        return "posted"
