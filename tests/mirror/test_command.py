"""`oberonc mirror`, run as people and timers run it."""

import os
from pathlib import Path

import pytest

from oberonc.delivery import spool
from tests.mirror.conftest import Mirrored
from tests.support.accounts import STRANGER, needs_root
from tests.support.admin import Admin
from tests.support.command import Command
from tests.support.terminal import on_terminal


@pytest.fixture
def configured(shop: Mirrored, admin: Admin, tmp_path: Path) -> Mirrored:
    """A configuration with the webhook of *shop*, and a mirror that has one commit."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("sesame")
    admin.configure(
        f'[webhooks.shop]\nforge = "github"\nsecret = "file:{secret}"\nmirror = true\n'
        f'repositories = ["web/*"]\nurl = "{shop.forge.url}"\ntoken = "file:{secret}"'
    )
    shop.forge.password = "sesame"
    shop.clone.commit("base")
    shop.clone.push("main")
    return shop


def test_a_mirror_is_added_listed_and_fetched(
    configured: Mirrored, oberonc: Command
) -> None:
    assert oberonc("mirror", "list").err == "there are no mirrors\n"
    assert oberonc("mirror", "add", "shop", "web/shop").out == "web/shop: nothing new\n"
    configured.clone.commit("missed")
    configured.clone.push("main")
    (row,) = oberonc("mirror", "fetch", "--json").json
    assert row["error"] is None
    assert [event["commits"] for event in row["told"]] == [1]
    (path,) = spool.listing(configured.config.spool)
    assert spool.read(path)["payload"]["id"] == row["told"][0]["id"]
    assert oberonc("mirror", "fetch", "web/shop").out == "web/shop: nothing new\n"
    (shown,) = oberonc("mirror", "list", "--json").json
    assert (shown["repository"], shown["webhook"]) == ("web/shop", "shop")
    assert (shown["error"], shown["waits"]) == (None, False)
    assert shown["fetched"].endswith("Z")
    assert "sesame" not in str(shown)
    assert "web/shop  shop  fetched 2" in oberonc("mirror", "list").out


def test_what_failed_is_said_for_each_and_the_others_are_fetched(
    configured: Mirrored, oberonc: Command
) -> None:
    configured.forge.make("web/other")
    oberonc("mirror", "add", "shop", "web/shop")
    oberonc("mirror", "add", "shop", "web/other")
    (configured.forge.folder / "web" / "other.git").rename(
        configured.forge.folder / "x"
    )
    configured.clone.commit("missed")
    configured.clone.push("main")
    done = oberonc("mirror", "fetch", code=1)
    assert "web/shop: 1 commit" in done.out
    assert "web/other: git fetch from 127.0.0.1: " in done.err
    assert "oberonc: 1 mirror could not be fetched" in done.err
    listed = {
        row["repository"]: row for row in oberonc("mirror", "list", "--json").json
    }
    assert listed["web/shop"]["error"] is None
    assert "git fetch from 127.0.0.1" in listed["web/other"]["error"]
    looked = oberonc("doctor", code=1).out
    assert "FAIL  mirror of web/other: git fetch from 127.0.0.1: " in looked
    assert "mend: put right what is named, then: oberonc mirror fetch web/" in looked
    assert "ok    mirror of web/shop: fetched 2" in looked


def test_what_is_not_there_is_named(configured: Mirrored, oberonc: Command) -> None:
    oberonc("mirror", "add", "shop", "web/shop")
    for args, words in (
        (("fetch", "web/none"), "there is no mirror of 'web/none'"),
        (("add", "none", "web/shop"), "no webhook 'none' with mirror = true"),
        (("add", "shop", "other/x"), "the webhook shop is not for 'other/x'"),
    ):
        assert words in oberonc("mirror", *args, code=65).err
    assert "is no name" in oberonc("mirror", "add", "shop", "web/..", code=65).err


@needs_root
def test_another_accounts_mirrors_are_left_alone(
    configured: Mirrored, oberonc: Command, state: Path
) -> None:
    oberonc("mirror", "add", "shop", "web/shop")
    os.chown(state / "web", STRANGER, -1)
    assert "run this as that account" in oberonc("mirror", "fetch", code=77).err


def test_a_terminal_sees_how_far_it_is(configured: Mirrored, oberonc: Command) -> None:
    oberonc("mirror", "add", "shop", "web/shop")
    shown = on_terminal([*oberonc.argv, "mirror", "fetch"], cwd=Path("/"))
    assert "100%" in shown.text
    assert "nothing new" in shown.text
