"""Azure DevOps. Facts: learn.microsoft.com, "Service hooks events", git.push.

It signs nothing: the secret is the password of Basic authentication, or the header
`X-Oberonc-Token` of the subscription.
"""

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
    about = at(body, "resource")
    updates = objects(about, "refUpdates")
    if not updates:
        return Nothing("it names no ref that moved")
    # In which order they are is not documented.
    listed = sorted(
        (_listed(one) for one in objects(about, "commits")),
        key=lambda one: one.commit.author_date[0],
    )
    name = (
        f"{needed(about, 'repository.project.name')}/{needed(about, 'repository.name')}"
    )
    return Push(
        name,
        text(about, "repository.defaultBranch").removeprefix("refs/heads/"),
        first(about, "pushedBy.uniqueName", "pushedBy.displayName"),
        text(about, "repository.remoteUrl"),
        tuple(_move(update, listed) for update in updates),
    )


def _move(update: Json, listed: list[Listed]) -> Move:
    ref, new = needed(update, "name"), oid(update, "newObjectId")
    mine = listed if ref.startswith("refs/heads/") and new.strip("0") else []
    return Move(ref, oid(update, "oldObjectId"), new, listed=tuple(mine))


def _listed(value: Json) -> Listed:
    cut = at(value, "commentTruncated") is True
    made = dated_commit(value, "commitId", "comment", "date", cut=cut)
    return Listed(made, text(value, "url"))
