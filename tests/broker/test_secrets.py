"""Secrets come by reference only, and leave in no text."""

import base64
import copy
import html
import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from oberonc import redaction
from oberonc.broker import secrets
from oberonc.config import Service
from oberonc.errors import ConfigError, NotAllowed, OberoncError
from oberonc.redaction import Secret
from tests.support.admin import Admin


def _resolve(**settings: object) -> dict[str, object]:
    return secrets.resolve(
        Service(name="s", broker="b", settings=settings, origin="file.toml")
    )


def test_every_kind_of_reference_is_resolved(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "from env")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "cred").write_text("from systemd\n")
    file = admin.secret("token", "from file\n")
    found = _resolve(
        a="env:TOKEN",
        b=f"file:{file}",
        c="cred:cred",
        d="cmd:echo 'from cmd'",
        e=["env:TOKEN", {"f": "x"}],
    )
    assert found == {
        "a": "from env",
        "b": "from file",
        "c": "from systemd",
        "d": "from cmd",
        "e": ["from env", {"f": "x"}],
    }
    assert all(isinstance(found[key], Secret) for key in "abcd")
    assert _resolve(a="file:~/token") == {"a": "from file"}


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602, 0o666])
def test_a_file_that_others_may_read_or_change_is_refused(
    admin: Admin, mode: int
) -> None:
    file = admin.secret("token", "x")
    file.chmod(mode)
    with pytest.raises(
        NotAllowed,
        match=rf"file.toml: services.s.token: others may .* chmod 600 {file}",
    ):
        _resolve(token=f"file:{file}")


def test_a_group_of_trusted_readers_is_fine(admin: Admin) -> None:
    file = admin.secret("token", "x")
    file.chmod(0o640)
    assert _resolve(token=f"file:{file}") == {"token": "x"}


@pytest.mark.parametrize(
    "reference",
    [
        "env:MISSING",
        "env:",
        "env:A\0B",
        "file:",
        "file:relative",
        "file:./x",
        "file:/missing/file",
        "file:/a\0b",
        "file:/",
        "file:/dev/null",
        "cred:none",
        "cred:../x",
        "cmd:",
        "cmd:false",
        "cmd:/missing/program",
        "cmd:'",
        "cmd:printf 'a\\nb'",
        "cmd:true",
    ],
)
def test_a_reference_to_nothing_is_one_line_that_names_the_setting(
    reference: str,
) -> None:
    with pytest.raises(OberoncError) as caught:
        _resolve(token=reference)
    assert "file.toml: services.s.token" in str(caught.value)
    assert caught.value.exit_code in (77, 78)


def test_a_fifo_does_not_hold_a_push(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="not a plain file"):
        _resolve(token=f"file:{tmp_path / 'fifo'}")


def test_a_file_that_is_not_text_or_too_long_is_refused(admin: Admin) -> None:
    file = admin.secret("token", "x" * (secrets.LONGEST + 1))
    with pytest.raises(ConfigError):
        _resolve(token=f"file:{file}")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        _resolve(token=f"file:{file}")


