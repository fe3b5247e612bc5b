"""Azure DevOps. Facts: learn.microsoft.com, "Service hooks events", git.push.

It signs nothing: the secret is the password of Basic authentication, or the header
`X-Oberonc-Token` of the subscription.
"""

from oberonc.source.git import Commit
from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import Json, at, needed, objects, oid, text
from oberonc.web.forges.push import Listed, Move, Nothing, Push, moment


def check(secrets: Secrets, delivery: Delivery, _now: float) -> str:
    """Whether to believe it."""
    token = delivery.header("x-oberonc-token")
    if token:
        return signed.token(secrets, token)
    return signed.basic(secrets, delivery.header("authorization"))


def delivery_id(delivery: Delivery) -> str:
    """No header has it; `read_id` has."""
    return ""


def read_id(body: Json) -> str:
    """The same for each retry."""
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
        text(about, "pushedBy.uniqueName") or text(about, "pushedBy.displayName"),
        text(about, "repository.remoteUrl"),
        tuple(_move(update, listed) for update in updates),
    )


def _move(update: Json, listed: list[Listed]) -> Move:
    ref, new = needed(update, "name"), oid(update, "newObjectId")
    mine = listed if ref.startswith("refs/heads/") and new.strip("0") else []
    return Move(ref, oid(update, "oldObjectId"), new, listed=tuple(mine))


def _listed(value: Json) -> Listed:
    author, mail = text(value, "author.name"), text(value, "author.email")
    made = Commit(
        oid(value, "commitId"),
        [],
        author,
        mail,
        moment(at(value, "author.date")),
        text(value, "committer.name") or author,
        text(value, "committer.email") or mail,
        moment(at(value, "committer.date")),
        text(value, "comment"),
        [],
        at(value, "commentTruncated") is True,
    )
    return Listed(made, text(value, "url"))
