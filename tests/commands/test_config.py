"""`oberonc config`: what is in force, where it came from, and no secret."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from oberonc.commands.config import command
from tests.support.admin import Admin
from tests.support.command import Command


def test_values_and_their_origins_are_shown(admin: Admin, oberonc: Command) -> None:
    file = admin.configure(
        "daemon.workers = 3\n[services.a]\nbroker = 'issues'\nrefs = ['main']\n"
    )
    said = oberonc("config", "--json").json
    assert said["daemon.workers"] == {"value": 3, "from": str(file)}
    assert said["publish"] == {"value": ["HEAD"], "from": "default"}
    assert said["services.a.refs"] == {"value": ["main"], "from": str(file)}
    done = oberonc("config")
    assert f"daemon.workers = 3  ({file})" in done.out
    assert done.err == f"read: {file}\n"


def test_secrets_are_references_or_stars(admin: Admin, oberonc: Command) -> None:
    admin.configure(
        "[services.a]\nbroker = 'x'\ntoken = 'env:CANARY'\npassword = 'canary'\nurl = 'https://u:canary@h/'\n"
    )
    for args in (["config"], ["config", "--json"]):
        out = oberonc(*args, env={"CANARY": "canary"}).out
        assert "canary" not in out
        assert "env:CANARY" in out


def test_without_a_file_the_defaults_are_named_as_such(oberonc: Command) -> None:
    done = oberonc("config")
    assert done.err == "read: no file; these are the defaults\n"
    assert "services.issues.broker = 'issues'  (the default configuration)" in done.out


def test_files_that_do_not_count_in_a_servers_hooks_are_named_with_the_reason(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oberonc.paths.SYSTEM", tmp_path)
    monkeypatch.delenv("OBERONC_CONFIG_NOSYSTEM")
    (tmp_path / "config.toml").write_text("user_config = false\n")
    file = admin.configure("hook_budget = 2.5\n")
    done = CliRunner().invoke(command, [])
    assert f"read: {tmp_path / 'config.toml'}, {file}\n" in done.output
    assert (
        f"left out in a server's hooks: {file} (`user_config = false` in {tmp_path / 'config.toml'})"
        in done.output
    )
    assert f"hook_budget = 2.5  ({file})" in done.output
