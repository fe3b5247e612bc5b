"""Tell a channel of Microsoft Teams."""

import json
from typing import Any

from oberonc import BaseBroker, Check, Secret
from oberonc.kit.markup import MARKUPS, safe_url, shown
from oberonc.kit.message import NOTHING, check_settings, message, planned
from oberonc.kit.summary import Line, Piece, summary

#: Bytes of a card, and of its head; a workflow takes 28 KB with what it adds.
LIMIT, HEAD = 24_000, 200


class Teams(BaseBroker):
    """Posts a push to a channel of Microsoft Teams, by a workflow."""

    class Settings:
        url: Secret  # of the workflow "when a webhook request is received"
        format: str = ""  # instead of the summary
        most: int = 10  # commits that are named
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)

    plan = planned(LIMIT)

    def check(self) -> list[Check]:
        # Any request that a workflow understands starts it.
        return [Check(True, "a workflow cannot be asked; --send posts a test")]

    def handle(self, payload: dict[str, Any]) -> str:
        card = self._card(payload)
        if not card["body"]:
            return NOTHING
        kind = "application/vnd.microsoft.card.adaptive"
        attachment = {"contentType": kind, "content": card}
        body = {"type": "message", "attachments": [attachment]}
        self.http().call("POST", self.settings.url, json=body)
        # 202 says that the workflow begins; what becomes of it nobody is told.
        return "handed to the workflow"

    def _card(self, payload: dict[str, Any]) -> dict[str, Any]:
        """An adaptive card whose texts are runs: the only element without Markdown."""
        for most in range(self.settings.most, 0, -1):
            card = {
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": [_block(line) for line in self._lines(payload, most)],
            }
            if len(json.dumps(card)) <= LIMIT:
                break
        return card

    def _lines(self, payload: dict[str, Any], most: int) -> list[Line]:
        if not self.settings.format:
            return summary(payload, most)
        markup, most = MARKUPS["plain"], LIMIT - HEAD
        return _plain(message(payload, self.settings, markup, most, _size))


def _plain(text: str) -> list[Line]:
    return [[Piece("said", line)] for line in text.splitlines()]


def _size(text: str) -> int:
    """Bytes of *text* in a card."""
    return len(json.dumps([_block(line) for line in _plain(text)]))


def _block(line: Line) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [_run(piece) for piece in line]}


def _run(piece: Piece) -> dict[str, Any]:
    run: dict[str, Any] = {"type": "TextRun", "text": shown(piece.text)}
    if piece.kind == "name":
        run["weight"] = "Bolder"
    if url := safe_url(piece.url):
        run["selectAction"] = {"type": "Action.OpenUrl", "url": url}
    return run
