"""Tell a Matrix room, each push exactly once."""

import json
from typing import Any
from urllib.parse import quote

from oberonc import BaseBroker, Check, Secret
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message, planned

#: Bytes of each of the two texts of an event, which has 64 KiB in all.
LIMIT = 28_000
_API = "/_matrix/client/v3"


def _size(text: str) -> int:
    """Bytes of *text* as a part of an event, its line ends as HTML."""
    return len(json.dumps(text, ensure_ascii=False).encode()) + 4 * text.count("\n")


class Matrix(BaseBroker):
    """Posts a push to a Matrix room, exactly once."""

    class Settings:
        url: str  # of the homeserver
        token: Secret  # an access token of the account that posts
        room: str  # its id, !abc:example.org
        format: str = ""  # instead of the summary
        most: int = 10  # commits that are named
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)
        if not self.settings.room.startswith("!"):
            raise ValueError(
                "setting 'room' must be the room's id, which begins with !"
            )

    plan = planned(LIMIT, _size)

    def check(self) -> list[Check]:
        who = self._call("GET", "/account/whoami")["user_id"]
        rooms = self._call("GET", "/joined_rooms")["joined_rooms"]
        return [
            Check(True, f"the token is that of {who}"),
            Check(
                self.settings.room in rooms, "it is in the room", "invite and join it"
            ),
        ]

    def handle(self, payload: dict[str, Any]) -> str:
        body = message(payload, self.settings, MARKUPS["quiet"], LIMIT, _size)
        if not body:
            return NOTHING
        written = message(payload, self.settings, MARKUPS["html"], LIMIT, _size)
        nobody: dict[str, Any] = {}
        event = {
            # A notice notifies nobody, and m.mentions says that nobody is meant.
            "msgtype": "m.notice",
            "m.mentions": nobody,
            "body": body,
            "format": "org.matrix.custom.html",
            "formatted_body": written.replace("\n", "<br>\n"),
        }
        # The server gives the event of before for a transaction id that it knows, as
        # long as the token is the same (Client-Server API, transaction identifiers).
        where = f"/rooms/{quote(self.settings.room, safe='')}/send/m.room.message"
        once = quote(payload["delivery_id"], safe="")
        sent = self._call("PUT", f"{where}/{once}", event)
        return f"posted {sent['event_id']}"

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        client = self.http({"Authorization": f"Bearer {self.settings.token}"})
        address = self.settings.url.rstrip("/") + _API + path
        said: dict[str, Any] = client.call(method, address, json=body).json()
        return said
