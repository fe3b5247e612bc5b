"""The settings of the broker: documented, checked without a network, one example for
each tracker.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from brokers.issues import Issues
from oberonc import Secret
from oberonc.broker.contract import settings_fields
from oberonc.issues.trackers import CLASSES, load
from oberonc.testing.world import broker, commit, payload

PAGE = (Path(__file__).parents[3] / "docs" / "trackers.md").read_text()


def examples() -> dict[str, dict[str, Any]]:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    return {
        name: table
        for block in blocks
        for name, table in tomllib.loads(block)["services"].items()
    }


def test_every_setting_and_tracker_is_documented() -> None:
    for name in settings_fields(Issues.Settings):
        assert f"`{name}`" in PAGE, name
    for kind in CLASSES:
        assert f"`{kind}`" in PAGE or f'"{kind}"' in PAGE, kind


def test_every_kind_of_tracker_has_an_example() -> None:
    kinds = {load(table["tracker"]) for table in examples().values()}
    assert kinds >= {load(kind) for kind in CLASSES if kind != "trac-ticketrpc"}


@pytest.mark.parametrize("name", list(examples()))
def test_an_example_closes_an_issue_as_it_stands(name: str, tmp_path: Path) -> None:
    settings = {
        key: value for key, value in examples()[name].items() if key != "broker"
    }
    secrets = {
        key: Secret("x")
        for key, value in settings.items()
        if str(value).startswith("file:")
    }
    made = broker(settings | secrets, tmp_path)
    kind = load(settings["tracker"])
    issue = f"{kind.sign}1"
    if kind.numbering == "key":
        issue = f"{settings['project']}-1"
    plan = made.plan(payload(commit(f"fixes {issue}")))
    assert plan == [f"close {issue} for {commit('')['node']}"]


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"tracker": "gitub"},
        "tracker = 'gitub' is not one of local, .*did you mean 'github'",
    ),
    ({"tracker": "github"}, "tracker = 'github' needs the setting token"),
    ({"tracker": "redmine", "url": "https://x"}, "needs the setting token or password"),
    (
        {"tracker": "redmine", "url": "redmine.example.org", "token": "x"},
        "url must be an address such as",
    ),
    (
        {"tracker": "jira", "url": "https://x", "token": "x"},
        "needs the setting project",
    ),
    ({"authors_by_mail": True}, "tracker = 'local' finds nobody by their mail address"),
    ({"other_refs": "close"}, "other_refs must be one of '', 'reference', not 'close'"),
    ({"mentions": "yes"}, "mentions must be one of '', 'comment'"),
    ({"markup": "rtf"}, "markup must be one of"),
    ({"template": "${nope}"}, "there is no .*nope"),
    ({"words": {"clsoe": []}}, "unknown key 'clsoe'"),
    ({"import_abov": 3}, "unknown setting 'import_abov'; did you mean 'import_above'"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_settings_that_make_no_sense_are_refused_at_reload(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        broker(settings, tmp_path)
