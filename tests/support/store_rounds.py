"""How long the long loops are."""

import os


def rounds(default: int) -> int:
    """*default*, or OBERONC_TEST_ROUNDS where that is set."""
    return int(os.environ.get("OBERONC_TEST_ROUNDS") or default)
