"""Bitbucket Data Center. Facts: confluence.atlassian.com, "Event payload".

Older versions list no commits, newer ones five; none says that there were more.
"""

from typing import Final

from oberonc.source.commits import Commit
from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import (
    Json,
    at,
    commit_oid,
    count,
    first,
    needed,
    objects,
    oid,
    text,
)
from oberonc.web.forges.push import Listed, Move, Nothing, Push, moment

#: Commits in one delivery.
MOST: Final = 5


def check(secrets: Secrets, delivery: Delivery, _now: float) -> str:
    """Whether to believe it: signed, or with the secret as the password."""
    given = delivery.header("x-hub-signature")
    if not given and delivery.header("authorization"):
        return signed.basic(secrets, delivery.header("authorization"))
    return signed.hmac_sha256(secrets, delivery.raw, given)


def delivery_id(delivery: Delivery, _body: Json) -> str:
    """The same for each retry."""
    return delivery.header("x-request-id")


def read(delivery: Delivery, body: Json) -> Push | Nothing:
    """What it says. Raises BadInput."""
    event = delivery.header("x-event-key")
    if event != "repo:refs_changed" or at(body, "test") is True:
        return Nothing(f"an event '{event}' brings no commits")
    changes = objects(body, "changes")
    if not changes:
        return Nothing("it names no ref that moved")
    listed = [_listed(one) for one in objects(body, "commits")[::-1]]
    project = needed(body, "repository.project.key")
    return Push(
        f"{project}/{needed(body, 'repository.slug')}",
        "",
        text(body, "actor.name"),
        "",
        tuple(_move(change, listed) for change in changes),
    )


def _move(change: Json, listed: list[Listed]) -> Move:
    """The commits are listed once for the whole delivery: a branch brought those that
    its tip descends from.
    """
    ref, new = needed(change, "refId"), oid(change, "toHash")
    branch = text(change, "type") != "DELETE" and ref.startswith("refs/heads/")
    parents = {one.commit.oid: one.commit.parents for one in listed}
    reached, tips = set[str](), [new] if branch else []
    while tips:
        tip = tips.pop()
        if tip in parents and tip not in reached:
            reached.add(tip)
            tips += parents[tip]
    mine = [one for one in listed if one.commit.oid in reached]
    return Move(
        ref,
        oid(change, "fromHash"),
        new,
        listed=tuple(mine),
        # with no list at all nothing is known of what came
        cut=branch and (not mine or len(listed) >= MOST),
    )


def _listed(value: Json) -> Listed:
    author = first(value, "author.displayName", "author.name")
    committer = first(value, "committer.displayName", "committer.name")
    mail, theirs = (
        text(value, "author.emailAddress"),
        text(value, "committer.emailAddress"),
    )
    made = Commit(
        commit_oid(value, "id"),
        [oid(parent, "id") for parent in objects(value, "parents")],
        author,
        mail,
        moment(count(value, "authorTimestamp")),
        committer or author,
        theirs or mail,
        moment(count(value, "committerTimestamp")),
        text(value, "message"),
        [],
        False,
    )
    return Listed(made, "")
