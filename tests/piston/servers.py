"""Real servers in processes of their own, and plain sockets to talk to them."""

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.eventually import eventually

TOP = Path(__file__).parents[2]


class Server:
    """A server that is there between `with` and its end."""

    def __init__(
        self,
        words: Sequence[str],
        port: int,
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.words, self.port, self.name = words, port, ""
        self.folder, self.environment = folder, environment

    def __enter__(self) -> "Server":
        self.log = (self.folder / "server.log").open("w+")
        self.process = subprocess.Popen(
            self.words,
            cwd=self.folder,
            env=dict(self.environment),
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(self._answers)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def memory(self) -> int:
        """Resident bytes of the server and its workers."""
        mine = {self.process.pid}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[1]) in mine:
                mine.add(int(stat.parent.name))
        pages = sum(_resident(pid) for pid in mine)
        return pages * os.sysconf("SC_PAGE_SIZE")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
