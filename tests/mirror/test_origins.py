"""What the configuration may say of a mirror."""

import re
from pathlib import Path

import pytest

from oberonc import config
from oberonc.errors import ConfigError, OberoncError
from oberonc.mirror import origins
from oberonc.mirror.origins import Origin
from oberonc.web import settings

USUAL = '[webhooks.a]\nforge = "gitea"\nsecret = "SECRET"\nmirror = true\n'
HERE = 'repositories = ["web/*"]\nurl = "https://git.example.org/{repository}.git"\n'


def read(tmp_path: Path, text: str) -> Origin | None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("sesame\n")
    file = tmp_path / "config.toml"
    file.write_text(
        text.replace("SECRET", f"file:{secret}").replace("FILE", f"{secret}")
    )
    loaded = config.load(str(file))
    found = settings.read(loaded).webhooks["a"].origin
    assert origins.read(loaded) == ({"a": found} if found else {})
    return found


def test_a_forge_that_has_one_place_needs_no_url(tmp_path: Path) -> None:
    text = (
        USUAL.replace("gitea", "github") + 'repositories = ["web/*"]\ntoken = "SECRET"'
    )
    made = read(tmp_path, text)
    assert made
    assert made.address("web/shop") == "https://github.com/web/shop.git"
    assert (made.user, made.token, made.scheme) == ("x-access-token", "sesame", "https")
    assert "sesame" not in repr(made)


def test_owner_and_name_may_stand_apart(tmp_path: Path) -> None:
    text = (
        'repositories = ["web/*"]\nurl = "https://dev.azure.com/us/{owner}/_git/{name}"'
    )
    made = read(tmp_path, USUAL + text)
    assert made
    assert made.address("web/a b") == "https://dev.azure.com/us/web/_git/a%20b"


def test_the_folder_that_systemd_made_is_found_without_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = config.load()._replace(state_folder=str(tmp_path / "oberonc"))
    assert origins.state_folder(loaded) == tmp_path / "oberonc" / "web"
    (tmp_path / "oberonc-web").mkdir()
    assert origins.state_folder(loaded) == tmp_path / "oberonc-web"
    monkeypatch.setenv("STATE_DIRECTORY", "/run/web")
    assert origins.state_folder(loaded) == Path("/run/web")


def test_ssh_wants_the_hosts_key(tmp_path: Path) -> None:
    text = 'repositories = ["*"]\nurl = "ssh://git@git.example.org:22/{repository}"\n'
    with pytest.raises(ConfigError, match="needs known_hosts"):
        read(tmp_path, USUAL + text)
    made = read(tmp_path, USUAL + text + 'known_hosts = "FILE"\nssh_key = "FILE"')
    assert made
    assert made.known_hosts == str(tmp_path / "secret")


def test_a_folder_of_this_machine_is_fetched_from_where_it_is_said(
    tmp_path: Path,
) -> None:
    text = 'repositories = ["*"]\nurl = "file:///srv/git/{repository}.git"'
    made = read(tmp_path, USUAL + text)
    assert made
    assert made.scheme == "file"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "needs repositories: whoever knows its secret"),
        ("repositories = []", "needs repositories"),
        ('repositories = ["*"]', "needs url, where its repositories are"),
        (HERE + 'token = "sesame"', "must say where the token is"),
        (HERE + 'token = "env:NONE"', "webhooks.a.token: the environment has no NONE"),
        (HERE + "user = 5", "webhooks.a.user must be text"),
        (HERE + 'ssh_key = "x"', "must be the path of a file that can be read"),
        (HERE + 'known_hosts = "/none/x"', "must be the path of a file"),
        (HERE.replace("https", "http"), "would send credentials in clear"),
        (HERE.replace("https", "git"), "must begin with https://, ssh://"),
        (HERE.replace("https", "ext"), "must begin with https://, ssh://"),
        (HERE.replace("//git", "//me:sesame@git"), "has credentials in it"),
        (HERE.replace("{repository}", "x"), "must have {repository} in it"),
        (HERE.replace("git.e", "{repository}"), "must"),
        (HERE.replace("//git", "//-oProxy=x"), "must begin with"),
        (HERE.replace("example", "exam ple"), "must begin with"),
        (HERE.replace("org/", "org:port/"), "is no address"),
        (HERE.replace("https://git.example.org", "git@host:"), "must begin with"),
        (
            HERE.replace("https", "ssh") + 'token = "SECRET"',
            "token is for https, and its url is ssh",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_key(
    tmp_path: Path, text: str, fault: str
) -> None:
    with pytest.raises(OberoncError, match=re.escape(fault)) as raised:
        read(tmp_path, USUAL + text)
    assert "sesame" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_keys_of_a_mirror_without_one_are_a_slip(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="url is of use with mirror = true alone"):
        read(tmp_path, USUAL.replace("mirror = true", "") + HERE)
    with pytest.raises(ConfigError, match="mirror must be true or false"):
        read(tmp_path, USUAL.replace("mirror = true", "mirror = 1") + HERE)
    own = USUAL.replace("gitea", "oberonc")
    with pytest.raises(ConfigError, match="is of no use: oberonc sends whole"):
        read(tmp_path, own + HERE)
