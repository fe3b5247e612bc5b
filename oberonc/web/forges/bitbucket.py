"""Bitbucket Cloud. Facts: support.atlassian.com, "Event payloads" and "Manage webhooks".

It names no default branch, and no files; a push over 256 KB is not sent at all.
"""

from oberonc.source.commits import Commit
from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import (
    Json,
    at,
    commit_oid,
    first,
    needed,
    objects,
    oid,
    oid_or_nothing,
    text,
)
from oberonc.web.forges.push import Listed, Move, Nothing, Push, moment, person


def check(secrets: Secrets, delivery: Delivery, _now: float) -> str:
    """Whether to believe it."""
    given = delivery.header("x-hub-signature")
    return signed.hmac_sha256(secrets, delivery.raw, given)


def delivery_id(delivery: Delivery, _body: Json) -> str:
    """The same for each retry."""
    return delivery.header("x-request-uuid")


def read(delivery: Delivery, body: Json) -> Push | Nothing:
    """What it says. Raises BadInput."""
    event = delivery.header("x-event-key")
    if event != "repo:push":
        return Nothing(f"an event '{event}' brings no commits")
    moves = tuple(_move(change) for change in objects(body, "push.changes"))
    if not moves:
        return Nothing("it names no ref that moved")
    return Push(
        needed(body, "repository.full_name"),
        "",
        first(body, "actor.nickname", "actor.username", "actor.display_name"),
        text(body, "repository.links.html.href"),
        moves,
    )


def _move(change: Json) -> Move:
    side = "new" if at(change, "new") else "old"
    tag = text(change, f"{side}.type") in ("tag", "annotated_tag")
    listed = [_listed(one) for one in objects(change, "commits")[::-1]]
    return Move(
        ("refs/tags/" if tag else "refs/heads/") + needed(change, f"{side}.name"),
        oid_or_nothing(change, "old", "target.hash"),
        oid_or_nothing(change, "new", "target.hash"),
        at(change, "forced") is True,
        () if tag else tuple(listed),
        cut=not tag and at(change, "truncated") is True,
        compare=text(change, "links.html.href"),
    )


def _listed(value: Json) -> Listed:
    author, mail = person(text(value, "author.raw"))
    date = moment(value.get("date"))
    parents = [oid(parent, "hash") for parent in objects(value, "parents")]
    text_of, url = text(value, "message"), text(value, "links.html.href")
    made = Commit(
        commit_oid(value, "hash"),
        parents,
        author,
        mail,
        date,
        author,
        mail,
        date,
        text_of,
        [],
        False,
    )
    return Listed(made, url)
