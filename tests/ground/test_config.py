"""The configuration: layers, origins, and one line for everything that is wrong with
it.
"""

import os
from pathlib import Path

import pytest

from oberonc import config, layers, paths
from oberonc.errors import ConfigError, NotAllowed
from tests.support.admin import Admin
from tests.support.command import Command


def _load(tmp_path: Path, text: str) -> config.Config:
    file = tmp_path / "given.toml"
    file.write_text(text)
    return config.load(str(file))


def test_without_a_file_there_is_one_service_on_the_embedded_tracker(
    admin: Admin,
) -> None:
    found = admin.load()
    assert found.delivery == "here"
    assert {name: service.broker for name, service in found.services.items()} == {
        "issues": "issues"
    }
    assert (found.state, found.spool, found.files, found.sources) == (
        admin.state,
        admin.state / "spool",
        (),
        {},
    )


def test_later_layers_win_key_by_key_and_the_origin_is_known(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # /etc is the machine's
    monkeypatch.setattr("oberonc.paths.SYSTEM", tmp_path / "etc")
    monkeypatch.delenv("OBERONC_CONFIG_NOSYSTEM")
    (tmp_path / "etc").mkdir()
    system = tmp_path / "etc" / "config.toml"
    system.write_text(
        f'publish = ["main"]\nstate = "{tmp_path}/a"\ndaemon.workers = 2\ndaemon.keep = 3\nlimits.commits = 5\n'
    )
    user = admin.configure('state = "/srv/b"\ndaemon.workers = 4\n')
    named = tmp_path / "named.toml"
    named.write_text('delivery = "daemon"\n')
    monkeypatch.setenv("OBERONC_CONFIG", str(named))
    found = admin.load()
    assert found.files == (str(system), str(user), str(named))
    assert (found.publish, str(found.state), found.delivery) == (
        ("main",),
        "/srv/b",
        "daemon",
    )
    assert (found.daemon.workers, found.daemon.keep, found.limits.commits) == (
        4,
        3 * config.DAY,
        5,
    )
    assert found.sources["daemon.keep"] == str(system)
    assert found.sources["daemon.workers"] == found.sources["state"] == str(user)
    monkeypatch.setenv("OBERONC_CONFIG", "")
    assert admin.load().files == (str(system), str(user))


def test_a_service_belongs_to_the_last_file_that_has_it_whole(
    admin: Admin, tmp_path: Path
) -> None:
    admin.configure(
        '[services.a]\nbroker = "issues"\ntoken = "env:SECRET"\n[services.b]\nbroker = "issues"\n'
    )
    found = _load(
        tmp_path, '[services.a]\nbroker = "issues"\nurl = "https://elsewhere.example"\n'
    )
    assert found.services["a"].settings == {"url": "https://elsewhere.example"}
    assert found.services["a"].origin == str(tmp_path / "given.toml")
    assert found.services["b"].origin == str(admin.folder / "config.toml")


def test_an_empty_services_table_means_none(tmp_path: Path) -> None:
    assert _load(tmp_path, "[services]\n").services == {}


def test_folders_may_begin_with_the_home(tmp_path: Path, home: Path) -> None:
    found = _load(
        tmp_path,
        'state = "~/s"\nbrokers.directories = ["~/b", "/srv/b"]\ndaemon.socket = "~/x/s.sock"\n',
    )
    assert (found.state, found.spool) == (home / "s", home / "s" / "spool")
    assert found.directories == (str(home / "b"), "/srv/b")
    assert (found.daemon.socket, found.daemon.control) == (
        home / "x" / "s.sock",
        home / "x" / "control.sock",
    )


BAD = [
    ("delivry = 'here'", "unknown key 'delivry'; did you mean 'delivery'?"),
    ("[daemon]\nworker = 1", "unknown key 'daemon.worker'; did you mean 'workers'?"),
    ("[limits]\ncommit = 1", "unknown key 'limits.commit'; did you mean 'commits'?"),
    (
        "[brokers]\ndirectory = []",
        "unknown key 'brokers.directory'; did you mean 'directories'?",
    ),
    ("[service.a]\nbroker = 'x'", "unknown key 'service'; did you mean 'services'?"),
    ("[services.a]\nbrokr = 'x'", "'services.a' names no broker"),
    (
        "[services.a]\nbroker = 'x'\nevents = ['pushes']",
        "'services.a.events' is 'pushes'; it must be one of push, tag, delete, dead",
    ),
    (
        "[services.a]\nbroker = 'x'\nevents = []",
        "'services.a.events' is empty: the service gets nothing",
    ),
    ("[services]\na = 3", "'services.a' must be a table"),
    ("services = 3", "'services' must be a table"),
    ("daemon = []", "'daemon' must be a table"),
    ("delivery = 3", "'delivery' must be text"),
    ("delivery = 'there'", "'delivery' is 'there'; it must be one of here, daemon"),
    ("publish = 'main'", "'publish' must be a list of texts"),
    ("publish = [1]", "'publish' must be a list of texts"),
    (
        "state = 'relative'",
        "'state' must be an absolute path or begin with ~/, not 'relative'",
    ),
    ("spool = '../x'", "'spool' must be an absolute path"),
    ('state = "/a\\u0000b"', "'state' must be an absolute path"),
    ('state = "/a\\nb"', "'state' must be an absolute path"),
    ("brokers.directories = ['./b']", "'brokers.directories' must be an absolute path"),
    ("daemon.socket = 'x.sock'", "'daemon.socket' must be an absolute path"),
    ("daemon.workers = 0", "'daemon.workers' must be between 1 and 1000, not 0"),
    ("daemon.workers = true", "'daemon.workers' must be a whole number"),
    ("daemon.workers = 1.5", "'daemon.workers' must be a whole number"),
    ("daemon.keep = -1", "'daemon.keep' must be between 0 and 36500, not -1"),
    ("daemon.keep = nan", "'daemon.keep' must be between 0 and 36500, not nan"),
    (
        "daemon.stop_timeout = inf",
        "'daemon.stop_timeout' must be between 0 and 86400, not inf",
    ),
    ("limits.commits = 0", "'limits.commits' must be between 1 and 8192, not 0"),
    (
        "limits.bytes = 9000000",
        "'limits.bytes' must be between 1 and 8388608, not 9000000",
    ),
    (
        "[services.a]\nbroker = 'x'\ntimeout = 0",
        "'services.a.timeout' must be a number of seconds above 0",
    ),
    (
        "[services.a]\nbroker = 'x'\nhold = -1",
        "'services.a.hold' must be a number of seconds above 0",
    ),
    (
        "[services.a]\nbroker = 'x'\ntimeout = nan",
        "'services.a.timeout' must be a number of seconds above 0",
    ),
    (
        "[services.a]\nbroker = 'x'\nhold = inf",
        "'services.a.hold' must be a number of seconds above 0",
    ),
    ("[services.a]\nbroker = 'x'\norder = 'any'", "'services.a.order' is 'any'"),
    ("[services.a]\nbroker = 'x'\nrate = 3", "'services.a.rate' must be text"),
    (
        "[services.a]\nbroker = 'x'\nrate = '3 per hour'",
        "'services.a.rate' must be so many in a time, such as \"1/s\"",
    ),
    (
        "[services.a]\nbroker = 'x'\nrate = '0/s'",
        "'services.a.rate' must be so many in a time",
    ),
    (
        "[services.a]\nbroker = 'x'\nmax_age = '0s'",
        "'services.a.max_age' must be a time such as \"6h\"",
    ),
    (
        "[services.a]\nbroker = 'x'\nmax_age = '6 h'",
        "'services.a.max_age' must be a time such as \"6h\"",
    ),
    (
        "[services.a]\nbroker = 'x'\ndigest = '2d'",
        "'services.a.digest' must be a time such as \"5m\"",
    ),
    (
        "[services.a]\nbroker = 'x'\ncollapse = 'branch'",
        "'services.a.collapse' must be \"ref\", not 'branch'",
    ),
    (
        "[services.a]\nbroker = 'x'\norder = 'none'\ncollapse = 'ref'",
        "'services.a.collapse' needs an order",
    ),
    (
        "[services.a]\nbroker = 'x'\norder = 'none'\ndigest = '5m'",
        "'services.a.digest' needs an order",
    ),
    (
        "[services.a]\nbroker = 'x'\ndigest = '5m'\nmax_age = '5m'",
        "'services.a.max_age' must be longer than `digest`",
    ),
    (
        "[services.a]\nbroker = 'x'\nrefs = 'main'",
        "'services.a.refs' must be a list of texts",
    ),
    ("[services.a]\nbroker = 3", "'services.a.broker' must be text"),
    (
        "[services.a]\nbroker = 'x'\nsince = 2026-01-01",
        "'services.a.since' is a date or time: write it in quotes",
    ),
    (
        "[services.a]\nbroker = 'x'\ndeep = {at = [07:30:00]}",
        "'services.a.deep.at' is a date or time",
    ),
    ('[services."a b"]\nbroker = "x"', "service name 'a b' must be 1 to 64 letters"),
    ('[services."../../x"]\nbroker = "x"', "service name '../../x' must be"),
    ('[services.""]\nbroker = "x"', "service name '' must be"),
    ('[services."\\u001b[31m"]\nbroker = "x"', "service name '\\x1b[31m' must be"),
    ("x = = 1", "is not valid TOML: Invalid value (at line 1, column 5)"),
    ("a = " + "[" * 50_000, "is not valid TOML: it is nested too deep"),
    ("a = " + "9" * 5_000, "is not valid TOML: Exceeds the limit"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_named_with_its_file(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'given.toml'}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_fault_is_blamed_on_the_file_that_has_it(
    admin: Admin, tmp_path: Path
) -> None:
    user = admin.configure("[daemon]\nwokers = 3\n")
    with pytest.raises(ConfigError, match=rf"^{user}: unknown key 'daemon.wokers'"):
        _load(tmp_path, "[daemon]\nworkers = 3\n")
    admin.configure("daemon.keep = -1\ndaemon.workers = 3\n")
    with pytest.raises(ConfigError, match=rf"^{user}: 'daemon.keep'"):
        _load(tmp_path, "daemon.workers = 4\n")


def test_files_that_cannot_be_used_are_named(admin: Admin, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"cannot read the configuration .*none\.toml: No such file"
    ):
        config.load(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="it is a folder and not a file"):
        config.load(str(tmp_path))
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load(str(tmp_path / "latin.toml"))
    admin.configure("").chmod(0o646)
    with pytest.raises(NotAllowed, match="can be written by everybody: chmod o-w"):
        admin.load()


def test_a_hook_and_a_command_say_the_same_fault_each_in_its_way(
    admin: Admin, oberonc: Command
) -> None:
    admin.configure("delivry = 'here'")
    said = oberonc("config", code=78)
    assert said.err.startswith("oberonc: ")
    assert "did you mean 'delivery'?" in said.err
    assert said.err.count("\n") == 1
    assert (
        oberonc("--config", admin.home / "none", "config", code=78).err.count("\n") == 1
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_home_that_may_not_be_looked_into_has_no_configuration(admin: Admin) -> None:
    admin.configure("delivry = 'here'")
    admin.home.chmod(0o700)
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.setuid(54321)
        os._exit(0 if layers.read(paths.homes()) == [] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_authors_is_a_filter_as_a_list_and_a_setting_of_the_broker_as_a_table(
    home: Path,
) -> None:
    file = home / "authors.toml"
    file.write_text(
        '[services.a]\nbroker = "issues"\nauthors = ["!*bot*"]\n'
        '[services.b]\nbroker = "issues"\n[services.b.authors]\n"ann@example.org" = "ann"\n'
    )
    services = config.load(str(file)).services
    assert (services["a"].authors, services["a"].settings) == (("!*bot*",), {})
    assert (services["b"].authors, services["b"].settings) == (
        (),
        {"authors": {"ann@example.org": "ann"}},
    )
