"""The machines of the tests of a whole server."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.system import wheels
from tests.system.machine import Machine, keeper, missing
from tests.system.server import Server

_NUMBERS = count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them in one process, which prepares the server once; on a busy machine
    that takes its time.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("system"))
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the machines' disks are."""
    why = missing()
    if why and os.environ.get("CI") and os.geteuid() == 0:
        pytest.fail(f"in CI there must be machines: {why}")
    if why:
        pytest.skip(why)
    with keeper(tmp_path_factory.mktemp("machines")) as place:
        yield place


@pytest.fixture(scope="session")
def fresh(memory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which oberonc was never installed, with accounts, and wheels in
    reach of pip.
    """
    folder = tmp_path_factory.mktemp("wheels") / "all"
    wheels.build(folder)
    with Machine(memory / "fresh") as machine:
        machine.sh(
            "rm -rf /etc/oberonc /var/spool/oberonc /var/lib/oberonc /opt/oberonc /srv/git /srv/wheels"
        )
        machine.sh("rm -rf /root/.config /root/.pip /root/.gitconfig")
        made = Server(machine)
        made.take_wheels(folder)
        made.make_accounts()
        yield machine


@pytest.fixture(scope="session")
def prepared(memory: Path, fresh: Machine) -> Iterator[Machine]:
    """A server that is set up; nothing runs on it."""
    with Machine(memory / "prepared", (fresh,)) as machine:
        made = Server(machine)
        made.listen()
        made.repository("app")
        made.follow("On a server, step by step")
        made.record()
        made.down()
        yield machine


@pytest.fixture
def server(memory: Path, fresh: Machine, prepared: Machine) -> Iterator[Server]:
    """A running server of the test's own."""
    with Machine(memory / f"server{next(_NUMBERS)}", (prepared, fresh)) as machine:
        made = Server(machine)
        made.start()
        yield made
        assert "Traceback" not in machine.journal(), machine.journal()
