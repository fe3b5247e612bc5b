"""GitLab. Facts: docs.gitlab.com, "Webhook events", and GitLab's source."""

from typing import Any, Final

from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import (
    Json,
    at,
    commit,
    count,
    first,
    needed,
    objects,
    oid,
    text,
)
from oberonc.web.forges.push import Listed, Move, Nothing, Push

KINDS: Final = ("push", "tag_push")
#: Push options of one delivery; git itself sends no more to a hook either.
MOST_OPTIONS: Final = 64


def check(secrets: Secrets, delivery: Delivery, now: float) -> str:
    """Whether to believe it. From 19.0 on GitLab sends the id and the time of Standard
    Webhooks always, and a signature only where it has a signing token: a secret that is
    one, `whsec_...`, asks for that, any other for the secret itself.
    """
    keys = tuple(filter(signed.is_signing_key, secrets))
    words = tuple(secret for secret in secrets if not signed.is_signing_key(secret))
    faults = []
    if keys:
        faults.append(signed.standard(keys, delivery, now))
    if words:
        faults.append(signed.token(words, delivery.header("x-gitlab-token")))
    return "" if "" in faults else "; ".join(faults) or "there is no secret"


def delivery_id(delivery: Delivery, _body: Json) -> str:
    """The same for each retry. Of all hooks of one event, X-Gitlab-Event-UUID would be."""
    return delivery.header("idempotency-key", "webhook-id", "x-gitlab-webhook-uuid")


def read(_delivery: Delivery, body: Json) -> Push | Nothing:
    """What it says. Raises BadInput."""
    kind = text(body, "object_kind") or text(body, "event_name")
    if kind not in KINDS:
        return Nothing(f"an event '{kind}' brings no commits")
    ref, old = needed(body, "ref"), oid(body, "before")
    commits = objects(body, "commits")
    listed = [Listed(commit(one), text(one, "url")) for one in commits]
    ids = {one.commit.oid for one in listed}
    branch = ref.startswith("refs/heads/")
    # In a push what was there before is never among what came, and where a branch is
    # now always is: of a project without commits the test is of another one's.
    if old in ids or (branch and ids and oid(body, "after") not in ids):
        return Nothing("a test, which GitLab makes of the last real commits")
    page = text(body, "project.web_url")
    total = count(body, "total_commits_count")
    move = Move(
        ref,
        old,
        oid(body, "after"),
        # a tag's commit is not new
        listed=tuple(listed) if branch else (),
        total=total if branch else 0,
        cut=branch and total > len(listed),
        compare=f"{page}/-/compare/{old}...{oid(body, 'after')}" if page else "",
    )
    return Push(
        needed(body, "project.path_with_namespace"),
        text(body, "project.default_branch"),
        first(body, "user_username", "user_name"),
        page,
        (move,),
        tuple(_options(at(body, "push_options"))),
    )


def _options(value: Any) -> list[str]:
    """`{"ci": {"skip": true}}` is `-o ci.skip`."""
    found: list[str] = []
    for group, options in value.items() if isinstance(value, dict) else ():
        for name, said in options.items() if isinstance(options, dict) else ():
            if said is True:
                found.append(f"{group}.{name}")
            elif isinstance(said, str | int):
                found.append(f"{group}.{name}={said}")
    return found[:MOST_OPTIONS]
