"""`/health`: for whoever starts this process again, or sends it requests."""

import os
from collections.abc import Collection
from typing import Any

from oberonc.config import Config
from oberonc.delivery import handover
from oberonc.errors import OberoncError
from oberonc.piston import BaseHandler, Problem

#: Seconds in which the daemon has to say that it is there.
PATIENCE = 2.0


class Health(BaseHandler):
    """Whether this process answers."""

    def read(self, _request: Any) -> dict[str, str]:
        """It does."""
        return {"status": "ok"}


class Ready(BaseHandler):
    """Whether pushes are taken."""

    config: Config

    @classmethod
    def openapi(cls, _method: str, _arguments: Collection[str]) -> dict[str, Any]:
        """It may not be."""
        return {"statuses": (503,)}

    def read(self, _request: Any) -> dict[str, str]:
        """By the daemon, or by the spool where none answers; 503 where by neither."""
        try:
            handover.call(self.config, "ping", within=PATIENCE)
        except OberoncError:
            folder = self.config.spool / "new"
            while not folder.exists():  # it is made with the first push
                folder = folder.parent
            if not os.access(folder, os.W_OK | os.X_OK):
                again = {"Retry-After": "5"}
                why = "Neither the daemon nor the spool takes pushes."
                raise Problem(503, why, headers=again) from None
            return {"status": "ready", "pushes": "spooled"}
        return {"status": "ready", "pushes": "accepted"}
