"""Keeps each payload whole, a line of JSON for each."""

import json

from oberonc import BaseBroker


class Keeper(BaseBroker):
    """Keeps what it is given."""

    class Settings:
        ledger: str

    def handle(self, payload):
        row = {"what": "end", "id": payload["id"], "service": self.service}
        row["payload"] = {k: v for k, v in payload.items() if k != "service"}
        with open(self.settings.ledger, "ab", buffering=0) as ledger:
            ledger.write(b"%s\n" % json.dumps(row).encode())
