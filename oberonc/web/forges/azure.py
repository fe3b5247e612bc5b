"""Azure DevOps. Facts: learn.microsoft.com, "Service hooks events", git.push.

It signs nothing: the secret is the password of Basic authentication, or the header
`X-Oberonc-Token` of the subscription.
"""

from typing import Final

from oberonc.source.git import null_oid
from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import (
    Json,
    at,
    dated_commit,
    first,
    needed,
    objects,
    oid,
    text,
)
from oberonc.web.forges.push import Listed, Move, Nothing, Push

#: The subscription that a test is of.
NOBODY: Final = "00000000-0000-0000-0000-000000000000"


def check(secrets: Secrets, delivery: Delivery, _now: float) -> str:
    """Whether to believe it."""
    token = delivery.header("x-oberonc-token")
    if token:
        return signed.token(secrets, token)
    return signed.basic(secrets, delivery.header("authorization"))


def delivery_id(_delivery: Delivery, body: Json) -> str:
    """The same for each retry; no header has it."""
    return text(body, "id")


def read(_delivery: Delivery, body: Json) -> Push | Nothing:
    """What it says. Raises BadInput."""
    event = text(body, "eventType")
    if event != "git.push":
        return Nothing(f"an event '{event}' brings no commits")
    if text(body, "subscriptionId") == NOBODY:
        return Nothing("a test, which Azure DevOps makes of a repository of its own")
    about = at(body, "resource")
    updates = objects(about, "refUpdates")
    if not updates:
        return Nothing("it names no ref that moved")
    ends = [
        oid(update, "newObjectId")
        for update in updates
        if needed(update, "name").startswith("refs/heads/")
    ]
    tips = {end for end in ends if not null_oid(end)}
    # They are in no order that is documented; a rebase keeps the dates of authors.
    listed = sorted(
        (_listed(one) for one in objects(about, "commits")),
        key=lambda one: (one.commit.oid in tips, one.commit.committer_date[0]),
    )
    name = (
        f"{needed(about, 'repository.project.name')}/{needed(about, 'repository.name')}"
    )
    return Push(
        name,
        text(about, "repository.defaultBranch").removeprefix("refs/heads/"),
        first(about, "pushedBy.uniqueName", "pushedBy.displayName"),
        text(about, "repository.remoteUrl"),
        tuple(_move(update, listed, tips) for update in updates),
    )


def _move(update: Json, listed: list[Listed], tips: set[str]) -> Move:
    """The commits are listed once for the whole delivery, without parents: which of
    several branches brought one is known of the tip of each alone.
    """
    ref, new = needed(update, "name"), oid(update, "newObjectId")
    branch, sure = ref.startswith("refs/heads/") and new in tips, len(tips) == 1
    mine = [
        one._replace(sure=sure or one.commit.oid == new)
        for one in (listed if branch else ())
        if one.commit.oid == new or one.commit.oid not in tips
    ]
    unsure = not all(one.sure for one in mine)
    return Move(ref, oid(update, "oldObjectId"), new, listed=tuple(mine), cut=unsure)


def _listed(value: Json) -> Listed:
    cut = at(value, "commentTruncated") is True
    made = dated_commit(value, "commitId", "comment", "date", cut=cut)
    return Listed(made, text(value, "url"))
