"""Who may hand in, who may read what, whom it is said to be: on a server with real
accounts.
"""

import pytest

from tests.system.server import Server


def test_a_member_of_three_hundred_groups_submits(server: Server) -> None:
    server.sh(
        "for n in $(seq 300); do echo g$n:x:$((5000 + n)):ann; done >> /etc/group"
    )
    assert len(server.sh("ssh ann id -G", user="desk").out.split()) > 300
    said = server.push("ann", "app", "ann")
    assert said.line.startswith("queued"), said.text
    server.row(said)


def test_an_outsider_is_told_which_group_to_join_and_then_loses_nothing(
    server: Server,
) -> None:
    """Git let the push in, so the line must not say that anything was delivered when it
    was not.
    """
    said = server.push("eve", "app", "eve")
    assert "oberonc-submit" in said.line, said.text
    assert not said.line.startswith(("queued", "spooled"))
    server.sh("usermod -aG oberonc-submit eve")
    joined = server.push("eve", "app", "eve")
    assert joined.line.startswith("queued"), joined.text
    server.row(joined)


def test_who_handed_in_is_stamped_by_the_daemon(server: Server) -> None:
    server.down()
    spooled = server.push("ann", "app", "ann")
    server.up()
    uid = int(server.sh("id -u ann").out)
    for said in (spooled, server.push("ann", "app", "ann")):
        row = server.row(said)
        assert (row["submitter"], row["user"]) == ({"uid": uid, "name": "ann"}, "ann")


def test_nobody_names_somebody_else(server: Server) -> None:
    """A pusher may set any variable for git; only accounts that run git for others are
    believed.
    """
    for name in (
        "OBERONC_USER",
        "GL_USER",
        "GITEA_PUSHER_NAME",
        "GL_USERNAME",
        "REMOTE_USER",
    ):
        server.authorize(
            "ann",
            "ann",
            f'command="export {name}=root; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\""',
        )
        assert server.row(server.push("ann", "app", "ann"))["user"] == "ann", name


def test_what_lies_in_the_spool_is_nobody_elses(server: Server) -> None:
    server.down()
    said = server.push("ann", "app", "ann")
    (file,) = server.sh("find /var/spool/oberonc/new -type f").out.split()
    for who in ("bob", "eve"):
        for attempt in (
            f"rm -f {file}",
            f"mv {file} /tmp/",
            f"echo x >> {file}",
            f"ln {file} /tmp/{who}",
        ):
            server.sh(attempt, None, user=who)
        assert server.sh(f"cat {file}", None, user=who).code != 0
        assert server.sh("ls /var/spool/oberonc/new", None, user=who).code != 0
    server.up()
    server.row(said)
    assert (
        server.sh(
            "find /var/spool/oberonc -type d -printf '%m %U:%G %p\\n'", user="oberonc"
        ).code
        == 0
    )


#: Commands that only look, for each who may: exit codes of an administrator, of a
#: pusher, of an outsider.
LOOKS = {
    "oberonc stats": (0, 77, 77),
    "oberonc queue list": (0, 77, 77),
    "oberonc brokers": (0, 0, 0),
    "oberonc config": (0, 0, 0),
    "oberonc hook status /srv/git/app.git": (0, 0, 0),
    "oberonc doctor": (None, 0, None),
}


@pytest.mark.parametrize("line", LOOKS)
def test_looking(server: Server, line: str) -> None:
    server.row(server.push("ann", "app", "ann"))
    before = _owners(server)
    for who, code in zip(("admin", "ann", "eve"), LOOKS[line], strict=True):
        said = server.sh(line, None, user=who)
        assert code in (None, said.code), f"{who}: {line}: {said}"
        assert len(said.err.splitlines()) <= (1 if said.code == 77 else 20), said.err
    server.sh(line, None)
    assert _owners(server) == before, "a command that only looks made something"


def _owners(server: Server) -> str:
    places = "/var/lib/oberonc /var/spool/oberonc /etc/oberonc /run/oberonc /home"
    beside = "-name 'queue.sqlite*' -o -path '*/generations*' -o -path '*/desk/*'"
    return server.sh(
        f"find {places} -not \\( {beside} \\) -printf '%u %m %p\\n' | sort"
    ).out


def test_each_sees_what_became_of_a_push(server: Server) -> None:
    said = server.push("ann", "app", "ann")
    server.row(said)
    for who in ("admin", "ann"):
        shown = server.sh(f"oberonc log {said.short}", user=who)
        assert "recorder" in shown.out and "done" in shown.out, who


def test_administrators_administer_and_pushers_do_not(server: Server) -> None:
    server.sh("oberonc reload", user="admin")
    assert "oberonc-admin" in server.sh("oberonc reload", 77, user="ann").err
    server.sh("oberonc queue pause recorder", user="admin")
    said = server.push("ann", "app", "ann")
    assert server.sh("oberonc queue resume recorder", 77, user="eve").out == ""
    server.sh("oberonc queue resume recorder", user="admin")
    server.row(said)


def test_a_backup_is_where_the_command_says(server: Server) -> None:
    """The service has a /tmp of its own, and may write in its state folder only."""
    said = server.sh("oberonc backup /var/backups/queue.sqlite", 65, user="admin")
    assert said.err.endswith("the daemon can write below /var/lib/oberonc\n"), said.err
    assert (
        "name a file below /var/lib/oberonc"
        in server.sh("oberonc backup /tmp/queue.sqlite", 1).err
    )
    server.sh("oberonc backup /var/lib/oberonc/admins.sqlite", user="admin")
    server.sh(
        "oberonc backup /var/lib/oberonc/roots.sqlite && test -s /var/lib/oberonc/roots.sqlite"
    )


def test_a_pushers_own_configuration_changes_nothing(server: Server) -> None:
    for text in (
        'delivery = "here"\n',
        "not toml at all",
        '[daemon]\nsocket = "/tmp/mine.sock"\nspool = "/tmp"\n',
    ):
        server.machine.write("/home/ann/.config/oberonc/config.toml", text, owner="ann")
        said = server.push("ann", "app", "ann")
        assert said.line.startswith("queued"), said.text
        server.row(said)


BROKEN = {
    "an unknown key": "sed -i '1i wrong = 1' /etc/oberonc/config.toml",
    "no TOML": "echo '[[[' >> /etc/oberonc/config.toml",
    "writable by everybody": "chmod 0666 /etc/oberonc/config.toml",
    "of another account": "chown eve /etc/oberonc/config.toml",
    "unreadable": "chmod 0600 /etc/oberonc/config.toml",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_configuration_loses_no_push_and_is_told(
    server: Server, what: str
) -> None:
    server.sh("cp -p /etc/oberonc/config.toml /root/good.toml")
    server.sh(BROKEN[what])
    said = server.push("ann", "app", "ann")
    assert "config.toml" in said.line and "queued 1 commit" in said.line, said.text
    server.row(said)
    server.sh("oberonc stats", user="admin")
    server.sh("systemctl stop oberonc.socket oberonc-control.socket oberonc.service")
    spooled = server.push("bob", "app", "bob")
    assert "config.toml" in spooled.line and "spooled 1 commit" in spooled.line, (
        spooled.text
    )
    server.sh("cp -p /root/good.toml /etc/oberonc/config.toml")
    server.up()
    server.row(spooled)
