"""The files of the configuration: which count, who may have written them, and what can
be known of a broken one.
"""

import grp
import os
from pathlib import Path

import pytest

from oberonc import config, layers, paths
from oberonc.errors import ConfigError, NotAllowed
from tests.support.admin import Admin
from tests.support.command import Command

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to give a file to somebody else"
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, short_dir: Path) -> Path:
    """The machine's file; its daemon's folders are there too."""
    monkeypatch.delenv("OBERONC_CONFIG_NOSYSTEM")
    short_dir.chmod(0o755)  # where everybody may look, as in /etc
    for name in ("SYSTEM", "SOCKETS", "SPOOL"):
        (short_dir / name).mkdir()
        monkeypatch.setattr(f"oberonc.paths.{name}", short_dir / name)
    return short_dir / "SYSTEM" / "config.toml"


def _salvaged(text: str) -> object:
    return layers._salvaged(text)


def test_a_broken_line_takes_no_other_with_it() -> None:
    text = 'delivery = "daemon\nspool = "/s"\n[daemon]\nsocket = "/x.sock"\nworkers = = 3\nkeep = 3\n'
    assert _salvaged(text) == {
        "spool": "/s",
        "daemon": {"socket": "/x.sock", "keep": 3},
    }


def test_lists_and_texts_of_many_lines_are_read_whole() -> None:
    text = (
        'publish = [\n  "main",\n  "v*",\n]\nbroken =\nspool = '
        '"/s"\n[services.a]\ntemplate = """\nspool = "/no"\n"""\n'
    )
    assert _salvaged(text) == {
        "publish": ["main", "v*"],
        "spool": "/s",
        "services": {"a": {"template": 'spool = "/no"\n'}},
    }


@pytest.mark.parametrize(
    "text",
    [
        'x = """\nspool = "/no"\n',
        "x = '''\nspool = \"/no\"\n[daemon]\nsocket = '/no'\n",
        '[services.a\nspool = "/no"\n',
        '[services."a]\nspool = "/no"\n',
        'services.a]\nspool = "/no"\n',
        'ok = 1\nservices.a]\nspool = "/no"\n',
        '[[[]\nspool = "/no"\n',
    ],
)
def test_what_may_belong_elsewhere_is_not_believed(text: str) -> None:
    assert "/no" not in str(_salvaged(text))


def test_of_two_words_for_one_thing_the_first_counts() -> None:
    assert _salvaged('spool = "/one"\nspool = "/two"\n') == {"spool": "/one"}


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link", "not UTF-8"])
def test_what_is_no_file_in_a_files_place_is_named_and_hangs_nobody(
    admin: Admin, kind: str
) -> None:
    file = admin.configure("")
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "dangling link":
        file.symlink_to("nowhere")
    else:
        file.write_bytes(b"# \xe9\n")
    with pytest.raises(ConfigError, match=str(file)):
        config.load()
    assert str(file) in config.learn().fault


@needs_root
@pytest.mark.parametrize("owner", [0, 54321])
def test_a_file_is_read_only_where_its_owner_is_the_reader_or_root(
    admin: Admin, owner: int, oberonc: Command
) -> None:
    file = admin.configure('delivery = "daemon"\n')
    os.chown(file, owner, -1)
    if owner == 0:
        assert config.load().delivery == "daemon"
        return
    with pytest.raises(
        NotAllowed,
        match="belongs to uid 54321 and not to root, so it is not read: chown it",
    ):
        config.load()
    assert "belongs to uid 54321" in oberonc("config", code=77).err
    assert config.learn().delivery == "here"  # nothing of it is believed


