"""GitHub, GitHub Enterprise Server, and who sends the same.

Facts: docs.github.com, "Webhook events and payloads" and "Validating webhook
deliveries".
"""

from typing import Final

from oberonc.errors import BadInput
from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import (
    Json,
    at,
    commit,
    first,
    flag,
    needed,
    objects,
    oid,
    text,
)
from oberonc.web.forges.push import Listed, Move, Nothing, Push

#: Commits in one delivery; nothing tells that there were more.
MOST: Final = 2048
#: Branches that a merge queue makes for itself.
QUEUE: Final = "refs/heads/gh-readonly-queue/"


def check(secrets: Secrets, delivery: Delivery, _now: float) -> str:
    """Whether to believe it."""
    given = delivery.header("x-hub-signature-256")
    return signed.hmac_sha256(secrets, delivery.raw, given)


def delivery_id(delivery: Delivery, _body: Json) -> str:
    """The same for each redelivery."""
    return delivery.header("x-github-delivery")


def read(delivery: Delivery, body: Json) -> Push | Nothing:
    """What it says. Raises BadInput."""
    if delivery.header("x-gitea-event", "x-gogs-event"):
        # They send GitHub's headers too, and list commits the other way round.
        raise BadInput("Gitea, Forgejo or Gogs sent it: that is the forge to configure")
    event = delivery.header("x-github-event")
    if event != "push":
        return Nothing(f"an event '{event}' brings no commits")
    ref = needed(body, "ref")
    if ref.startswith(QUEUE):
        return Nothing("the branches of a merge queue are GitHub's own")
    commits = objects(body, "commits")
    listed = [
        Listed(commit(one), text(one, "url"), flag(one, "distinct")) for one in commits
    ]
    move = Move(
        ref,
        oid(body, "before"),
        oid(body, "after"),
        at(body, "forced") is True,
        tuple(listed) if ref.startswith("refs/heads/") else (),
        cut=len(commits) >= MOST,
        compare=text(body, "compare"),
    )
    # A deploy key pushes as `none`.
    name = text(body, "pusher.name")
    return Push(
        needed(body, "repository.full_name"),
        first(body, "repository.default_branch", "repository.master_branch"),
        text(body, "sender.login") if name in ("", "none") else name,
        text(body, "repository.html_url"),
        (move,),
    )
