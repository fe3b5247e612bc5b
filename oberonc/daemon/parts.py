"""The daemon's parts, made in the order in which each needs the ones before it: from
the queue's link to who may ask for something.
"""

from oberonc.config import Config
from oberonc.daemon.dispatch import Dispatcher
from oberonc.daemon.endings import Endings
from oberonc.daemon.front.server import Server
from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.journal import say
from oberonc.daemon.notices import Notices
from oberonc.daemon.operations.operations import Operations
from oberonc.daemon.periodic import Periodic
from oberonc.daemon.queue_link import QueueLink
from oberonc.daemon.reload import Reloader
from oberonc.daemon.stop import Stop
from oberonc.manager import Notifier


class Parts:
    """Owned by the event loop."""

    def __init__(
        self,
        config_path: str | None,
        config: Config,
        queue: QueueLink,
        notifier: Notifier,
    ) -> None:
        self.stop = Stop()
        self.notices = Notices(queue, say)
        self.dispatcher = Dispatcher(queue, Endings(queue, self.notices, say), say)
        self.intake = Intake(config, queue, say)
        self.reloader = Reloader(
            config_path,
            queue,
            self.intake,
            self.dispatcher,
            self.notices,
            self.stop,
            notifier,
            say,
        )
        self.periodic = Periodic(
            queue, self.intake, self.dispatcher, self.notices, notifier, say
        )
        self.server = Server(say)
        self.operations = Operations(
            config,
            queue,
            self.intake,
            self.reloader,
            self.dispatcher,
            self.server.connections,
            self.server.refused,
            self.stop,
            say,
        )
