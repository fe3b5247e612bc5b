"""Pushes of forges that are unlike the examples: made of these, as each forge makes
them.
"""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from oberonc import config as configuration
from oberonc.config import Config
from oberonc.errors import BadInput
from oberonc.payload.schema import Payload
from oberonc.web import incoming
from oberonc.web.forges import delivery
from oberonc.web.forges.push import NOTHING, Nothing, moment
from oberonc.web.incoming import NAMELESS, Webhook
from tests.support.webhooks import Example, example

IDS = [f"{number:040x}" for number in range(1, 10)]


class Ledger:
    """Knows the commits *oids* from earlier pushes."""

    def __init__(self, oids: Sequence[str]) -> None:
        self._oids = oids

    def first_came(self, _event: str, stamp: str) -> str:
        return stamp

    def seen(self, _repository: str, oids: Sequence[str], _event: str) -> set[str]:
        return set(oids) & set(self._oids)


@pytest.fixture
def config() -> Config:
    return configuration.load()


def read(
    each: Example, body: Any, config: Config, seen: Sequence[str] = ()
) -> Payload | Nothing:
    branch = "main" if each.forge in NAMELESS else ""
    webhook = Webhook("shop", each.forge, each.secrets, (), branch)
    raw = json.dumps(body).encode()
    request = delivery.received(each.headers.items(), raw)
    return incoming.read(webhook, request, config, Ledger(seen))


def payload(
    each: Example, body: Any, config: Config, seen: Sequence[str] = ()
) -> Payload:
    made = read(each, body, config, seen)
    assert not isinstance(made, Nothing), made.why
    return made


def azure(moves: list[tuple[str, str, str]], commits: list[tuple[str, str]]) -> Any:
    """What Azure DevOps sends of *moves* (ref, old, new) and *commits* (id, date of the
    committer).
    """
    body = json.loads(example("azure/push").raw)
    body["subscriptionId"] = "3cff100b-52db-48fe-a774-7d51e24dd183"
    body["resource"]["repository"]["defaultBranch"] = "refs/heads/main"
    body["resource"]["refUpdates"] = [
        {"name": ref, "oldObjectId": old, "newObjectId": new} for ref, old, new in moves
    ]
    author = {"name": "Ann", "email": "a@example.org", "date": "2024-01-09T00:00:00Z"}
    body["resource"]["commits"] = [
        {
            "commitId": oid,
            "author": author,
            "committer": author | {"date": date},
            "comment": f"fixes #{int(oid, 16)}",
        }
        for oid, date in commits
    ]
    return body


DAYS = [f"2024-02-0{day}T10:00:00Z" for day in range(1, 9)]


def test_what_azure_lists_of_several_branches_is_published_where_that_is_known(
    config: Config,
) -> None:
    one, two, tip, other, before = IDS[:5]
    moves = [("refs/heads/topic", before, other), ("refs/heads/main", before, tip)]
    commits = list(zip([one, two, tip, other], DAYS, strict=False))
    made = payload(example("azure/push"), azure(moves, commits), config)
    # Whose `one` and `two` are nobody says: they close nothing.
    assert made["published"] == [tip]
    assert {entry["raw_node"]: entry["branch"] for entry in made["commits"]} == {
        one: "topic",
        two: "topic",
        tip: "main",
        other: "topic",
    }
    assert made["truncated"]
    # With tags, with branches that are gone or are at the same commit there is no doubt.
    moves = [
        ("refs/heads/main", before, tip),
        ("refs/heads/stable", before, tip),
        ("refs/heads/topic", other, NOTHING),
        ("refs/tags/v1", NOTHING, tip),
    ]
    made = payload(example("azure/push"), azure(moves, commits[:3]), config)
    assert made["published"] == [one, two, tip]
    assert not made["truncated"]


def test_where_all_branches_publish_all_that_azure_lists_is_published(
    config: Config,
) -> None:
    one, tip, other, before = IDS[:4]
    moves = [("refs/heads/next", before, other), ("refs/heads/main", before, tip)]
    commits = list(zip([one, tip, other], DAYS, strict=False))
    config = config._replace(publish=("refs/heads/*",))
    made = payload(example("azure/push"), azure(moves, commits), config)
    assert sorted(made["published"]) == sorted([one, tip, other])


def test_commits_of_azure_end_with_the_tip_whatever_their_authors_dates_are(
    config: Config,
) -> None:
    one, two, tip, before = IDS[:4]
    moves = [("refs/heads/main", before, tip)]
    # a clock of the committer's that is behind, and an order that is none
    commits = [(tip, DAYS[0]), (two, DAYS[3]), (one, DAYS[2])]
    made = payload(example("azure/push"), azure(moves, commits), config)
    assert [entry["raw_node"] for entry in made["commits"]] == [one, two, tip]


