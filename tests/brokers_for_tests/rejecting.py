"""Rejects pushes, and keeps what it is told of those that were given up."""

import json

from oberonc import BaseBroker, Reject


class Broker(BaseBroker):
    class Settings:
        kept: str

    def handle(self, payload):
        if payload["event"] != "dead":
            raise Reject("the room is closed")
        with open(self.settings.kept, "a") as kept:
            kept.write(json.dumps(payload["dead"]) + "\n")
        raise Reject("and I cannot tell anybody")
