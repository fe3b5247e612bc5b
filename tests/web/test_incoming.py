"""Requests of forges, byte for byte as they send them, and the payloads they become."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc import config as configuration
from oberonc.config import Config
from oberonc.errors import BadInput
from oberonc.payload.check import check
from oberonc.payload.schema import Payload
from oberonc.text import visible
from oberonc.web import incoming
from oberonc.web.forges import delivery
from oberonc.web.forges.push import Nothing
from oberonc.web.incoming import NAMELESS, Refused, Webhook
from tests.support.webhooks import (
    SIGNING_KEY,
    Example,
    example,
    examples,
    signed_as_standard,
    signed_like_github,
)

#: {example: (its updates, commits, merged, published, whether cut, commits in all)}.
#: An update is its ref, then c(reated), d(eleted), f(orced) or u(pdated), then P where
#: it publishes.
MEANS: dict[str, tuple[list[str], int, int, int, bool, int]] = {
    "azure/push": (["refs/heads/master uP"], 1, 0, 1, False, 1),
    "azure/push_branch_delete": (["refs/heads/dev d"], 0, 0, 0, False, 0),
    "azure/push_tag_and_branch": (
        ["refs/tags/v1.0 c", "refs/heads/dev c"],
        *(0, 0, 0, False, 0),
    ),
    "bitbucket/push": (["refs/heads/main u"], 1, 0, 0, False, 1),
    "bitbucket/push_branch_create": (["refs/heads/develop c"], 2, 0, 0, False, 2),
    "bitbucket/push_branch_delete": (["refs/heads/develop d"], 0, 0, 0, False, 0),
    "bitbucket/push_tag_create": (["refs/tags/feature/x c"], 0, 0, 0, False, 0),
    "bitbucket/push_tag_delete": (["refs/tags/feature/x d"], 0, 0, 0, False, 0),
    "bitbucket/push_cut": (["refs/heads/master uP"], 5, 0, 5, True, 5),
    "bitbucket/push_forced": (["refs/heads/master fP"], 1, 0, 1, False, 1),
    "bitbucket-dc/push_without_commits": (["refs/heads/master uP"], 0, 0, 0, True, 0),
    "bitbucket-dc/push": (["refs/heads/renovate-all u"], 1, 0, 0, False, 1),
    "bitbucket-dc/push_branch_create": (["refs/heads/develop c"], 0, 0, 0, True, 0),
    "bitbucket-dc/push_branch_delete": (["refs/heads/develop d"], 0, 0, 0, False, 0),
    "bitbucket-dc/push_tag_create": (["refs/tags/v1.1.0 c"], 0, 0, 0, False, 0),
    "bitbucket-dc/push_two_refs": (
        ["refs/heads/master uP", "refs/heads/next u"],
        *(0, 0, 0, True, 0),
    ),
    "forgejo/push": (["refs/heads/main uP"], 3, 0, 3, False, 3),
    "forgejo/push_branch_create": (["refs/heads/fdsafdsa c"], 0, 0, 0, False, 0),
    "gitea/push": (["refs/heads/main uP"], 3, 0, 3, False, 3),
    "gitea/push_branch_create": (["refs/heads/fdsafdsa c"], 0, 0, 0, False, 0),
    "gitea/event_delete_branch": (["refs/heads/feature d"], 0, 0, 0, False, 0),
    "gitea/push_cut": (["refs/heads/main uP"], 5, 0, 5, True, 12),
    "gitea/push_tag": (["refs/tags/v1.0 c"], 0, 0, 0, False, 0),
    "gitea/push_tag_delete": (["refs/tags/v1.0 d"], 0, 0, 0, False, 0),
    "gitea/push_form": (["refs/heads/main uP"], 3, 0, 3, False, 3),
    "github/push_squash_merge": (["refs/heads/main uP"], 1, 0, 1, False, 1),
    "github/push_forced": (["refs/heads/main fP"], 1, 0, 1, False, 1),
    "github/push_tag": (["refs/tags/v0.0.1 c"], 0, 0, 0, False, 0),
    "github/push_tag_delete": (["refs/tags/v0.0.1 d"], 0, 0, 0, False, 0),
    "github/push_branch_delete": (["refs/heads/feature-branch d"], 0, 0, 0, False, 0),
    "github/push_branch_no_commits": (
        ["refs/heads/feature-branch c"],
        *(0, 0, 0, False, 0),
    ),
    "github/push_merge_commit": (["refs/heads/main uP"], 1, 2, 3, False, 1),
    "github/push_rebase_merge": (["refs/heads/main uP"], 2, 0, 2, False, 2),
    "github/push_form": (["refs/heads/main fP"], 1, 0, 1, False, 1),
    "gitlab/push": (["refs/heads/master uP"], 1, 0, 1, False, 1),
    "gitlab/push_merge": (["refs/heads/master uP"], 2, 0, 2, False, 2),
    "gitlab/push_subgroup": (["refs/heads/master uP"], 1, 0, 1, False, 1),
    "gitlab/push_branch_create": (["refs/heads/feature c"], 1, 0, 0, False, 1),
    "gitlab/push_branch_delete": (["refs/heads/feature d"], 0, 0, 0, False, 0),
    "gitlab/tag_create": (["refs/tags/v1.0.0 c"], 0, 0, 0, False, 0),
    "gitlab/tag_delete": (["refs/tags/v1.0.0 d"], 0, 0, 0, False, 0),
    "gitlab/tag_annotated": (["refs/tags/v22 c"], 0, 0, 0, False, 0),
    "gitlab/push_cut": (["refs/heads/master uP"], 20, 0, 20, True, 25),
    "gitlab/push_forced_or_not": (["refs/heads/master uP"], 1, 0, 1, False, 1),
    "gogs/push": (["refs/heads/master uP"], 1, 0, 1, False, 1),
    "gogs/event_delete_branch": (["refs/heads/feature d"], 0, 0, 0, False, 0),
    "gogs/event_create_tag": (["refs/tags/v1.0.0 c"], 0, 0, 0, False, 0),
    "gogs/event_delete_tag": (["refs/tags/v1.0.0 d"], 0, 0, 0, False, 0),
    "oberonc/push": (["refs/heads/main uP"], 2, 0, 2, False, 2),
    "sourcehut/post_receive": (["refs/heads/main uP"], 1, 0, 1, False, 1),
}
#: {example: a word of why it asks for nothing}
NOTHING = {
    "bitbucket-dc/ping": "ping",
    "gitea/event_create_tag": "a push tells",
    "gitea/push_test_delivery": "test",
    "github/ping": "ping",
    "github/push_merge_queue_delete": "merge queue",
    "gitlab/push_test_delivery": "test",
    "gogs/event_create_branch": "a push tells",
    "standard/vector": "no payload",
}

EVERY = [pytest.param(each, id=each.name) for each in examples()]
SIGNED = [
    pytest.param(each, id=each.name)
    for each in examples()
    if each.forge != "sourcehut"  # of its example nobody has the key
]


@pytest.fixture
def config() -> Config:
    """What is there without any configuration."""
    return configuration.load()


def hook(each: Example, **changes: Any) -> Webhook:
    branch = "master" if each.forge in NAMELESS else ""
    made = Webhook("shop", each.forge, each.secrets, (), branch)
    return made._replace(**changes)


def request(each: Example) -> delivery.Delivery:
    return delivery.received(each.headers.items(), each.raw)


def meaning(each: Example, config: Config, **changes: Any) -> Payload | Nothing:
    return incoming.read(hook(each, **changes), request(each), config, Known())


class Known:
    """What the webhooks brought before: the commits *oids*, and every event at noon."""

    def __init__(self, oids: Collection[str] = ()) -> None:
        self._oids = oids
        self.asked: list[tuple[str, list[str]]] = []

    def first_came(self, event: str, stamp: str) -> str:
        return "2026-01-01T12:00:00Z"

    def seen(self, repository: str, oids: Sequence[str], event: str) -> Collection[str]:
        self.asked.append((repository, list(oids)))
        return [oid for oid in oids if oid in self._oids]


def _short(update: Payload) -> str:
    how = next((k[0] for k in ("created", "deleted", "forced") if update[k]), "u")
    return f"{update['ref']} {how}{'P' if update['publish'] else ''}"


def test_every_example_is_told_of_here() -> None:
    assert {each.name for each in examples()} == MEANS.keys() | NOTHING.keys()


@pytest.mark.parametrize("each", EVERY)
def test_an_example_becomes_what_its_push_means(each: Example, config: Config) -> None:
    made = meaning(each, config)
    if isinstance(made, Nothing):
        assert NOTHING[each.name] in made.why
        return
    assert check(made) == ""
    assert MEANS[each.name] == (
        [_short(update) for update in made["updates"]],
        *(len(made[key]) for key in ("commits", "merged", "published")),
        made["truncated"],
        made["commits_total"],
    )


@pytest.mark.parametrize("each", SIGNED)
def test_an_example_is_believed_with_its_secret_alone(each: Example) -> None:
    incoming.authentic(hook(each), request(each), each.when)
    old_and_new = ("whsec_" + "bm8=", "no", *each.secrets)
    incoming.authentic(hook(each, secrets=old_and_new), request(each), each.when)
    with pytest.raises(Refused):
        incoming.authentic(
            hook(each, secrets=("whsec_bm8=", "no")), request(each), each.when
        )
    with pytest.raises(Refused):
        incoming.authentic(hook(each, secrets=()), request(each), each.when)


@pytest.mark.parametrize("each", SIGNED)
def test_a_body_that_was_changed_is_not_believed(each: Example) -> None:
    changed = each._replace(
        raw=each.raw.replace(b"ann", b"eve").replace(b"test", b"toast")
    )
    if each.forge in ("gitlab", "azure"):  # these sign no body
        return
    with pytest.raises(Refused):
        incoming.authentic(hook(changed), request(changed), each.when)


@pytest.mark.parametrize("each", SIGNED)
def test_without_what_proves_it_an_example_is_not_believed(each: Example) -> None:
    for value in ("", "sha256=", "é", "Basic é", "v1,"):
        headers = {
            name: value if _proves(name) else said
            for name, said in each.headers.items()
        }
        bare = each._replace(headers=headers)
        with pytest.raises(Refused):
            incoming.authentic(hook(bare), request(bare), each.when)


def _proves(header: str) -> bool:
    words = ("signature", "token", "authorization")
    return any(word in header.lower() for word in words)


def test_a_signing_key_of_gitlab_asks_for_a_signature(config: Config) -> None:
    each = example("gitlab/push")
    keyed = hook(each, secrets=(SIGNING_KEY,))
    incoming.authentic(keyed, request(each), each.when)
    headers = {k: v for k, v in each.headers.items() if k != "webhook-signature"}
    with pytest.raises(Refused, match="no signature"):
        # the id of Standard Webhooks alone proves nothing: GitLab always sends it
        incoming.authentic(keyed, request(each._replace(headers=headers)), each.when)


@pytest.mark.parametrize(
    "stamp", ["1767265201", "1767265501.0", "-5", "٣", "9" * 40, ""]
)
def test_an_old_signed_request_is_not_believed(stamp: str) -> None:
    raw = example("oberonc/push").raw
    headers = signed_as_standard(raw, stamp)
    made = Example("", "oberonc", headers, raw, (SIGNING_KEY,))
    with pytest.raises(Refused):
        incoming.authentic(hook(made), request(made), 1767265201 + 301)


def test_a_redelivery_is_the_same_event_and_another_webhook_s_is_not(
    config: Config,
) -> None:
    each = example("github/push_forced")
    names = [meaning(each, config), meaning(each, config)]
    names.append(meaning(each, config, name="other"))
    moved = each.headers | {"X-GitHub-Delivery": "another"}
    names.append(meaning(each._replace(headers=moved), config))
    ids = [made["id"] for made in names if not isinstance(made, Nothing)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("each", EVERY)
def test_a_delivery_without_an_id_is_the_event_its_bytes_are(
    each: Example, config: Config
) -> None:
    bare = each._replace(
        headers={
            name: value
            for name, value in each.headers.items()
            if not any(w in name.lower() for w in ("delivery", "id", "key", "nonce"))
            or "event-key" in name.lower()
        }
    )
    one, two = meaning(bare, config), meaning(bare, config)
    assert one == two or (
        not isinstance(one, Nothing)
        and not isinstance(two, Nothing)
        and one["id"] == two["id"]
    )


def test_what_was_seen_before_is_merged_and_published_now(config: Config) -> None:
    each = example("gitlab/push_merge")
    first = meaning(each, config)
    assert not isinstance(first, Nothing)
    oid = first["commits"][0]["raw_node"]
    known = Known({oid})
    made = incoming.read(hook(each), request(each), config, known)
    assert not isinstance(made, Nothing)
    assert known.asked == [("web/hello-world", first["published"])]
    assert [entry["raw_node"] for entry in made["merged"]] == [oid]
    assert made["published"] == first["published"]
    assert made["commits_total"] == 1


def test_a_merge_at_github_closes_what_its_branch_asked_for(config: Config) -> None:
    made = meaning(example("github/push_merge_commit"), config)
    assert not isinstance(made, Nothing)
    messages = {
        e["raw_node"]: e["message"] for e in [*made["commits"], *made["merged"]]
    }
    assert any("#37" in messages[oid] for oid in made["published"])


def test_a_squash_merge_is_read_without_its_carriage_returns(config: Config) -> None:
    made = meaning(example("github/push_squash_merge"), config)
    assert not isinstance(made, Nothing)
    assert "\r" not in made["commits"][0]["message"]


def test_a_webhook_speaks_for_its_repositories_alone(config: Config) -> None:
    each = example("github/push_forced")
    for patterns in (("web/*",), ("ann/*", "!ann/shop")):
        made = meaning(each, config, repositories=patterns)
        assert made == Nothing("the webhook is not for the repository ann/shop")
    assert not isinstance(meaning(each, config, repositories=("ann/*",)), Nothing)


def test_push_options_of_gitlab_are_git_s(config: Config) -> None:
    made = meaning(example("gitlab/push_forced_or_not"), config)
    assert not isinstance(made, Nothing)
    assert made["push_options"] == ["ci.skip"]


def test_a_payload_from_another_oberonc_keeps_its_id_and_loses_its_service(
    config: Config,
) -> None:
    each = example("oberonc/push")
    value = json.loads(each.raw) | {"service": {"token": "secret"}, "attempt": 3}
    made = meaning(each._replace(raw=json.dumps(value).encode()), config)
    assert not isinstance(made, Nothing)
    assert made["id"] == value["id"]
    assert not {"service", "attempt"} & made.keys()


HOSTILE = "\0\r\n[31m‮@everyone <!channel> \ud800'\"\\"


KEYS = (
    *("ref", "before", "after", "commits", "repository", "full_name", "id", "message"),
    *("author", "name", "push", "changes", "new", "old", "target", "hash", "project"),
    *("resource", "refUpdates", "updates", "data", "webhook", "object_kind", "event"),
    *("eventType", "schema", "distinct"),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(HOSTILE),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=30,
)


@given(ANYTHING, st.sampled_from(examples()))
def test_whatever_a_stranger_writes_is_a_payload_nothing_or_refused(
    value: Any, each: Example
) -> None:
    config = configuration.load()
    bodies = [value]
    if isinstance(value, dict) and each.raw.startswith(b"{"):
        bodies.append(json.loads(each.raw) | value)
    for body in bodies:
        wrong = each._replace(raw=json.dumps(body).encode())
        try:
            made = meaning(wrong, config)
        except BadInput as error:
            assert visible(str(error)) == str(error)
            continue
        assert isinstance(made, Nothing) or check(made) == ""


#: What each forge always says: where it is missing, nothing is guessed.
SAID = {
    "github/push_rebase_merge": ("before", "after", "ref", "commits.0.id"),
    "gitlab/push": ("before", "after", "ref", "commits.0.id"),
    "gitea/push": ("before", "after", "ref", "commits.0.id"),
    "bitbucket/push": (
        "push.changes.0.new.target.hash",
        "push.changes.0.old.target",
        "push.changes.0.commits.0.hash",
    ),
    "bitbucket-dc/push": ("changes.0.toHash", "changes.0.fromHash"),
    "azure/push": (
        "resource.refUpdates.0.newObjectId",
        "resource.commits.0.commitId",
    ),
    "sourcehut/post_receive": ("data.webhook.updates.0.new.id",),
}


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("value", [None, "", 5, {}], ids=repr)
def test_an_id_that_is_missing_is_neither_a_deletion_nor_a_commit(
    name: str, value: Any, config: Config
) -> None:
    each = example(name)
    for path in SAID[name]:
        body = json.loads(each.raw)
        *way, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
        place = body
        for key in way:
            place = place[key]
        assert place[last]
        place[last] = value
        with pytest.raises(BadInput):
            meaning(each._replace(raw=json.dumps(body).encode()), config)


def test_what_data_center_lists_belongs_to_the_branch_that_has_it(
    config: Config,
) -> None:
    each = example("bitbucket-dc/push")
    body = json.loads(each.raw)
    change = body["changes"][0]
    ids = [f"{n:040x}" for n in (1, 2, 3)]
    one = {"message": "fixes #1", "author": {"name": "a", "emailAddress": "a@b"}}
    body["commits"] = [
        one | {"id": ids[2], "parents": [{"id": "f" * 40}]},
        one | {"id": ids[1], "parents": [{"id": ids[0]}]},
        one | {"id": ids[0], "parents": [{"id": change["fromHash"]}]},
    ]
    body["changes"] = [
        change | {"refId": "refs/heads/main", "toHash": ids[1], "type": "UPDATE"},
        change | {"refId": "refs/heads/topic", "toHash": ids[2], "type": "UPDATE"},
    ]
    made = meaning(
        each._replace(raw=json.dumps(body).encode()), config, default_branch="main"
    )
    assert not isinstance(made, Nothing)
    assert [entry["raw_node"] for entry in made["commits"]] == ids
    # What only the topic has is not published.
    assert made["published"] == ids[:2]


@pytest.mark.parametrize("name", ["gitea/push", "forgejo/push", "gogs/push"])
def test_who_sends_the_headers_of_github_too_is_not_read_as_github(
    name: str, config: Config
) -> None:
    each = example(name)
    with pytest.raises(BadInput, match="that is the forge to configure"):
        meaning(each, config, forge="github")


def test_an_old_gitea_that_says_no_total_is_taken_for_one_that_cuts(
    config: Config,
) -> None:
    each = example("gitea/push")
    body = json.loads(each.raw)
    body.pop("total_commits")
    one = body["commits"][0]
    for count in (4, 5):
        body["commits"] = [one | {"id": f"{n:040x}"} for n in range(1, count + 1)]
        made = meaning(each._replace(raw=json.dumps(body).encode()), config)
        assert not isinstance(made, Nothing)
        assert made["truncated"] is (count == 5)


def test_a_form_that_is_none_and_types_of_others_are_refused() -> None:
    with pytest.raises(delivery.WrongType):
        delivery.received([("Content-Type", "text/plain")], b"{}")
    form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")]
    assert delivery.received(form, b"payload=%7B%7D&x=1").json == b"{}"
    assert delivery.received(form, b"\xff\xfe&&=").json == b""


def test_2048_commits_are_taken_for_a_part(config: Config) -> None:
    value = json.loads(example("github/push_rebase_merge").raw)
    one = value["commits"][0]
    value["commits"] = [one | {"id": f"{n:040x}"} for n in range(1, 2049)]
    made = meaning(signed_like_github(value), config)
    assert not isinstance(made, Nothing)
    assert made["truncated"] is True
    assert made["commits_total"] == 2048