def test_a_command_does_not_see_the_repository_of_the_push(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    assert _resolve(token="cmd:sh -c 'echo x$GIT_DIR'") == {"token": "x"}


def test_what_a_failing_command_printed_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        _resolve(token="cmd:sh -c 'echo half-a-secre\"t\"; exit 3'")
    assert "half-a-secret" not in str(caught.value)


def test_a_secret_is_a_text_whose_repr_hides_it() -> None:
    secret = Secret("s3cret")
    assert json.dumps({"a": secret}) == '{"a": "s3cret"}'
    assert f"{secret} %s" % secret == "s3cret s3cret"
    assert "s3cret" not in repr({"a": secret})
    copied = copy.deepcopy([secret])[0]
    assert copied == "s3cret"
    assert isinstance(copied, Secret)


def test_the_wire_keeps_what_is_secret_and_what_is_not() -> None:
    value = {"a": Secret("x"), "b": ["y", Secret("z")], "c": {"d": 1, "e": None}}
    back = secrets.from_wire(json.loads(json.dumps(secrets.to_wire(value))))
    assert back == value
    assert isinstance(back["a"], Secret)
    assert isinstance(back["b"][1], Secret)
    assert not isinstance(back["b"][0], Secret)
    assert redaction.secrets_in(back) == ["x", "z"]


def test_longer_secrets_are_redacted_first() -> None:
    assert redaction.redact("abcd abc", ["abc", "abcd"]) == "*** ***"


def test_the_beginning_of_a_secret_at_a_cut_is_taken_away() -> None:
    assert redaction.redact("so it is: hunt", ["hunter2"], cut=True) == "so it is: "
    assert redaction.redact("so it is: hunt", ["hunter2"]) == "so it is: hunt"
    assert redaction.redact("aba", ["abac", "b"], cut=True) == "a***"


def test_a_whole_value_is_redacted_without_breaking_it() -> None:
    assert redaction.redact_all(
        {"a": ['say "x"', True], "b": None}, ["x", "true", '"']
    ) == {
        "a": ["say *********", True],
        "b": None,
    }


def test_settings_for_showing_keep_references_and_hide_what_careless_hands_wrote() -> (
    None
):
    shown = secrets.masked(
        {
            "token": "env:X",
            "api_key": "abc",
            "password": Secret("p"),
            "keyword": "fine",
            "url": "https://ann:pw@example.org/x",
            "deep": {"Client-Secret": ["one", "file:/x"]},
            "count": 3,
        }
    )
    assert shown == {
        "token": "env:X",
        "api_key": "***",
        "password": "***",
        "keyword": "fine",
        "url": "https://***@example.org/x",
        "deep": {"Client-Secret": ["***", "file:/x"]},
        "count": 3,
    }


AWKWARD = "pä/ss\"w+o'rd<&> %4=="


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda s: s, id="as it is"),
        pytest.param(json.dumps, id="JSON"),
        pytest.param(
            lambda s: json.dumps(s, ensure_ascii=False), id="JSON with letters"
        ),
        pytest.param(lambda s: json.dumps(s).replace("/", "\\/"), id="JSON of PHP"),
        pytest.param(repr, id="Python"),
        pytest.param(html.escape, id="HTML"),
        pytest.param(quote, id="path"),
        pytest.param(lambda s: quote(s, safe=""), id="part of a path"),
        pytest.param(lambda s: quote(s, safe="").lower(), id="lower case"),
        pytest.param(quote_plus, id="form"),
        pytest.param(lambda s: f"x://b:{quote(s, safe='')}@h", id="address"),
        *(
            pytest.param(
                lambda s, user=user: base64.b64encode(f"{user}:{s}".encode()).decode(),
                id=f"basic {user}",
            )
            for user in ("", "a", "ab", "abc", "oauth2")
        ),
        pytest.param(
            lambda s: base64.urlsafe_b64encode(f"x:{s}:y".encode()).decode(),
            id="base64 for addresses",
        ),
    ],
)
def test_a_secret_is_redacted_in_every_form_it_comes_back_in(
    form: Callable[[str], str],
) -> None:
    for secret in (AWKWARD, "hunter2hunter2", "ghp_0123456789abcdef"):
        written = form(secret)
        shown = redaction.redact(f"it said {written}, twice {written}", [secret])
        assert shown.count("***") == 2
        # What is left of it is shorter than what stood around the secret, and tells
        # nothing.
        assert all(
            written[place : place + 10] not in shown
            for place in range(8, len(written) - 10)
        )


def test_the_beginning_of_any_form_at_a_cut_is_taken_away() -> None:
    for form in redaction.forms(AWKWARD):
        for end in range(8, len(form)):
            assert form[:8] not in redaction.redact(
                f"so: {form[:end]}", [AWKWARD], cut=True
            )


def test_a_long_secret_at_a_cut_costs_no_more_than_its_length() -> None:
    assert redaction.redact("a" * 60_000, ["a" * 60_001], cut=True) == ""


def test_passwords_in_addresses_and_what_is_written_in_place_of_a_reference_are_secrets() -> (
    None
):
    settings = {
        "url": "https://bot:p%2Fw@example.org/x",
        "deep": [{"hook": "http://:t0ken@h"}],
        "token": "plainly-written",
        "password": "short",
        "project": "PROJECT-KEY",
    }
    assert redaction.secrets_in(settings) == [
        "p%2Fw",
        "p/w",
        "t0ken",
        "t0ken",
        "plainly-written",
    ]
    assert (
        redaction.without_userinfo("https://bot:pw@example.org/x@y")
        == "https://example.org/x@y"
    )
