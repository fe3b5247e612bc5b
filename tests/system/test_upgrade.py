"""The package is replaced while everybody pushes."""

from tests.support.eventually import eventually
from tests.system.server import Server
from tests.system.test_pushes import HOSTS, after, load, true
from tests.system.wheels import LATER


def test_upgraded_under_load(server: Server) -> None:
    """New files and a new unit while hooks run: pushes are handed over or spooled, and
    nobody sees a traceback.
    """
    unit = server.sh("cat /etc/systemd/system/oberonc.service").out
    with load(server) as said:
        after(said, 3)
        server.sh(
            "/opt/oberonc/bin/pip install --quiet --upgrade --find-links /srv/wheels/later oberonc"
        )
        after(said, 3)
        server.machine.write(
            "/etc/systemd/system/oberonc.service",
            unit.replace("TasksMax=256", "TasksMax=512"),
        )
        server.sh("systemctl daemon-reload && systemctl restart oberonc")
        after(said, 3)
    assert "Traceback" not in "".join(each.text for each in said)
    true(server, said)
    assert server.sh("oberonc --version").out == f"oberonc {LATER}\n"


def test_taken_away_and_put_back_under_load(server: Server) -> None:
    """From `pip uninstall` to `pip install` there is no oberonc: the line says so, and
    the next push delivers it.
    """
    with load(server) as said:
        after(said, 2)
        server.sh("/opt/oberonc/bin/pip uninstall --quiet --yes oberonc")
        after(said, 4)
        server.sh("/opt/oberonc/bin/pip install --quiet oberonc")
        after(said, 6)
    gone = [each for each in said if not each.line.startswith(("queued", "spooled"))]
    assert gone and all(
        "is it being replaced?" in each.line and "next push" in each.line
        for each in gone
    ), gone
    assert "Traceback" not in "".join(each.text for each in said)
    eventually(lambda: server.facts()["ActiveState"] == "active")
    later = [server.push(host, "app", host) for host in HOSTS]
    for each in [*said, *later]:
        if each not in gone:
            server.row(each)
    delivered = {
        message.split("\n")[0] for row in server.rows() for message in row["messages"]
    }
    for each in gone:
        show = f"git -c safe.directory='*' --git-dir=/srv/git/app.git show --no-patch --format=%s {each.new}"
        assert server.sh(show).out.strip() in delivered