@needs_root
def test_a_reader_believes_their_own_file_and_not_a_third_persons(
    short_dir: Path,
) -> None:
    short_dir.chmod(0o755)
    files = {owner: short_dir / f"{owner}.toml" for owner in (0, 54321, 54322)}
    for owner, file in files.items():
        file.write_text("")
        os.chown(file, owner, -1)
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.setuid(54321)
        believed = [
            owner
            for owner, file in files.items()
            if layers.read(paths.homes(), str(file))[-1].fault is None
        ]
        os._exit(0 if believed == [0, 54321] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_root
def test_a_machines_file_does_not_count_for_who_can_hand_nothing_in_there(
    machine: Path, short_dir: Path
) -> None:
    spool, state = short_dir / "SPOOL", short_dir / "state"
    machine.write_text(
        f'delivery = "daemon"\nspool = "{spool}"\nstate = "{state}"\n'
        f'[daemon]\nsocket = "{short_dir}/SOCKETS/submit.sock"\n'
    )
    spool.chmod(0o710)
    os.chown(spool, 0, 5)
    (spool / "new").mkdir()
    (spool / "new").chmod(0o3733)

    def seen() -> str:
        found = config.learn()
        own = layers.read(paths.homes())[0].left_out
        in_server = config.learn(server_hook=True)
        assert (in_server.delivery, in_server.spool) == ("daemon", spool)
        if not own:
            return f"{found.delivery} {found.spool}"
        assert (found.files, found.daemon.socket.parent) == ((), found.state)
        return f"{found.delivery}: {own}"

    assert seen() == f"daemon {spool}"
    assert grp.getgrgid(5)  # loaded here, for a child that may read no library
    for groups, right in (
        ([5], f"daemon {spool}"),
        ([], f"here: uid 54321 may write neither its spool {spool} nor its sockets; "),
    ):
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                os.setgroups(groups)
                os.setgid(54321)
                os.setuid(54321)
                os._exit(0 if seen().startswith(right) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, right


@needs_root
@pytest.mark.parametrize("hidden", ["file", "folder"])
def test_a_machines_file_that_may_not_be_read_is_a_fault_and_not_no_file(
    machine: Path, hidden: str
) -> None:
    machine.write_text('delivery = "daemon"\n')
    (machine if hidden == "file" else machine.parent).chmod(
        0o600 if hidden == "file" else 0o700
    )
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.setuid(54321)
        found = config.learn(server_hook=True)
        right = "Permission denied" in found.fault and (
            found.delivery,
            found.spool.name,
        ) == ("daemon", "SPOOL")
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_machine_can_say_that_users_layers_do_not_count_in_its_hooks(
    admin: Admin, machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine.write_text('delivery = "daemon"\nuser_config = false\n')
    admin.configure('delivery = "here"\nspool = "/mine"\n')
    (tmp_path / "named.toml").write_text('state = "/mine"\n')
    monkeypatch.setenv("OBERONC_CONFIG", str(tmp_path / "named.toml"))
    in_hook = config.learn(server_hook=True)
    assert (in_hook.delivery, in_hook.files, in_hook.user_brokers) == (
        "daemon",
        (str(machine),),
        False,
    )
    assert str(in_hook.spool) != "/mine"
    elsewhere = config.learn()
    assert (elsewhere.delivery, str(elsewhere.spool), elsewhere.user_brokers) == (
        "here",
        "/mine",
        True,
    )
    admin.configure("nonsense")
    assert not config.learn(server_hook=True).fault
    machine.write_text('delivery = "daemon"\n')
    assert "nonsense" not in config.learn(server_hook=True).fault
    assert config.learn(server_hook=True).fault


def test_where_the_machine_may_have_said_so_users_layers_do_not_count_either(
    admin: Admin, machine: Path
) -> None:
    admin.configure('delivery = "here"\nspool = "/mine"\n')
    machine.write_text('delivery = "daemon"\nuser_config = flase\n')
    found = config.learn(server_hook=True)
    assert (found.delivery, found.spool.name) == ("daemon", "SPOOL")


@pytest.mark.parametrize(
    "text", [None, "", "# nothing yet\n"], ids=["missing", "empty", "comments"]
)
def test_a_machines_file_that_says_nothing_takes_no_push_from_the_machines_daemon(
    machine: Path, short_dir: Path, text: str | None
) -> None:
    """As while an editor writes it; a pusher's own folder is no place for a push to a
    server.
    """
    if text is not None:
        machine.write_text(text)
    assert config.learn(server_hook=True).delivery == "here", "there is no daemon"
    (short_dir / "SOCKETS" / "submit.sock").touch()
    found = config.learn(server_hook=True)
    assert found.fault.startswith(f"{machine} is missing or empty")
    assert (found.delivery, found.spool, found.services) == (
        "daemon",
        short_dir / "SPOOL",
        {},
    )
    assert not found.publish_known
    assert not config.learn().fault, "what is no server's hook needs no machine's file"


def test_where_somebodys_file_says_something_the_machines_may_be_missing(
    admin: Admin, machine: Path, short_dir: Path
) -> None:
    (short_dir / "SOCKETS" / "submit.sock").touch()
    admin.configure('delivery = "here"\n')
    assert not config.learn(server_hook=True).fault
    machine.write_text('delivery = "daemon"\n')
    assert not config.learn(server_hook=True).fault


@pytest.mark.parametrize("nosystem", ["", "1"])
def test_the_machines_file_is_that_also_where_config_names_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch, nosystem: str
) -> None:
    """The daemon's unit does."""
    monkeypatch.setenv("OBERONC_CONFIG_NOSYSTEM", nosystem)
    machine.write_text("user_config = false\n")
    assert config.load(str(machine)).user_config is False


def test_only_the_machines_file_may_say_user_config(admin: Admin) -> None:
    file = admin.configure("user_config = false\n")
    with pytest.raises(
        ConfigError, match=rf"^{file}: 'user_config' is for the machine's file"
    ):
        config.load()


FAULTS = {
    "unknown key": "unknown = 1\n",
    "unknown daemon key": "[daemon]\nworker = 1\n",
    "wrong type": "publish = 'main'\n",
    "wrong value": "daemon.workers = 0\n",
    "broken": "= =\n",
    "unclosed": "state = '/x\n",
    "broken service": "[services.a]\nbrokr = 'x'\n",
    "broken table": "[services.a\nbroker = 'x'\n",
    "services as a number": "services = 3\n",
}


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS.keys())
def test_what_is_good_by_itself_is_known_of_a_broken_file(
    machine: Path, text: str
) -> None:
    our = machine.parent  # where this account may hand in
    good = f'delivery = "daemon"\nspool = "{our}/spool"\npublish = ["release/*"]\nhook_budget = 3\n'
    socket = f'socket = "{our}/s.sock"\n'
    faulty = (
        text.replace("[daemon]\n", f"[daemon]\n{socket}")
        if "[daemon]" in text
        else f"daemon.{socket}{text}"
    )
    machine.write_text(good + faulty)
    found = config.learn()
    assert str(machine) in found.fault
    assert (found.delivery, str(found.spool), str(found.daemon.socket)) == (
        "daemon",
        f"{our}/spool",
        f"{our}/s.sock",
    )
    assert (found.publish, found.hook_budget, found.services) == (("release/*",), 3, {})


def test_a_key_that_is_lost_is_as_the_machine_was_set_up(
    machine: Path, short_dir: Path
) -> None:
    machine.write_text('delivry = "daemon"\nspol = "/our/spool"\n')
    found = config.learn()
    assert (found.delivery, found.spool, found.daemon.socket) == (
        "daemon",
        short_dir / "SPOOL",
        short_dir / "SOCKETS" / "submit.sock",
    )


def test_without_the_machines_file_its_daemons_places_are_nobodys(
    machine: Path, short_dir: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of what is broken, and for root."""
    monkeypatch.setenv("OBERONC_CONFIG_NOSYSTEM", "1")
    for text in ("", "unknown = 1\n"):
        file = home / ".config" / "oberonc" / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        found = config.learn()
        assert found.delivery == "here"
        assert short_dir not in found.spool.parents
        assert short_dir not in found.daemon.socket.parents


def test_a_key_that_was_never_there_is_what_it_always_was(
    machine: Path, tmp_path: Path
) -> None:
    """A fault elsewhere does not move the spool that hangs on `state`."""
    (tmp_path / "state" / "spool").mkdir(parents=True)
    for fault in (
        "limits.commits = 0\n",
        "unknown = 1\n",
        "[services.a]\nbrokr = 'x'\n",
    ):
        machine.write_text(
            f'delivery = "daemon"\nstate = "{tmp_path / "state"}"\n{fault}'
        )
        assert config.learn().spool == tmp_path / "state" / "spool"
