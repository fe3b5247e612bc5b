"""Gitea, Forgejo, and Gogs, which they come from.

Facts: docs.gitea.com, "Webhooks", and the source of each. They list the newest commit
first, and at most five of them.
"""

from typing import Final

from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import (
    Json,
    commit,
    count,
    first,
    needed,
    objects,
    oid,
    text,
)
from oberonc.web.forges.push import NOTHING, Listed, Move, Nothing, Push

#: Commits in one delivery. Gogs does not tell that there were more.
MOST: Final = 5
#: Forgejo sends Gitea's headers too, and both send those of Gogs.
NAMES: Final = ("forgejo", "gitea", "gogs")


def check(secrets: Secrets, delivery: Delivery, _now: float) -> str:
    """Whether to believe it: they sign the JSON, also where they send a form."""
    given = delivery.header(*(f"x-{name}-signature" for name in NAMES))
    return signed.hmac_sha256(secrets, delivery.json, given)


def delivery_id(delivery: Delivery, _body: Json) -> str:
    """The same for each redelivery."""
    return delivery.header(*(f"x-{name}-delivery" for name in NAMES))


def read(delivery: Delivery, body: Json) -> Push | Nothing:
    """What it says. Raises BadInput."""
    event = delivery.header(*(f"x-{name}-event" for name in NAMES))
    gogs = not delivery.header("x-forgejo-event", "x-gitea-event")
    if event == "push":
        move = _push(body, gogs)
    elif event in ("create", "delete"):
        move = _event(event, body, gogs)
    else:
        move = Nothing(f"an event '{event}' brings no commits")
    if isinstance(move, Nothing):
        return move
    return Push(
        needed(body, "repository.full_name"),
        text(body, "repository.default_branch"),
        first(body, "pusher.login", "pusher.username", "sender.login"),
        text(body, "repository.html_url"),
        (move,),
    )


def _push(body: Json, gogs: bool) -> Move | Nothing:
    ref, old, new = needed(body, "ref"), oid(body, "before"), oid(body, "after")
    if old == new:
        return Nothing("a test, which they make as a push from a commit to itself")
    listed = [
        Listed(commit(one), text(one, "url")) for one in objects(body, "commits")[::-1]
    ]
    total = count(body, "total_commits")
    # Neither Gogs nor an old Gitea says how many there are.
    cut = total > len(listed) if total else len(listed) >= MOST
    if not ref.startswith("refs/heads/") or (gogs and old == NOTHING):
        # Of a new branch Gogs lists the last ancestors, known or not.
        listed, total, cut = [], 0, gogs and old == NOTHING
    return Move(
        ref,
        old,
        new,
        listed=tuple(listed),
        total=total,
        cut=cut,
        compare=text(body, "compare_url"),
    )


def _event(event: str, body: Json, gogs: bool) -> Move | Nothing:
    """What only an event of its own tells: a deleted branch; at Gogs tags too. What was
    deleted stood where nobody says.
    """
    kind = text(body, "ref_type")
    if kind not in ("branch", "tag"):
        return Nothing(f"a '{event}' of something that is no branch and no tag")
    if not gogs if kind == "tag" else event == "create":
        return Nothing(f"a push tells of this '{event}' too")
    folder = "refs/heads/" if kind == "branch" else "refs/tags/"
    new = oid(body, "sha") if event == "create" else NOTHING
    return Move(folder + needed(body, "ref").removeprefix(folder), NOTHING, new)
