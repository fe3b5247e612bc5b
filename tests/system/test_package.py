"""The Debian package: installed, upgraded, taken off and purged on a machine that never
saw oberonc.
"""

import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.system.machine import Machine
from tests.system.server import RECORDER, SERVICE, Server
from tests.system.wheels import LATER, TOP

_NUMBERS = count()
UNITS = "oberonc.socket oberonc-control.socket oberonc.service"
WEB = "oberonc-web.socket oberonc-web.service"
FACE = """
[web.tokens.admin]
token = "file:/etc/oberonc/web/admin"
role = "admin"
"""


@pytest.fixture(scope="module")
def packages(fresh: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`now.deb` and `now-web.deb`, and those of a later version, made as CI makes them."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("needs Debian's dpkg-deb")
    folder = tmp_path_factory.mktemp("packages")
    for name, place in (("now", "/srv/wheels"), ("later", "/srv/wheels/later")):
        [wheel] = fresh.path(place).glob("oberonc-*.whl")
        wheel = Path(shutil.copy(wheel, folder))
        debs = [folder / f"{name}.deb", folder / f"{name}-web.deb"]
        done = subprocess.run(
            [TOP / ".ci" / "deb", wheel, *debs],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def machine(memory: Path, fresh: Machine, packages: Path) -> Iterator[Machine]:
    """A machine of the test's own, with the packages in /srv/packages."""
    with Machine(memory / f"package{next(_NUMBERS)}", (fresh,)) as machine:
        shutil.copytree(packages, machine.path("/srv/packages"))
        # By this folder a package knows that systemd runs here.
        machine.sh("mkdir -p /run/systemd/system")
        yield machine


def _files(machine: Machine) -> set[str]:
    """What of oberonc is on the machine, but for its accounts."""
    found = machine.sh(
        "find /etc /usr /var /run -xdev -path '*oberonc*' ! -path '/var/lib/dpkg/*' ! -path '/usr/lib/python*'"
    )
    return set(found.out.splitlines())


def _answers(server: Server) -> None:
    """The API, YAML and the page are there, which want all that the face needs."""
    ask = "curl -sS -m 60 --unix-socket /run/oberonc/web.sock -H 'Authorization: Bearer t'"
    stats = server.sh(f"{ask} 'http://x/api/stats?format=yaml'").out
    assert "generation:" in stats
    kind = "-H 'Content-Type: application/yaml'"
    message = """-d '{message: "fixes #4"}'"""
    assert '"issue":"4"' in server.sh(f"{ask} {kind} {message} http://x/api/parse").out
    assert "<h1>Log in" in server.sh(f"{ask} http://x/login").out


def test_the_face_has_all_that_it_needs_with_the_package_beside(
    machine: Machine,
) -> None:
    made = Server(machine)
    made.sh("dpkg -i /srv/packages/now.deb")
    said = made.sh("oberonc web", None)
    assert said.code == 78
    assert "install the Debian package oberonc-web" in said.err
    made.sh("dpkg -i /srv/packages/now-web.deb")
    with machine.path("/etc/oberonc/config.toml").open("a") as config:
        config.write(FACE)
    made.sh("install -d -m 0750 -o root -g oberonc-web /etc/oberonc/web")
    machine.write("/etc/oberonc/web/admin", "t", 0o400, "oberonc-web")
    made.sh(f"systemctl enable --now {UNITS} {WEB}")
    _answers(made)
    made.sh("dpkg -i /srv/packages/later.deb /srv/packages/later-web.deb")
    assert f"oberonc {LATER}" in made.sh("oberonc --version").out
    _answers(made)
    made.sh("dpkg --remove oberonc-web")
    assert machine.run("systemctl", "is-active", "oberonc-web.service", code=None).code
    assert machine.run("systemctl", "is-active", "oberonc.service").code == 0
    assert "oberonc" in made.sh("oberonc --version").out
    made.sh("dpkg --purge oberonc")
    assert not machine.path("/usr/lib/oberonc").exists()


def test_from_nothing_to_a_push_over_an_upgrade_and_back_to_nothing(
    machine: Machine,
) -> None:
    made = Server(machine)
    before = _files(machine)
    made.sh("dpkg -i /srv/packages/now.deb")
    assert made.sh("oberonc --version").out != f"oberonc {LATER}\n"
    assert "oberonc-submit" in made.sh("getent group oberonc-submit").out
    assert made.sh("stat -c '%a %U' /var/spool/oberonc/new").out == "3733 oberonc\n"
    assert machine.run("systemctl", "is-active", "oberonc.service", code=None).code

    made.listen()
    made.repository("app")
    with machine.path("/etc/oberonc/config.toml").open("a") as config:
        config.write(SERVICE)
    machine.write("/etc/oberonc/brokers/recorder.py", RECORDER)
    made.sh("usermod -aG oberonc-submit ann")
    made.sh(f"systemctl enable --now {UNITS}")
    made.sh("oberonc hook install /srv/git/app.git")
    said = made.push("ann", "app", "ann")
    assert said.line.startswith("queued 1 commit ("), said.text
    made.row(said)

    pid = made.facts()["MainPID"]
    made.sh("dpkg -i /srv/packages/later.deb")
    assert made.sh("oberonc --version").out == f"oberonc {LATER}\n"
    eventually(lambda: made.facts()["ActiveState"] == "active")
    assert made.facts()["MainPID"] != pid
    made.row(made.push("ann", "app", "ann"))
    assert "[services.recorder]" in made.sh("cat /etc/oberonc/config.toml").out

    made.sh("dpkg --remove oberonc")
    assert not machine.path("/usr/lib/oberonc").exists()
    assert machine.run("systemctl", "is-active", "oberonc.service", code=None).code
    assert machine.path("/var/lib/oberonc/queue.sqlite").exists()
    assert "nothing was delivered" in made.push("ann", "app", "ann").text
    made.sh("rm /etc/oberonc/brokers/recorder.py && dpkg --purge oberonc")
    assert _files(machine) - before == set()
