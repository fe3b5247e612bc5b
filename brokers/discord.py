"""Tell a channel of Discord."""

from typing import Any

from oberonc import BaseBroker, Check, Secret
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message, planned

#: Characters of a message. Source: discord.com/developers/docs/resources/webhook
LIMIT = 2000
#: Of the message's flags: no previews of what links lead to.
_NO_PREVIEWS = 4


class Discord(BaseBroker):
    """Posts a push to a channel of Discord."""

    class Settings:
        url: Secret  # of the channel's webhook
        thread: str = ""  # the id of a thread in the channel
        format: str = ""  # instead of the summary
        most: int = 10  # commits that are named
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)

    plan = planned(LIMIT)

    def check(self) -> list[Check]:
        found = self.http().call("GET", self.settings.url).json()
        return [Check(True, f"the webhook '{found.get('name')}'")]

    def handle(self, payload: dict[str, Any]) -> str:
        text = message(payload, self.settings, MARKUPS["discord"], LIMIT)
        if not text:
            return NOTHING
        where = {"wait": "true"}  # else it answers before it has looked at the message
        if self.settings.thread:
            where["thread_id"] = self.settings.thread
        nobody: list[str] = []
        body = {
            "content": text,
            "allowed_mentions": {"parse": nobody},
            "flags": _NO_PREVIEWS,
        }
        self.http().call("POST", self.settings.url, json=body, params=where)
        return "posted"
