"""What the daemon does when asked: the table of its operations, by their names on the
wire.

`submit` and `ping` exist on both sockets, and `log` does on the submit socket for what
the caller submitted; everything else exists on the control socket alone, and is the
right of whoever may open that.
"""

from collections.abc import Mapping, Sized
from typing import Any

from oberonc.config import Config
from oberonc.daemon.dispatch import Dispatcher
from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.journal import Say
from oberonc.daemon.operations.actions import Actions, Operation
from oberonc.daemon.operations.answers import Answer, refusal
from oberonc.daemon.operations.deliveries import Deliveries
from oberonc.daemon.operations.pushes import Pushes
from oberonc.daemon.operations.services import Services
from oberonc.daemon.operations.status import Status
from oberonc.daemon.operations.upkeep import Upkeep
from oberonc.daemon.queue_link import QueueLink
from oberonc.daemon.reload import Reloader
from oberonc.daemon.stop import Stop
from oberonc.delivery import frames
from oberonc.errors import BadInput


class Operations:
    """The operations of a running daemon. *connections* are its clients, and *refused*
    how often one was refused, by the `error` of the answer.
    """

    def __init__(
        self,
        config: Config,
        queue: QueueLink,
        intake: Intake,
        reloader: Reloader,
        dispatcher: Dispatcher,
        connections: Sized,
        refused: Mapping[str, int],
        stop: Stop,
        say: Say,
    ) -> None:
        pushes = Pushes(queue, intake, stop)
        deliveries = Deliveries(queue, say)
        services = Services(queue, intake, reloader, config.state, say)
        status = Status(
            queue, intake, reloader, dispatcher, connections, refused, config.spool
        )
        upkeep = Upkeep(queue, reloader, config.state, say)
        self._actions = Actions(config.state, config.daemon.keep, say)
        public: dict[str, Operation] = {"submit": pushes.submit, "ping": status.ping}
        self._public = public | {"log": pushes.own_log}
        self._all = public | {
            "log": pushes.log,
            "event.list": pushes.list,
            "event.show": pushes.show,
            "delivery.list": deliveries.list,
            "dead.show": deliveries.show,
            "dead.retry": deliveries.retry,
            "dead.drop": deliveries.drop,
            "lane.pause": services.pause,
            "lane.resume": services.resume,
            "service.test": services.test,
            "rename": services.rename,
            "stats": status.stats,
            "brokers": status.brokers,
            "generation": status.generations,
            "reload": upkeep.reload,
            "backup": upkeep.backup,
            "actions": self._actions.newest,
        }

    async def perform(self, request: dict[str, Any], uid: int, control: bool) -> Answer:
        """The answer to *request* of the account *uid*, which came by the submit or the
        *control* socket; raises OberoncError for faults of the caller.
        """
        known = self._all if control else self._public
        needs = request.get("need") or []
        if not isinstance(needs, list):
            raise BadInput("'need' must be a list of operations")
        for need in needs:
            if not isinstance(need, str) or need not in self._all:
                return _unsupported(f"the feature {need!r}")
        op = request.get("op")
        if not isinstance(op, str) or op not in known:
            return _unsupported(f"the operation {op!r}")
        return await self._actions.perform(request, uid, known[op])


def _unsupported(what: str) -> Answer:
    return refusal(
        "unsupported",
        f"{what} is not known here",
        v=[frames.VERSION, frames.VERSION],
    )
