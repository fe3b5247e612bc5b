"""The IRC broker: by irker's protocol, and with a real server where there is one."""

import json
import re
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.irc import TEXT, Irc
from oberonc import testing
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.trackers.servers import need

KINDS = ["push", "commits", "merge", "tag", "delete", "all", "hostile", "dead"]


class Lines(socketserver.ThreadingTCPServer):
    """A server that keeps the lines it is sent, as irkerd takes them."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                owner.lines.extend(self.rfile)

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def irker() -> Iterator[Lines]:
    with Lines() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _settings(irker: Lines) -> dict[str, Any]:
    return {
        "url": "irc://irc.example.org",
        "channel": "#shop",
        "irker": f"127.0.0.1:{irker.server_address[1]}",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_irker_is_handed_a_line_of_json_for_each_line(
    irker: Lines, tmp_path: Path, kind: str
) -> None:
    settings = _settings(irker)
    done = testing.deliver(Irc, testing.payload(kind), tmp_path, **settings)
    assert done.kind == "done", done.note
    count = int(done.note.split()[1])
    eventually(lambda: len(irker.lines) == count)
    for raw in irker.lines:
        line = json.loads(raw)
        assert line["to"] == "irc://irc.example.org/#shop"
        said = line["privmsg"]
        assert len(said.encode()) <= TEXT
        assert not re.search(r"[\x00-\x1f\x7f]|@\w|https?://evil", said)


def test_no_irker_is_told_later(tmp_path: Path) -> None:
    port = free_port()
    settings: Any = {"url": "irc://x", "channel": "#c", "irker": f"127.0.0.1:{port}"}
    done = testing.deliver(Irc, testing.payload(), tmp_path, **settings)
    assert (done.kind, "refused" in done.note) == ("retry", True)


NGIRCD = shutil.which("ngircd") or "/usr/sbin/ngircd"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[str]:
    """A server of IRC on loopback; its address."""
    need(Path(NGIRCD).exists(), "ngircd")
    port = free_port()
    folder = tmp_path / "ngircd"
    folder.mkdir()
    file = folder / "ngircd.conf"
    file.write_text(
        f"[Global]\nName = irc.example.org\nInfo = test\nPorts = {port}\n"
        "Listen = 127.0.0.1\nMotdPhrase = hello\nServerUID = 65534\nServerGID = 65534\n"
        f"PidFile = {folder}/pid\n"
        "[Options]\nDNS = no\nIdent = no\nPAM = no\n"
        "[Channel]\nName = #closed\nModes = i\n"
    )
    command = [NGIRCD, "--nodaemon", "--config", str(file)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        eventually(lambda: _answers(port))
        yield f"irc://127.0.0.1:{port}"
        server.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Listener:
    """Somebody in the channel."""

    def __init__(self, url: str) -> None:
        port = int(url.rpartition(":")[2])
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(b"NICK ann\r\nUSER ann 0 * :a\r\nJOIN #shop\r\n")
        while b" 366 " not in self._file.readline():
            pass

    def hear(self, count: int) -> list[str]:
        heard: list[str] = []
        while len(heard) < count:
            line = self._file.readline().decode()
            if "PRIVMSG #shop :" in line:
                heard.append(line.partition("PRIVMSG #shop :")[2].rstrip("\r\n"))
        return heard

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.mark.server
@pytest.mark.parametrize("kind", ["all", "hostile"])
def test_a_real_channel_hears_every_line(
    network: str, tmp_path: Path, kind: str
) -> None:
    ann = Listener(network)
    settings: Any = {"url": network, "channel": "#shop"}
    done = testing.deliver(Irc, testing.payload(kind), tmp_path, **settings)
    assert done.kind == "done", done.note
    heard = ann.hear(int(done.note.split()[1]))
    ann.close()
    plain = [line.replace("\u200b", "") for line in heard]
    assert "pushed" in plain[0]
    assert not any(re.search(r"^QUIT|\x1b|\x02", line) for line in heard)


@pytest.mark.server
def test_the_check_logs_in_and_says_nothing(network: str, tmp_path: Path) -> None:
    ann = Listener(network)
    settings: Any = {"url": network, "channel": "#shop"}
    [found] = testing.bound(Irc, tmp_path, **settings).check()
    assert found.ok and found.what == f"{network} lets oberonc in"
    given = testing.payload("test")
    done = testing.deliver(Irc, given, tmp_path, **settings)
    assert done.note == "said 1 lines"
    [heard] = ann.hear(1)
    ann.close()
    assert "a test of oberonc" in heard.replace("\u200b", "")


@pytest.mark.server
def test_a_channel_that_is_closed_is_never_tried_again(
    network: str, tmp_path: Path
) -> None:
    settings: Any = {"url": network, "channel": "#closed"}
    done = testing.deliver(Irc, testing.payload(), tmp_path, **settings)
    assert (done.kind, "not to be had" in done.note) == ("dead", True), done.note


@pytest.mark.server
def test_a_nick_that_is_taken_is_tried_again(network: str, tmp_path: Path) -> None:
    ann = Listener(network)
    settings: Any = {"url": network, "channel": "#shop", "nick": "ann"}
    done = testing.deliver(Irc, testing.payload(), tmp_path, **settings)
    ann.close()
    assert (done.kind, done.after) == ("retry", 60), done.note


@pytest.fixture
def irkerd(tmp_path: Path) -> Iterator[str]:
    """The real one on loopback; its host and port."""
    program = Path(shutil.which("irkerd") or "/usr/bin/irkerd")
    need(program.exists(), "irkerd")
    port = free_port()
    # Its port is a constant of the program, and may be in use.
    text, found = re.subn("(?m)^PORT = 6659$", f"PORT = {port}", program.read_text())
    assert found == 1
    copy = tmp_path / "irkerd"
    copy.write_text(text)
    # It ends at once where it cannot listen on an address of IPv6 as well; this one
    # is there on machines without IPv6 too.
    where = ["--host", "127.0.0.1", "--host6", "::ffff:127.0.0.2"]
    with subprocess.Popen(
        ["/usr/bin/python3", str(copy), *where],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        eventually(lambda: _answers(port))
        yield f"127.0.0.1:{port}"
        server.terminate()


@pytest.mark.server
def test_a_real_irkerd_says_every_line_in_the_channel(
    network: str, irkerd: str, tmp_path: Path
) -> None:
    payload = testing.payload("push")
    payload["commits"][0]["message"] = "ann: \x02bold\x02 \u202e\r\nQUIT :bye\r\n"
    payload["commits"][1]["message"] = "é" * 1000
    ann = Listener(network)
    settings: Any = {"url": network, "channel": "#shop", "irker": irkerd}
    done = testing.deliver(Irc, payload, tmp_path, **settings)
    assert done.note.startswith("handed 3 lines to irker"), done.note
    heard = ann.hear(3)
    ann.close()
    broker = testing.bound(Irc, tmp_path, **settings)
    assert heard == broker.plan(payload)


@pytest.mark.parametrize(
    "wrong",
    [{"url": "http://x"}, {"channel": "shop"}, {"channel": "#a,#b"}, {"nick": "a b"}],
    ids=["scheme", "no #", "two", "nick"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    good = {"url": "irc://x", "channel": "#c"}
    with pytest.raises(ValueError, match="setting"):
        testing.bound(Irc, tmp_path, **good | wrong)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "irc://x:99999"}, "'url' must be an address"),
        ({"url": "http://x"}, "'url' must be an address"),
        ({"url": "irc://me:s3cret@x"}, "'url' has a user in it"),
        ({"irker": "[::1"}, "'irker' must be an address"),
        ({"irker": "host:port"}, "'irker' must be an address"),
    ],
)
def test_an_address_that_cannot_be_is_refused(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    given = {"url": "irc://localhost", "channel": "#x"} | settings
    with pytest.raises(ValueError, match=said) as caught:
        testing.bound(Irc, tmp_path, **given)
    assert "s3cret" not in str(caught.value)


def test_an_irker_may_have_an_address_of_ipv6(tmp_path: Path) -> None:
    given: dict[str, Any] = {"url": "irc://x", "channel": "#x", "irker": "[::1]:9"}
    done = testing.deliver(Irc, testing.payload(), tmp_path, **given)
    assert (done.kind, done.note.startswith("::1:9: ")) == ("retry", True), done.note
