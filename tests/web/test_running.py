"""The HTTP face as a process: the socket it is given, how it stops, what it says of
itself.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.children import end
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.web import Faces, tokens

#: What a service manager does: the sockets begin at the third, for this process alone.
PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.fixture
def passed(site: Site) -> Path:
    """The path of a socket that a service manager made."""
    return site.folder / "web.sock"


def _ask(path: Path, address: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(60)
    connection.sock.connect(os.fspath(path))
    connection.request("GET", address)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def _started_with(
    made: socket.socket, site: Site, log: Path
) -> subprocess.Popen[bytes]:
    command = ["-m", "oberonc", "--config", str(site.file), "web"]
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-c", PASS, str(made.fileno()), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=[made.fileno()],
        )


def test_the_socket_of_a_service_manager_is_taken_and_left(
    site: Site, passed: Path
) -> None:
    # Of the same path as the configuration's: that is no reason to remove it.
    site.file.write_text(f'{site.file.read_text()}[web]\nlisten = "{passed}"\n')
    made = socket.socket(socket.AF_UNIX)
    made.bind(os.fspath(passed))
    made.listen(16)
    log = site.folder / "log"
    process = _started_with(made, site, log)
    try:
        # Who comes before it serves waits.
        assert _ask(passed, "/health") == (200, b'{"status":"ok"}')
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
        assert passed.exists()
        assert "Traceback" not in log.read_text()
    finally:
        made.close()
        end(process)


def test_the_body_of_an_answer_does_not_wait_for_its_head_to_be_acknowledged(
    site: Site,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        process = _started_with(made, site, site.folder / "log")
        try:
            host, port = made.getsockname()
            connection = http.client.HTTPConnection(host, port, timeout=60)
            connection.request("GET", "/health")
            assert connection.getresponse().status == 200
            connection.close()
            # What it set is set for all who have the socket, and for what it accepts.
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            end(process)


def test_what_stands_where_it_should_listen_stays(site: Site, faces: Faces) -> None:
    text = site.file.read_text()

    def said(listen: object) -> str:
        site.file.write_text(f'{text}[web]\nlisten = "{listen}"\n')
        with pytest.raises(AssertionError) as raised:
            faces.start()
        return str(raised.value).splitlines()[0]

    file = site.folder / "precious"
    file.write_text("kept")
    link = site.folder / "link"
    link.symlink_to(file)
    for path in (file, link):
        assert f"{path} is there and is no socket" in said(path)
        assert file.read_text() == "kept"
    taken = site.folder / "taken.sock"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(os.fspath(taken))
        theirs.listen()
        assert f"somebody listens on {taken} already" in said(taken)
        assert taken.is_socket()
    with socket.create_server(("127.0.0.1", 0)) as port:
        address = f"127.0.0.1:{port.getsockname()[1]}"
        line = said(address)
        assert f"cannot listen on {address}: Address already in use; set" in line
    # What a face that was killed left behind is in nobody's way.
    site.file.write_text(f'{text}[web]\nlisten = "{taken}"\n')
    faces.start()
    assert _ask(taken, "/health")[0] == 200


def test_it_is_ready_as_long_as_a_push_can_be_kept(site: Site, faces: Faces) -> None:
    tokens(site, [])
    face = faces.start()
    said = face.send("/health/ready", method="GET")
    assert json.loads(said.body) == {"status": "ready", "pushes": "spooled"}
    site.start()
    said = face.send("/health/ready", method="GET")
    assert json.loads(said.body) == {"status": "ready", "pushes": "accepted"}
    assert site.daemons[0].stop() == 0
    spool = site.config.spool
    if spool.exists():
        spool.rename(spool.with_name("elsewhere"))
    spool.touch()  # no folder: not even root can put files into it
    said = face.send("/health/ready", method="GET")
    assert (said.status, said.headers["retry-after"]) == (503, "5")
    assert face.send("/health", method="GET").status == 200


def test_told_to_stop_it_ends_what_is_under_way_and_takes_nothing_new(
    site: Site, faces: Faces
) -> None:
    tokens(site, ["submit"])
    site.start()
    face = faces.start()
    body = json.dumps(push()).encode()
    with socket.create_connection(("127.0.0.1", face.port), timeout=60) as half:
        head = (
            "POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Authorization: Bearer submit-token\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        half.sendall(head.encode())
        # It has begun to be read.
        assert half.recv(100).startswith(b"HTTP/1.1 100 ")
        half.sendall(body[:100])
        face.process.terminate()

        def refuses() -> bool:
            try:
                socket.create_connection(("127.0.0.1", face.port), timeout=5).close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(refuses, 30, "it takes connections though it was told to stop")
        half.sendall(body[100:])
        assert half.recv(100).startswith(b"HTTP/1.1 201 ")
    assert face.process.wait(60) == 0


def test_the_log_says_who_asked_what_and_which_push_it_was_about(
    site: Site, faces: Faces
) -> None:
    tokens(site, ["submit", "read"])
    site.start()
    face = faces.start()
    made = push()
    headers = {
        "Authorization": "Bearer submit-token",
        "Content-Type": "application/json",
    }
    face.send("/api/events", headers, json.dumps(made).encode())
    face.send("/api/stats%0a%1b[31m", method="GET")
    face.send("/health", method="GET")
    lines = [line for line in face.log.splitlines() if " ms" in line]
    assert re.fullmatch(
        rf"oberonc web: POST /api/events by submit from 127\.0\.0\.1: 201 in \d+ ms, event {made['id']}",
        lines[0],
    )
    assert "by nobody from 127.0.0.1: 404" in lines[1]
    assert len(lines) == 2
    assert "\x1b" not in face.log
    person = Browser(face.port)
    person.log_in("read-token")
    person.open(f"/pushes/{made['id']}")
    last = face.log.splitlines()[-1]
    assert f"GET /pushes/{made['id']} by read from 127.0.0.1: 200 in" in last
    assert last.endswith(f" ms, event {made['id']}")
