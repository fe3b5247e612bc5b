"""Points where a test may have the daemon die: `OBERONC_CRASH_AT=NAME` in its
environment.
"""

import os
import signal


def crash_point(name: str) -> None:
    """End this process as a power cut would, when a test asked for it here."""
    if os.environ.get("OBERONC_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
