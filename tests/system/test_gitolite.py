"""Debian's gitolite3: its common hook folder, repository-specific hooks, and
repositories that come with a push.
"""

from collections.abc import Iterator

import pytest

from tests.support.blocks import commands
from tests.system.server import PUSHERS, Server

HOME = "/var/lib/gitolite3"
CONF = """
repo gitolite-admin
    RW+ = admin
repo shop
    RW+ = ann bob
repo attic
    RW+ = ann bob
repo wild/CREATOR/..*
    C   = ann bob
    RW+ = CREATOR
"""


def gitolite(server: Server, script: str) -> str:
    """Run *script* as gitolite's account."""
    return server.run("su", "-s", "/bin/sh", "-l", "gitolite3", "-c", script).out


@pytest.fixture
def served(server: Server) -> Iterator[Server]:
    """gitolite as Debian sets it up, with two people and their repositories."""
    key = server.machine.path("/home/desk/.ssh/admin.pub").read_text().strip()
    server.run(
        "debconf-set-selections", stdin=f"gitolite3 gitolite3/adminkey string {key}\n"
    )
    # Debian names the administrator `admin`, and makes account and home.
    server.sh(
        "DEBIAN_FRONTEND=noninteractive dpkg-reconfigure gitolite3 && usermod -p '*' gitolite3"
    )
    server.run("usermod", "-aG", "oberonc-submit", "gitolite3")
    config = server.machine.path("/home/desk/.ssh/config")
    hosts = (
        f"Host gl-{name}\n  User gitolite3\n  IdentityFile ~/.ssh/{name}\n"
        for name in ("admin", *PUSHERS)
    )
    config.write_text("".join(hosts) + config.read_text())
    server.sh("git clone -q gl-admin:gitolite-admin ~/gitolite-admin", user="desk")
    for name in PUSHERS:
        server.sh(f"cp ~/.ssh/{name}.pub ~/gitolite-admin/keydir/", user="desk")
    configure(server, CONF)
    yield server


def configure(server: Server, text: str) -> None:
    """Push a configuration to gitolite's own repository."""
    server.machine.write(
        "/home/desk/gitolite-admin/conf/gitolite.conf", text, owner="desk"
    )
    server.sh(
        "cd ~/gitolite-admin && git add -A && git commit -qm 'who may what' && git push -q",
        user="desk",
    )


def push(server: Server, who: str, repository: str) -> dict[str, object]:
    """Push from a fresh clone; what the broker was given of it."""
    clone = f"{repository.replace('/', '-')}-gl-{who}"
    server.sh(
        f"[ -d ~/{clone} ] || git clone -q gl-{who}:{repository} ~/{clone}", user="desk"
    )
    said = server.push(f"gl-{who}", repository.replace("/", "-"), "main")
    assert said.line.startswith("queued"), said.text
    row = server.row(said)
    assert (row["repo"], row["user"]) == (repository, who)
    assert row["submitter"]["name"] == "gitolite3"
    return row


def test_the_common_hook_serves_every_repository_also_one_that_comes_with_a_push(
    served: Server,
) -> None:
    for script in commands("hooks.md", "gitolite: all repositories"):
        gitolite(served, script)
    push(served, "ann", "shop")
    push(served, "bob", "attic")
    push(served, "bob", "wild/bob/first")
    assert "installed" in gitolite(
        served, "oberonc hook status ~/repositories/shop.git"
    )


def test_a_repository_specific_hook_serves_those_that_ask_for_it(
    served: Server,
) -> None:
    served.sh(
        """
        cd /etc/gitolite3
        sed -i "s/# 'repo-specific-hooks',/'repo-specific-hooks',/; s/# \\(LOCAL_CODE .*HOME\\)/\\1/" gitolite.rc
        grep -q "^ *'repo-specific-hooks'," gitolite.rc && grep -q '^ *LOCAL_CODE .*HOME}/local"' gitolite.rc
        """
    )
    for script in commands("hooks.md", "gitolite: chosen repositories"):
        gitolite(served, script)
    configure(
        served,
        CONF.replace("repo shop", "repo shop\n    option hook.post-receive = oberonc"),
    )
    push(served, "ann", "shop")
    assert "installed, for all" in gitolite(
        served, "oberonc hook status ~/repositories/shop.git"
    )
    served.sh("git clone -q gl-ann:attic ~/attic-gl-ann", user="desk")
    assert served.push("gl-ann", "attic", "main").line == ""
