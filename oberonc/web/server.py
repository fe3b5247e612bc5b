"""The HTTP face as a process: takes its socket, serves, and stops when it is told to."""

import gc
import os
import signal
import socket
import stat
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import uvicorn

from oberonc import config as configuration
from oberonc.errors import ConfigError
from oberonc.manager import Notifier, passed_sockets
from oberonc.web import settings as web_settings
from oberonc.web.connection import Connection
from oberonc.web.edge import Edge
from oberonc.web.journal import listen, say
from oberonc.web.limits import Limits
from oberonc.web.page.live import Live
from oberonc.web.settings import Settings
from oberonc.web.site import application
from oberonc.web.webhooks import Door

#: Connections at once; the next gets 503.
MOST: Final = 512
#: Seconds an open connection may go without a whole request.
IDLE: Final = 15.0
#: Seconds in which whoever gets an answer has to take so many bytes of it, or all.
UNREAD: Final = 30.0
READ: Final = 16 << 10
#: Connections of one address on which nothing is under way.
IDLE_OF_ONE: Final = 128
#: Seconds that requests under way get to end.
GRACE: Final = 10


def run(config_path: str | None) -> None:
    """Serve until told to stop. Raises OberoncError when it cannot start."""
    os.umask(0o077)
    # uvicorn handles these itself while it serves, and raises them again at its end:
    # to be told to stop is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    notifier = Notifier()
    config = configuration.load(config_path)
    settings = web_settings.read(config)
    listen(settings.secrets)
    passed = [each for _name, each in passed_sockets()]
    listener = passed[0] if passed else _listener(settings)
    if listener.family != socket.AF_UNIX:
        # asyncio does so for sockets that it makes. Without it the body of an answer
        # waits until its head is acknowledged: up to 40 ms, once a connection is warm.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if settings.user_header and listener.family != socket.AF_UNIX:
        # Every account of the machine can open a port, and write what it likes.
        raise ConfigError(
            "'web.user_header' needs a Unix socket that only the proxy may use: say"
            ' [web] listen = "/run/oberonc/web.sock"'
        )
    door, live = Door(config, settings), Live(config)
    try:
        app = application(door, config, settings, live)
        edge = Edge(Limits(app), lambda: server.is_full)
        server = Server(_uvicorn(settings, edge), notifier, live)
        # What is there now stays: no collection needs to look at it again.
        gc.collect()
        gc.freeze()
        server.run(sockets=[listener])
    finally:
        door.close()
        if isinstance(settings.listen, Path) and not passed:
            settings.listen.unlink(missing_ok=True)
        say("stopped")


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _uvicorn(settings: Settings, app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips="*" if settings.behind_proxy else None,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )


def _listener(settings: Settings) -> socket.socket:
    """A socket of our own."""
    listen = settings.listen
    try:
        if isinstance(listen, Path):
            return _unix(listen)
        family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        made = socket.create_server(listen, family=family, backlog=1024)
    except OSError as error:
        # What the socket module adds to it says the address once more.
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(
            f"cannot listen on {_shown(listen)}: {why}; set [web] listen to another"
        ) from None
    return made


def _unix(path: Path) -> socket.socket:
    """A socket that the accounts of its folder's group may use: a proxy, above all."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(
                f"{path} is there and is no socket: move it away, or set [web] listen"
                " to another path"
            )
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe,
            suppress(ConnectionRefusedError),
        ):
            probe.connect(os.fspath(path))
            raise ConfigError(f"somebody listens on {path} already")
        path.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(os.fspath(path))
    path.chmod(0o660)
    made.listen(1024)
    return made


def _shown(listen: tuple[str, int] | Path) -> str:
    if isinstance(listen, Path):
        return str(listen)
    host = f"[{listen[0]}]" if ":" in listen[0] else listen[0]
    return f"{host}:{listen[1]}"


class Server(uvicorn.Server):
    """Tells the service manager, and ends connections on which nothing comes, or whose
    answers nobody takes: uvicorn has no time limit for the head of a request, nor for
    what is sent.
    """

    def __init__(self, config: uvicorn.Config, notifier: Notifier, live: Live) -> None:
        super().__init__(config)
        self._live = live
        self._notifier = notifier
        #: Connection: since when nothing is under way on it, and its last request.
        self._waiting: dict[Connection, tuple[float, object]] = {}

        #: Connection: since when it has so many bytes to send.
        self._unread: dict[Any, tuple[float, int]] = {}

    @property
    def is_full(self) -> bool:
        """Whether there are more connections than are served."""
        return len(self.server_state.connections) > MOST

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        name = sockets[0].getsockname() if sockets else ""
        where = name if isinstance(name, str) else _shown((name[0], name[1]))
        self._notifier.ready(f"on {where}")
        say(f"ready on {where}")

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % 10 == 0:
            self._end_idle()
            self._end_unread()
            self._notifier.alive()
        return await super().on_tick(counter)

    def _end_idle(self) -> None:
        now = time.monotonic()
        idle = {
            each
            for each in self.server_state.connections
            if isinstance(each, Connection)
            and (each.cycle is None or each.cycle.response_complete)
        }
        before = self._waiting
        self._waiting = {each: (now, each.cycle) for each in idle}
        for each, (_, last) in self._waiting.items():
            # Between two of many quick requests is not idle.
            if each in before and before[each][1] is last:
                self._waiting[each] = before[each]
        of: Counter[str] = Counter()
        # Those that came last first: of one address the longest idle make way.
        for each, (since, _) in sorted(
            self._waiting.items(), key=lambda row: -row[1][0]
        ):
            who = (each.client or [""])[0]
            of[who] += 1
            if now - since > IDLE or of[who] > IDLE_OF_ONE:
                each.transport.close()

    def _end_unread(self) -> None:
        now, before, self._unread = time.monotonic(), self._unread, {}
        for each in [*self.server_state.connections]:
            left = each.transport.get_write_buffer_size()
            since, most = before.get(each, (now, left))
            if left <= most - READ:
                since, most = now, left
            if left:
                self._unread[each] = since, most
            if left and now - since > UNREAD:
                each.transport.abort()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end, and go."""
        self._notifier.stopping(GRACE + 2.0)
        self._live.close()
        await super().shutdown(sockets)
