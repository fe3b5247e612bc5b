"""`python -m oberonc.daemon [CONFIG]`: what `oberonc daemon` becomes, without what only a
command line needs.
"""

import sys

# asyncio loads it where it can, and none of our sockets speaks TLS: it would take 1.5 MB.
sys.modules["ssl"] = None  # type: ignore[assignment]


def main() -> None:
    """Be the daemon, and exit with the documented code; Ctrl-C before it is loaded is no
    traceback either.
    """
    try:
        from oberonc import exits
        from oberonc.daemon.service import run

        try:
            run(next(iter(sys.argv[1:]), None))
        except Exception as error:  # noqa: BLE001  here a bug becomes an exit code
            sys.exit(exits.code_of(error))
    except KeyboardInterrupt:
        sys.exit(130)


main()
