"""Whatever the daemon says but "taken" and "this payload is wrong" leaves the push in
the spool, and says why.
"""

import contextlib
import grp  # noqa: F401  loaded before a test becomes somebody who may not read the interpreter
import hashlib  # noqa: F401  as grp
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oberonc.config import Config, load
from oberonc.delivery import frames, handover, spool
from oberonc.errors import BadInput, NotAccepted
from tests.support.admin import sample

Answering = Callable[[bytes], Config]


@pytest.fixture
def answering(short_dir: Path) -> Iterator[Answering]:
    """A configuration whose daemon reads one request and answers with these bytes."""
    path = short_dir / "s"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen()

        def make(raw: bytes) -> Config:
            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    length = frames.body_length(
                        connection.recv(frames.HEADER.size, socket.MSG_WAITALL)
                    )
                    connection.recv(length, socket.MSG_WAITALL)
                    connection.sendall(raw)

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join, 30)
            config = load()
            return config._replace(
                spool_folder=str(short_dir / "spool"),
                daemon=config.daemon._replace(submit_socket=str(path)),
            )

        yield make


def _kept(config: Config) -> list[str]:
    return [spool.read(path)["payload"]["id"] for path in spool.listing(config.spool)]


@pytest.mark.parametrize(
    "error",
    [
        "busy",
        "storage_low",
        "stopping",
        "timeout",
        "failed",
        "unsupported",
        "version",
        "new",
    ],
)
def test_a_refusal_that_is_not_the_payloads_fault_is_spooled_with_its_reason(
    answering: Answering, error: str
) -> None:
    config = answering(
        frames.encode({"ok": False, "error": error, "message": "the reason"})
    )
    made = sample()
    assert handover.submit(config, made, 5) == ("spooled", "the reason")
    assert _kept(config) == [made["id"]]


def test_who_is_refused_by_the_daemon_is_told_the_group(answering: Answering) -> None:
    config = answering(
        frames.encode({"ok": False, "error": "forbidden", "message": "no"})
    )
    config.daemon.socket.chmod(0o660)
    status, why = handover.submit(config, sample(), 5)
    assert status == "spooled"
    assert why.startswith(
        f"you may not use {config.daemon.socket}: an administrator can add you to its group "
    )


@pytest.mark.parametrize("error", handover.WRONG)
def test_a_payload_that_is_wrong_is_said_to_be_and_not_kept(
    answering: Answering, error: str
) -> None:
    config = answering(
        frames.encode({"ok": False, "error": error, "message": "the reason"})
    )
    with pytest.raises(BadInput, match="the reason"):
        handover.submit(config, sample(), 5)
    assert _kept(config) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"OB",
        b"HTTP/1.1 200 OK\r\n\r\n",
        frames.frame(b"{"),
        frames.frame(b"[]"),
        frames.frame(b"null"),
        frames.frame(b"{}"),
        frames.frame(b'{"ok": 1, "status": "accepted"}'),
        frames.frame(b'{"ok": true}'),
        frames.frame(b'{"ok": true, "status": "thanks"}'),
        frames.frame(b'{"ok": true, "status": ["accepted"]}'),
        frames.frame(b'{"ok": false, "error": ["invalid"]}'),
        b"OB\x02" + frames.frame(b"{}")[3:],
        b"OB\x01\x00\xff\xff\xff\xff",
    ],
)
def test_an_answer_that_is_none_of_ours_is_no_answer(
    answering: Answering, raw: bytes
) -> None:
    config = answering(raw)
    made = sample()
    assert handover.submit(config, made, 5).status == "spooled"
    assert _kept(config) == [made["id"]]


def test_a_spool_that_fails_too_says_both(answering: Answering) -> None:
    config = answering(
        frames.encode({"ok": False, "error": "busy", "message": "too many"})
    )
    config.spool.write_text("in the way")
    with pytest.raises(NotAccepted, match="too many; cannot keep the push in"):
        handover.submit(config, sample(), 5)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_who_may_not_use_the_socket_still_spools_where_the_spool_takes_it(
    short_dir: Path,
) -> None:
    short_dir.chmod(0o755)
    path = short_dir / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.chown(path, -1, 0)
        path.chmod(0o660)
        (short_dir / "own").mkdir()
        os.chown(short_dir / "own", 54321, 54321)
        config = load()
        config = config._replace(
            spool_folder=str(short_dir / "own" / "spool"),
            daemon=config.daemon._replace(submit_socket=str(path)),
        )
        said = _as_somebody_else(lambda: repr(handover.submit(config, sample(), 5)))
    assert (
        f"you may not use {path}: an administrator can add you to its group root"
        in said
    )
    assert len(_kept(config)) == 1


def _as_somebody_else(work: Callable[[], str]) -> str:
    """What *work* returns in a process of another account."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            os.setgroups([])
            os.setgid(54321)
            os.setuid(54321)
            os.write(sending, work().encode())
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said
