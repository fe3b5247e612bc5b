"""Records the begin and the end of each `handle`; a test puts its own words into `work`."""

# ruff: noqa: F401  the tests' words need them

import json
import os
import signal
import sys
import threading
import time

from oberonc import BaseBroker, Reject, Retry, Secret

MARK = "1"


class Recorder(BaseBroker):
    """Records what it is given."""

    class Settings:
        ledger: str
        token: Secret = Secret("")

    def note(self, what, payload):
        row = {
            "what": what,
            "id": payload["id"],
            "repo": payload["repository"]["full_name"],
            "pid": os.getpid(),
            "attempt": payload["attempt"],
            "service": self.service,
            "mark": MARK,
            "order": payload["order"],
            "at": time.monotonic(),
            "delivery": payload["delivery_id"],
            "message": payload["commits"][0]["message"],
        }
        # Its own line even after one that a kill cut off.
        with open(self.settings.ledger, "ab", buffering=0) as ledger:
            ledger.write(b"\n%s\n" % json.dumps(row).encode())

    def handle(self, payload):
        self.note("begin", payload)
        self.work(payload)
        self.note("end", payload)

    def work(self, payload):
        pass
