"""What would happen is said without letting it happen."""

import os

from oberonc.admin import preview
from oberonc.admin.doctor.examine import examine
from oberonc.broker import registry
from tests.brokers_for_tests import source
from tests.support.admin import Admin, sample


def test_each_service_says_whether_it_would_act_and_how(admin: Admin) -> None:
    admin.handle(
        "plans", "open(DONE, 'w')", "def plan(self, payload):\n    return ['one', 2]"
    )
    admin.handle("none", "open(DONE, 'w')")
    admin.handle(
        "fails",
        "open(DONE, 'w')",
        "def plan(self, payload):\n    raise ValueError('no')",
    )
    admin.handle("odd", "open(DONE, 'w')", "def plan(self, payload):\n    return 5")
    admin.configure(
        "".join(
            f"[services.{name}]\nbroker = '{name}'\n"
            for name in ("plans", "none", "fails", "odd", "gone")
        )
        + "[services.other]\nbroker = 'plans'\nrepositories = ['other/*']\n"
        + "[services.secret]\nbroker = 'plans'\nkey = 'env:MISSING'\n"
    )
    rows = preview.plan(admin.load(), sample())
    assert rows["plans"] == (True, "matches", ["one", "2"])
    assert rows["none"].plan == []
    assert rows["fails"].plan == ["ValueError: no (fails.py:4)"]
    assert "TypeError" in rows["odd"].plan[0]
    assert "is not there" in rows["gone"].plan[0]
    assert rows["other"].matches is False
    assert "the environment has no MISSING" in rows["secret"].plan[0]
    assert not admin.done.exists()


def test_the_sample_is_a_payload_and_the_default_service_checks_out(
    admin: Admin,
) -> None:
    assert preview.sample()["schema"] == 1
    config = admin.load()
    found = preview.check(config, registry.find(config), config.services["issues"])
    assert found[0] == (True, "broker 'issues' loads and takes the settings", "")
    assert all(ok for ok, _, _ in found)


def test_all_services_are_asked_at_the_same_time(admin: Admin) -> None:
    names = ("one", "two")
    for name in names:
        admin.broker(name, source("meeting"), head="")
    os.mkfifo(admin.brokers / "meeting")
    admin.configure("".join(f"[services.{n}]\nbroker = '{n}'\n" for n in names))
    rows = preview.plan(admin.load(), sample())
    assert [row.plan for row in rows.values()] == [["meet"], ["meet"]]
    told = [each for each in examine(None) if each.what.startswith("service ")]
    assert [each.ok for each in told] == [True, True]
