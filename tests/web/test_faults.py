"""What nobody expected: a daemon of another version, whose answers miss what ours have,
stands for all of it.
"""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from oberonc.delivery import frames
from oberonc.web.settings import ROLES
from tests.support.browser import Browser
from tests.support.daemon_site import Site
from tests.support.web import Face, Faces, tokens


class Strange:
    """Answers whatever it is asked with *answer*."""

    def __init__(self, path: str, answer: dict[str, object]) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.answer = frames.encode(answer)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                channel, _ = self.listener.accept()
                with suppress(OSError), channel:
                    channel.recv(65536)
                    channel.sendall(self.answer)

    def close(self) -> None:
        """Go."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def face(site: Site, faces: Faces) -> Iterator[Face]:
    tokens(site, ROLES)
    path = site.config.daemon.control
    path.parent.mkdir(parents=True, exist_ok=True)
    strange = Strange(str(path), {"ok": True, "brokers": "admin-token " * 99})
    try:
        yield faces.start()
    finally:
        strange.close()


def test_what_nobody_expected_is_one_line_of_the_log_and_says_nothing_to_a_client(
    face: Face,
) -> None:
    person = Browser(face.port)
    headers = {"Authorization": "Bearer admin-token", "Cookie": "kept=hidden"}
    fields = [("token", "admin-token"), ("next", "/")]
    person.send("POST", "/login", fields)
    before = len(face.log.splitlines())
    page = person.send("GET", "/", headers={"X-Hidden": "hidden"})
    answers = [page, face.send("/api/brokers", headers, method="GET")]
    body = b'{"message": "hidden", "words": "strange"}'
    kind = {"Content-Type": "application/json"}
    answers.append(face.send("/api/parse", headers | kind, body))
    for answer in answers:
        assert answer.status == 500, answer
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert json.loads(answer.body)["status"] == 500
        assert b"Error:" not in answer.body
        assert b"stats" not in answer.body
    lines = face.log.splitlines()[before:]
    faults = [line for line in lines if "unexpected" in line]
    assert len(lines) == 2 * len(answers), lines
    assert len(faults) == len(answers), lines
    where = r"unexpected KeyError: 'stats'; at page/now.py:\d+ show, "
    assert re.search(where, faults[0]), faults[0]
    assert "hidden" not in face.log
    assert "admin-token" not in face.log
    assert face.send("/health", method="GET").status == 200
