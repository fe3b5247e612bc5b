"""sourcehut's git service. Facts: man.sr.ht, "GraphQL" and "Webhooks".

What comes is what the subscription's query asks for; docs/web.md has the one to use. It
names where each ref is now: of several commits in one push only the last.
"""

from oberonc.source.git import Commit
from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import Json, at, needed, objects, oid, text
from oberonc.web.forges.push import Listed, Move, Nothing, Push, moment


def check(secrets: Secrets, delivery: Delivery, _now: float) -> str:
    """Whether to believe it; what stands for a secret is the service's public key."""
    nonce = delivery.header("x-payload-nonce").encode()
    given = delivery.header("x-payload-signature")
    return signed.ed25519(secrets, delivery.raw + nonce, given)


def delivery_id(delivery: Delivery) -> str:
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
        oid(update, "old.id"),
        oid(update, "new.id"),
    )
    commit = at(update, "new")
    branch = ref.startswith("refs/heads/") and bool(text(commit, "message"))
    parents = [oid(parent, "id") for parent in objects(commit, "parents")]
    return Move(
        ref,
        old,
        new,
        listed=(_listed(commit, parents),) if branch else (),
        cut=branch and old not in parents,
    )


def _listed(value: Json, parents: list[str]) -> Listed:
    author, mail = text(value, "author.name"), text(value, "author.email")
    made = Commit(
        oid(value, "id"),
        parents,
        author,
        mail,
        moment(at(value, "author.time")),
        text(value, "committer.name") or author,
        text(value, "committer.email") or mail,
        moment(at(value, "committer.time")),
        text(value, "message"),
        [],
        False,
    )
    return Listed(made, "")
