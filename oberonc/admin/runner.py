"""Doing something as the account that brokers run as."""

import os
from collections.abc import Callable
from typing import Any

from oberonc.accounts import person
from oberonc.admin.install import reach
from oberonc.config import Config
from oberonc.errors import NotAllowed
from oberonc.rights import account, as_account


def as_runner(config: Config, work: Callable[[], Any]) -> Any:
    """What *work* returns (JSON) when the account does it that brokers run as; raises
    NotAllowed.

    Whoever else asked would see other secrets and files, and might leave some.
    """
    try:
        runs = (
            config.state.stat().st_uid if config.delivery == "daemon" else os.geteuid()
        )
    except OSError:  # no daemon has run yet
        runs = os.geteuid()
    if runs == os.geteuid():
        return work()
    name = person(runs)
    if os.geteuid() != 0:
        raise NotAllowed(
            f"only {name} can tell, which runs the daemon: sudo -u {name} oberonc ..."
        )
    fault = reach.fault(account(runs))
    if fault:
        raise NotAllowed(fault)
    return as_account(runs, work)
