"""The contract: settings are checked, secrets stay secrets, get_local makes things
once.
"""

import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

import oberonc
from oberonc import BaseBroker, Reject, Retry, Secret, testing
from oberonc.broker import given
from oberonc.broker.contract import checked_settings, settings_fields


class Settings:
    url: str
    token: Secret | None = None
    count: int = 3
    ratio: float = 0.5
    names: list[str] = []  # noqa: RUF012
    table: dict[str, str] = {}  # noqa: RUF012
    anything: Any = None
    flag: bool = False
    _private: str = "x"


def test_defaults_are_filled_in() -> None:
    found = checked_settings(Settings, {"url": "u"})
    assert vars(found) == {
        "url": "u",
        "token": None,
        "count": 3,
        "ratio": 0.5,
        "names": [],
        "table": {},
        "anything": None,
        "flag": False,
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "setting 'url' is missing"),
        ({"url": "u", "tokn": "x"}, "unknown setting 'tokn'; did you mean 'token'?"),
        (
            {"url": "u", "repositores": []},
            "unknown setting 'repositores'; did you mean 'repositories'?",
        ),
        ({"url": "u", "_private": "x"}, "unknown setting '_private'"),
        ({"url": 3}, "setting 'url' must be str, not int"),
        ({"url": "u", "token": "plain"}, "setting 'token' is a secret: give env:NAME"),
        ({"url": "u", "count": True}, "setting 'count' must be int, not bool"),
        ({"url": "u", "count": 1.5}, "setting 'count' must be int, not float"),
        ({"url": "u", "names": "a"}, "setting 'names' must be list, not str"),
        ({"url": "u", "names": ["a", 1]}, r"setting 'names\[1\]' must be str, not int"),
        ({"url": "u", "table": {"A": 1}}, "setting 'table.A' must be str, not int"),
        ({"url": "u", "flag": 1}, "setting 'flag' must be bool, not int"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        checked_settings(Settings, given)


class Kinds:
    """A setting of each kind that there is."""

    stage: Literal["live", "test", 3] = "test"
    folder: Path = Path("/srv")
    words: tuple[str, ...] = ()
    ports: set[int] = set()  # noqa: RUF012
    limits: dict[str, list[float]] = {}  # noqa: RUF012
    hosts: list[dict[str, str]] | None = None
    keys: list[Secret] | Secret | None = None


def test_each_kind_of_setting_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    given = {
        "stage": 3,
        "folder": "~/deploy",
        "words": ["a", "b"],
        "ports": [80, 80],
        "limits": {"x": [1, 2.5]},
        "hosts": [{"name": "one"}],
        "keys": [Secret("k")],
    }
    assert vars(checked_settings(Kinds, given)) == given | {
        "folder": Path("/home/ann/deploy"),
        "words": ("a", "b"),
        "ports": {80},
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stage": "prod"}, "'stage' must be 'live' or 'test' or 3, not 'prod'"),
        ({"folder": 5}, "'folder' must be str, not int"),
        ({"ports": [80, "81"]}, "'ports[1]' must be int, not str"),
        ({"limits": {"x": [True]}}, "'limits.x[0]' must be float, not bool"),
        ({"hosts": [{"name": 1}]}, "'hosts[0].name' must be str, not int"),
        ({"keys": ["plain"]}, "'keys[0]' is a secret: give env:NAME"),
        ({"keys": "plain"}, "'keys' is a secret: give env:NAME"),
    ],
)
def test_the_part_of_a_setting_that_does_not_fit_is_named(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        checked_settings(Kinds, given)


def test_settings_may_be_a_dataclass_or_a_named_tuple() -> None:
    @dataclass(slots=True)
    class Data:
        url: str
        count: int = 2
        tags: list[str] = field(default_factory=list)

    class Named(NamedTuple):
        url: str
        number: int = 2

    assert vars(checked_settings(Data, {"url": "u"})) == {
        "url": "u",
        "count": 2,
        "tags": [],
    }
    assert vars(checked_settings(Named, {"url": "u"})) == {"url": "u", "number": 2}
    for kind in (Data, Named):
        with pytest.raises(ValueError, match="'url' is missing"):
            checked_settings(kind, {})


def test_numbers_and_secrets_fit_where_they_are_meant() -> None:
    found = checked_settings(
        Settings,
        {
            "url": Secret("hidden in a url"),
            "ratio": 2,
            "token": Secret("t"),
            "anything": [1],
        },
    )
    assert (found.ratio, found.anything) == (2.0, [1])
    assert isinstance(found.ratio, float)
    assert isinstance(found.url, Secret)
    assert isinstance(found.token, Secret)


def test_a_broker_without_settings_gets_what_there_is() -> None:
    assert vars(checked_settings(None, {"a": 1})) == {"a": 1}
    assert settings_fields(None) == {}


def test_bind_gives_service_settings_and_state_and_verifies() -> None:
    class Broker(BaseBroker):
        Settings = Settings

        def verify(self) -> None:
            if self.settings.url == "bad":
                raise ValueError("no such place")

    broker = Broker()
    broker.bind("svc", {"url": "u"}, Path("/state"))
    assert (broker.service, broker.common_state, broker.settings.url) == (
        "svc",
        Path("/state"),
        "u",
    )
    with pytest.raises(ValueError, match="no such place"):
        Broker().bind("svc", {"url": "bad"}, Path("/state"))


def test_get_local_makes_one_per_name_and_thread() -> None:
    broker = BaseBroker()
    made: list[object] = []

    def ask() -> None:
        made.append(broker.get_local("opener", object))

    ask()
    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert made[0] is made[1]
    assert made[2] is not made[0]
    assert broker.get_local("other", object) is not made[0]
    assert BaseBroker().get_local("opener", object) is not made[0]


def test_retry_and_reject_carry_what_the_policy_needs() -> None:
    assert str(Retry()) == "again later"
    assert str(Retry(after=2.5)) == "again in 2.5 s"
    retry = Retry("busy", after=7, progress=True)
    assert (str(retry), retry.after, retry.progress) == ("busy", 7, True)
    assert str(Reject("never")) == "never"
    with pytest.raises(NotImplementedError):
        BaseBroker().handle({})


class Chat(BaseBroker):
    class Settings:
        url: Secret
        token: Secret | None = None
        ca: str = ""


def test_a_broker_has_a_client_that_names_no_secret(tmp_path: Path) -> None:
    with testing.Server(testing.Answer(404, "no hook s3cr3t-path")) as server:
        address = f"{server.url}/hooks/s3cr3t-path?key=k3y-value"
        broker = testing.bound(Chat, tmp_path, url=address, token="t0ken-value")
        client = broker.http(headers={"Authorization": "Bearer t0ken-value"})
        with pytest.raises(Reject) as caught:
            client.call("POST", address + "&wait=true", json={"a": 1})
    assert not re.search("s3cr3t|k3y|t0ken", str(caught.value)), caught.value
    assert "404" in str(caught.value)
    assert server.requests[0].headers["authorization"] == "Bearer t0ken-value"


def test_the_client_of_a_broker_ends_within_the_time_that_is_left(
    tmp_path: Path,
) -> None:
    broker = testing.bound(Chat, tmp_path, url="http://127.0.0.1:9/x")
    broker._deadline = time.monotonic()
    with pytest.raises(Retry):
        broker.http().call("GET", "http://127.0.0.1:9/x")


def test_a_broker_that_does_not_say_plans_nothing(tmp_path: Path) -> None:
    broker = testing.bound(Chat, tmp_path, url="http://x")
    assert broker.plan(testing.payload()) == []


class Keeper(BaseBroker):
    timeout = 7

    def handle(self, payload: Any) -> str:
        (self.state / "kept").write_text("once")
        return f"{self.remaining():.0f}"


def test_each_service_has_a_folder_of_its_own_made_when_it_is_asked_for(
    tmp_path: Path,
) -> None:
    one, two = Keeper(), Keeper()
    one.bind("one", {}, tmp_path)
    two.bind("../two", {}, tmp_path)
    assert not (tmp_path / "services").exists()
    one.handle({})
    assert two.state.parent == one.state.parent == tmp_path / "services"
    assert one.state != two.state
    assert one.state.stat().st_mode & 0o777 == 0o700
    assert (one.state / "kept").read_text() == "once"


def test_a_broker_may_call_something_of_its_own_state() -> None:
    broker = Keeper()
    broker.state = Path("/its/own")
    assert broker.state == Path("/its/own")


def test_outside_a_delivery_the_time_that_remains_is_the_class_limit(
    tmp_path: Path,
) -> None:
    broker = testing.bound(Keeper, tmp_path)
    assert 6 < broker.remaining() <= 7
    assert broker.remaining() < 7
    assert testing.deliver(Keeper, testing.payload(), tmp_path).note == "60"


def test_the_type_of_a_payload_has_the_keys_that_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "payload.md").read_text()
    known = {
        "## The payload\n": given.Payload,
        "## `repository`": given.Repository,
        "## `updates[]`": given.Update,
        "## `commits[]`": given.Commit,
    }
    for head, kind in known.items():
        rows = page.partition(head)[2].partition("\n## ")[0]
        keys = set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE))
        if kind is given.Payload:
            keys |= {"broker", "service", "delivery_id", "attempt", "order"}
            keys |= {"dead", "dead_total"}
        assert keys == set(kind.__annotations__), head


def test_secrets_of_a_test_may_be_a_list_or_a_table(tmp_path: Path) -> None:
    class Keys(BaseBroker):
        class Settings:
            keys: list[Secret]
            named: dict[str, Secret]

        def handle(self, payload: Any) -> str:
            return f"{self.settings.keys} {self.settings.named['a']}"

    done = testing.deliver(
        Keys, testing.payload(), tmp_path, keys=["first"], named={"a": "second"}
    )
    assert done == ("done", "[Secret('***')] ***", None, False, "")


def test_the_names_of_the_interface_are_listed_for_who_types_them() -> None:
    assert set(oberonc.__all__) <= set(dir(oberonc))