def test_a_test_of_azure_and_of_gitlab_is_no_push(config: Config) -> None:
    each = example("azure/push")
    body = json.loads(each.raw)
    body["subscriptionId"] = "00000000-0000-0000-0000-000000000000"
    assert "a test" in str(read(each, body, config))
    # GitLab's of a project without commits: where the branch is now is not listed.
    each = example("gitlab/push")
    body = json.loads(each.raw)
    body["after"] = IDS[0]
    assert "a test" in str(read(each, body, config))


def test_what_moves_neither_a_branch_nor_a_tag_is_ignored(config: Config) -> None:
    merge = ("refs/pull/7/merge", NOTHING, IDS[0])
    each = example("azure/push")
    assert "no branch" in str(read(each, azure([merge], []), config))
    moves = [merge, ("refs/heads/main", IDS[1], IDS[2])]
    made = payload(each, azure(moves, [(IDS[2], DAYS[0])]), config)
    assert [update["ref"] for update in made["updates"]] == ["refs/heads/main"]
    each = example("github/push_rebase_merge")
    body = json.loads(each.raw) | {"ref": "refs/notes/commits"}
    assert "no branch" in str(read(each, body, config))


def test_a_commit_of_data_center_is_found_in_whatever_order_it_is_listed(
    config: Config,
) -> None:
    each = example("bitbucket-dc/push")
    body = json.loads(each.raw)
    root, left, right, merge = IDS[:4]
    parents = {root: [IDS[8]], left: [root], right: [root], merge: [left, right]}
    person = {"name": "ann", "emailAddress": "a@example.org"}
    change = body["changes"][0] | {"refId": "refs/heads/main", "type": "UPDATE"}
    body["changes"] = [change | {"fromHash": IDS[8], "toHash": merge}]
    body["commits"] = [
        {
            "id": oid,
            "message": "x",
            "author": person,
            "parents": [{"id": parent} for parent in parents[oid]],
        }
        for oid in (root, merge, left, right)  # by clocks that differ
    ]
    made = payload(each, body, config)
    assert sorted(made["published"]) == sorted(parents)
    assert not made["truncated"]


def test_a_first_commit_of_sourcehut_is_all_of_its_push(config: Config) -> None:
    each = example("sourcehut/post_receive")
    body = json.loads(each.raw)
    update = body["data"]["webhook"]["updates"][0]
    update["old"], update["new"]["parents"] = None, []
    assert not payload(each, body, config)["truncated"]
    # A query that does not ask for parents leaves that open.
    del update["new"]["parents"]
    assert payload(each, body, config)["truncated"]


def test_where_github_does_not_say_what_is_new_the_ledger_does(config: Config) -> None:
    each = example("github/push_rebase_merge")
    body = json.loads(each.raw)
    known, new = (one["id"] for one in body["commits"])
    for one in body["commits"]:
        one.pop("distinct")
    made = payload(each, body, config, seen=[known])
    assert [entry["raw_node"] for entry in made["commits"]] == [new]
    assert [entry["raw_node"] for entry in made["merged"]] == [known]


def test_names_of_people_are_lines_as_git_has_them(config: Config) -> None:
    each = example("github/push_rebase_merge")
    body = json.loads(each.raw)
    body["commits"][0]["author"] = {
        "name": "Ann\r\nBcc: all\0 <root@example.org>",
        "email": "ann@example.org>\n<ben@example.org",
    }
    body["pusher"]["name"] = "ann\nben\x1b[31m"
    made = payload(each, body, config)
    assert made["commits"][0]["raw_author"] == (
        "Ann Bcc: all   root@example.org <ann@example.org ben@example.org>"
    )
    assert made["user"] == "ann ben [31m"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's clock is nine hours ahead."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_a_date_means_the_same_on_every_machine() -> None:
    noon = 1_577_880_000
    assert moment("2020-01-01T12:00:00") == (noon, "+0000")
    assert moment("2020-01-01T12:00:00Z") == (noon, "+0000")
    assert moment("2020-01-01T12:00:00.1234567Z") == (noon, "+0000")
    assert moment("2020-01-01T21:00:00+09:00") == (noon, "+0900")
    assert moment("2020-01-01T12:30:30+00:30:30") == (noon, "+0030")
    assert moment(noon * 1000) == (noon, "+0000")
    assert moment("0001-01-01T00:00:00") == moment("0001-01-01T00:00:00Z")
    values: list[Any] = [None, "", "soon", 1.5, [], 10**30, {"date": 1}]
    for nothing in values:
        assert moment(nothing)[1] == "+0000"


def test_a_form_of_many_fields_is_refused_before_it_is_taken_apart() -> None:
    form = [("content-type", "application/x-www-form-urlencoded")]
    with pytest.raises(BadInput, match="fields"):
        delivery.received(form, b"a=b&" * 1_000_000)
