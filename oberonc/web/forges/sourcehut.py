"""sourcehut's git service. Facts: man.sr.ht, "GraphQL" and "Webhooks".

What comes is what the subscription's query asks for; docs/web.md has the one to use. It
names where each ref is now: of several commits in one push only the last.
"""

from oberonc.source.git import null_oid
from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import (
    Json,
    at,
    dated_commit,
    needed,
    objects,
    oid,
    oid_or_nothing,
    text,
)
from oberonc.web.forges.push import Listed, Move, Nothing, Push


def check(secrets: Secrets, delivery: Delivery, _now: float) -> str:
    """Whether to believe it; what stands for a secret is the service's public key."""
    nonce = delivery.header("x-payload-nonce").encode()
    given = delivery.header("x-payload-signature")
    return signed.ed25519(secrets, delivery.raw + nonce, given)


def delivery_id(delivery: Delivery, _body: Json) -> str:
    """Of its headers the nonce is what is signed."""
    return delivery.header("x-payload-nonce")


def read(_delivery: Delivery, body: Json) -> Push | Nothing:
    """What it says. Raises BadInput."""
    about = at(body, "data.webhook")
    event = text(about, "event")
    if event != "GIT_POST_RECEIVE":
        return Nothing(f"an event '{event}' brings no commits")
    moves = tuple(_move(update) for update in objects(about, "updates"))
    if not moves:
        return Nothing("it names no ref that moved")
    owner = needed(about, "repository.owner.canonicalName")
    return Push(
        f"{owner}/{needed(about, 'repository.name')}",
        text(about, "repository.HEAD.name").removeprefix("refs/heads/"),
        text(about, "pusher.canonicalName"),
        "",
        moves,
    )


def _move(update: Json) -> Move:
    ref, old, new = (
        needed(update, "ref.name"),
        oid_or_nothing(update, "old", "id"),
        oid_or_nothing(update, "new", "id"),
    )
    commit = at(update, "new")
    branch = ref.startswith("refs/heads/") and bool(text(commit, "message"))
    if not branch:
        return Move(ref, old, new)
    parents = [oid(parent, "id") for parent in objects(commit, "parents")]
    made = dated_commit(commit, "id", "message", "time", parents=parents)
    # of a first commit the parents are told, and are none
    whole = old in parents or (null_oid(old) and at(commit, "parents") == [])
    return Move(ref, old, new, listed=(Listed(made, ""),), cut=not whole)
