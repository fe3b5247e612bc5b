"""When a service with a `rate` may start its next delivery, where hooks run the brokers:
a moment in a file of the state folder, since pushes of all repositories count.
"""

import os
import time

from oberonc import files
from oberonc.config import Config, Service
from oberonc.errors import NotAccepted

#: Seconds for which another process is waited for that takes a turn.
_PATIENCE = 0.5


def take(config: Config, service: Service) -> float:
    """0.0 where a delivery of *service* may start now, which then counts; else when it
    may, in seconds since 1970. Raises NotAccepted where that cannot be kept.
    """
    path = config.state / "rate" / f"{service.name}.next"
    try:
        if not path.parent.is_dir():
            files.make_private(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        is_new = not path.exists()
        handle = os.open(path, flags, 0o600)
        try:
            if is_new:
                os.fchmod(handle, files.file_mode(path.parent))
            if not files.lock_within(handle, _PATIENCE):
                return time.time() + service.rate
            return _turn(handle, service.rate)
        finally:
            os.close(handle)
    except OSError as error:
        raise NotAccepted(
            f"{path}: cannot keep when `rate` lets the next delivery start: {error.strerror}"
        ) from None


def _turn(handle: int, apart: float) -> float:
    now = time.time()
    try:
        due = float(os.pread(handle, 64, 0))
    except ValueError:
        due = 0.0  # it is new, or a crash took what was in it
    if now < due <= now + apart:
        return due
    # Later than that is a clock that was set back, or a rate that was slower.
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{now + apart:.6f}\n".encode(), 0)
    return now + apart if due > now else 0.0
