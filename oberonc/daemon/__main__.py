"""`python -m oberonc.daemon [CONFIG]`: what `oberonc daemon` becomes, without what only a
command line needs.
"""

import sys

# asyncio loads it where it can, and none of our sockets speaks TLS: it would take 1.5 MB.
sys.modules["ssl"] = None  # type: ignore[assignment]

from oberonc import exits  # noqa: E402
from oberonc.daemon.service import run  # noqa: E402


def main() -> None:
    """Be the daemon, and exit with the documented code."""
    try:
        run(next(iter(sys.argv[1:]), None))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  here a bug becomes an exit code
        sys.exit(exits.code_of(error))


main()
