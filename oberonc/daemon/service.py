"""The daemon as a whole: takes what only one process may have, in the order that loses
nothing, lives, and gives it back in reverse.

One event loop and the queue's writer thread; hosts and workers are processes.
"""

import asyncio
import os
from contextlib import closing

from oberonc import config as configuration
from oberonc.daemon import lock
from oberonc.daemon.front import sockets
from oberonc.daemon.journal import say
from oberonc.daemon.life import live
from oberonc.daemon.periodic import say_given_up
from oberonc.daemon.queue_link import now_ms
from oberonc.delivery import spool
from oberonc.manager import Notifier
from oberonc.queue.engines import open_queue
from oberonc.text import counted


def run(config_path: str | None) -> None:
    """Be the daemon until told to stop. Raises OberoncError when it cannot start; the
    code is the exit code.
    """
    os.umask(0o077)
    notifier = Notifier()
    config = configuration.load(config_path)
    url = str(config.state / "queue.sqlite")
    low_space = config.daemon.low_space
    with lock.claim(config.state):
        spool.make(config.spool)
        with closing(open_queue(url, low_space=low_space)) as queue:
            recovered = queue.recover(now_ms())
            if recovered.orphaned:
                running = counted(recovered.orphaned, "delivery", "deliveries")
                say(
                    f"the last daemon died while {running} ran; what is not given up here runs again"
                )
            say_given_up(recovered.dead, say)
            with sockets.listen(config) as listeners:
                asyncio.run(live(config_path, config, queue, notifier, listeners))
