"""What the configuration may say of the HTTP face."""

import re
import subprocess
from pathlib import Path

import pytest

from oberonc import config
from oberonc.errors import ConfigError
from oberonc.web import settings

DOC = Path(__file__).parents[2] / "docs" / "web.md"


def read(tmp_path: Path, text: str) -> settings.Settings:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("sesame\n")
    file = tmp_path / "config.toml"
    file.write_text(text.replace("SECRET", f"file:{secret}"))
    return settings.read(config.load(str(file)))


def test_the_configuration_of_the_documentation_is_good(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert example
    text = re.sub(r"file:[^\"]+", "SECRET", example[1])
    made = read(tmp_path, text)
    assert made.webhooks["shop"].secrets == ("sesame",)
    assert made.webhooks["shop"].repositories == ("web/*",)
    assert made.listen == ("127.0.0.1", 8649)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[web]\nlisten = "0.0.0.0:8649"', "is no loopback address"),
        ('[web]\nlisten = "somewhere"', "must be ADDRESS:PORT"),
        ('[web]\nlisten = "127.0.0.1:99999"', "must be ADDRESS:PORT"),
        ("[web]\nlisten = 8649", "must be text"),
        ('[web]\nlistne = "x"', "is unknown; did you mean 'listen'"),
        ('[web]\nkey = "/dev/null"', "both 'certificate' and 'key'"),
        ('[web]\ncertificate = "/none"', "cannot be read: /none"),
        ('[webhooks.a]\nforge = "gihub"\nsecret = "SECRET"', "must be one of"),
        ('[webhooks.a]\nforge = "github"', "has no secret: anybody could send"),
        ('[webhooks.a]\nforge = "github"\nsecret = []', "has no secret"),
        ('[webhooks.a]\nforge = "github"\nsecret = "env:NONE"', "a.secret: the env"),
        (
            '[webhooks.a]\nforge = "bitbucket"\nsecret = "SECRET"',
            "needs default_branch",
        ),
        ('[webhooks."a b"]\nforge = "github"\nsecret = "SECRET"', "webhook name"),
        ('[webhooks.a]\nforge = "github"\nsecret = "SECRET"\nrefs = []', "unknown"),
        (
            '[webhooks.a]\nforge = "github"\nsecret = "SECRET"\nrepositories = [1]',
            "texts",
        ),
        ("[webhooks]\na = 5", "must be a table"),
        ('[webhooks.a]\nforge = "github"\nsecret = "/etc/a"', "say where it is"),
        ('[web.tokens.a]\ntoken = "/etc/oberonc/a"', "a.token must say where it is"),
        (
            '[web.tokens.a]\ntoken = "SECRET"\n[web.tokens.b]\ntoken = "SECRET"',
            "web.tokens.b and web.tokens.a have the same token",
        ),
        ('[web]\nuser_header = "X-User"', "it needs behind_proxy = true"),
        (
            '[web]\nbehind_proxy = true\nuser_header = "X User"',
            "the name of a header",
        ),
        ('[web]\nusers = { ann = "read" }', "needs user_header"),
        (
            '[web]\nbehind_proxy = true\nuser_header = "X"\nusers = { ann = "king" }',
            "'ann' must have one of the roles submit, read, operate, admin",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_key(
    tmp_path: Path, text: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)) as raised:
        read(tmp_path, text)
    assert "sesame" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_certificate_is_read_before_anybody_asks(tmp_path: Path) -> None:
    def made(*words: str) -> tuple[Path, Path]:
        files = tmp_path / f"{words[0]}.pem", tmp_path / f"{words[0]}.key"
        command = f"openssl req -x509 -newkey rsa:2048 -subj /CN={words[0]} -days 2"
        where = ["-out", str(files[0]), "-keyout", str(files[1])]
        subprocess.run(
            [*command.split(), *where, *words], check=True, capture_output=True
        )
        return files

    def said(certificate: Path, key: Path) -> str:
        text = f'[web]\ncertificate = "{certificate}"\nkey = "{key}"'
        with pytest.raises(ConfigError) as raised:
            read(tmp_path, text)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    plain, other = made("-nodes"), made("-passout", "pass:sesame")
    assert "no certificate and its key" in said(plain[0], tmp_path)
    assert "no certificate and its key" in said(plain[1], plain[1])
    assert "KEY_VALUES_MISMATCH" in said(other[0], plain[1])
    assert "'web.key' names a key with a passphrase" in said(*other)
    text = f'[web]\ncertificate = "{plain[0]}"\nkey = "{plain[1]}"'
    assert read(tmp_path, text).is_secure


def test_an_address_for_others_wants_tls_or_a_proxy(tmp_path: Path) -> None:
    made = read(tmp_path, '[web]\nlisten = "[::]:8649"\nbehind_proxy = true')
    assert made.listen == ("::", 8649)
    assert read(tmp_path, '[web]\nlisten = "/run/x/web.sock"').listen == Path(
        "/run/x/web.sock"
    )


def test_sourcehut_needs_no_secret(tmp_path: Path) -> None:
    made = read(tmp_path, '[webhooks.srht]\nforge = "sourcehut"')
    assert made.webhooks["srht"].secrets == (settings.SOURCEHUT,)
