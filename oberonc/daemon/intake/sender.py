"""Who handed a payload in, and what of it is believed.

Who submitted comes from the kernel (the socket's peer, the spool file's owner), never
from the payload. Who pushed (`user`) is believed only of accounts that run git for
others.
"""

import os
from typing import Any, NamedTuple

from oberonc import accounts
from oberonc.config import Config


class Sender(NamedTuple):
    """The account a payload came from, how it came, and whether it can only have come
    from there.
    """

    uid: int
    origin: str = "socket"
    proven: bool = True

    def stamped(self, config: Config, payload: dict[str, Any]) -> dict[str, Any]:
        """*payload* itself where it says of its sender what we know, as our client's
        does; else a copy that does.
        """
        name = accounts.name(self.uid)
        submitter, user = {"uid": self.uid, "name": name}, name
        is_ours = self.uid == os.geteuid()
        if self.proven and (is_ours or name in config.daemon.trusted):
            user = payload["user"]
        given: Any = payload.get("submitter")
        is_right = given == submitter and payload["user"] == user
        # For Python true and 1.0 are 1.
        if is_right and type(given["uid"]) is int:
            return payload
        return {**payload, "user": user, "submitter": submitter}
