"""What `oberonc` and `python -m oberonc` run."""

import sys


def main() -> None:
    """Load the command and run it; Ctrl-C before it is loaded is no traceback either."""
    try:
        from oberonc.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
