"""The package is replaced while everybody pushes."""

from tests.support.eventually import eventually
from tests.system.server import Said, Server
from tests.system.test_pushes import HOSTS, REFS, after, load, true
from tests.system.wheels import LATER


def test_upgraded_under_load(server: Server) -> None:
    """New files and a new unit while hooks run: pushes are handed over or spooled, or
    say that the next push delivers them, and nobody sees a traceback.
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
    if _too_early(said):
        # a hook that met the moment between the old files and the new ones
        _the_next_push_delivers_them(server, said)
    else:
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
    assert "Traceback" not in "".join(each.text for each in said)
    assert _too_early(said)
    _the_next_push_delivers_them(server, said)


def _too_early(said: list[Said]) -> list[Said]:
    return [each for each in said if not each.line.startswith(("queued", "spooled"))]


def _the_next_push_delivers_them(server: Server, said: list[Said]) -> None:
    """Whoever met files that were not there was told that and nothing else; the next
    push brings those commits, and every ref is told of in its order.
    """
    early = _too_early(said)
    for each in early:
        assert each.accepted
        assert "is it being replaced?" in each.line, each.text
        assert "next push" in each.line, each.text
    eventually(lambda: server.facts()["ActiveState"] == "active")
    later = [server.push(host, "app", host) for host in HOSTS]
    for each in [*said, *later]:
        if each not in early:
            server.row(each)
    delivered = {
        message.split("\n")[0] for row in server.rows() for message in row["messages"]
    }
    for each in early:
        show = f"git -c safe.directory='*' --git-dir=/srv/git/app.git show --no-patch --format=%s {each.new}"
        assert server.sh(show).out.strip() in delivered
    for ref in REFS:
        moves = server.moves("app", ref)
        places = [moves.index(new) for new in server.told("app", ref)]
        assert places == sorted(places), ref
