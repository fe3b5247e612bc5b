"""From a forge's request to a payload: is it true, what does it say, is it wanted."""

import hashlib
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Final, NamedTuple, Protocol

from oberonc import jsontext
from oberonc.config import Config
from oberonc.errors import BadInput
from oberonc.mirror.origins import Origin
from oberonc.payload.globs import passes
from oberonc.payload.schema import Payload, now
from oberonc.web.forges import (
    azure,
    bitbucket,
    bitbucket_dc,
    delivery,
    gitea,
    github,
    gitlab,
    own,
    push,
    sourcehut,
)
from oberonc.web.forges.push import Nothing

FORGES: Final[dict[str, ModuleType]] = {
    "azure": azure,
    "bitbucket": bitbucket,
    "bitbucket-dc": bitbucket_dc,
    "forgejo": gitea,
    "gitea": gitea,
    "github": github,
    "gitlab": gitlab,
    "gogs": gitea,
    "oberonc": own,
    "sourcehut": sourcehut,
    "standard": own,
}
#: Those that do not say which branch is the default one.
NAMELESS: Final = ("bitbucket", "bitbucket-dc")


class Webhook(NamedTuple):
    """One `[webhooks.NAME]` of the configuration, its secrets resolved."""

    name: str
    forge: str
    secrets: tuple[str, ...]
    repositories: tuple[str, ...] = ()
    default_branch: str = ""
    #: Where its repositories are fetched from, where it is only a bell.
    origin: Origin | None = None


def names_events(webhook: Webhook) -> bool:
    """Whether who sends to *webhook* makes the ids of its events, and not `read`."""
    return FORGES[webhook.forge] is own


class Refused(Exception):
    """The request is not to be believed; the text says why, to the log alone."""


def authentic(webhook: Webhook, request: delivery.Delivery, now: float) -> None:
    """Raise Refused unless whoever sent *request* knows a secret of *webhook*; *now* is
    in seconds since 1970.
    """
    why = FORGES[webhook.forge].check(webhook.secrets, request, now)
    if why:
        raise Refused(why)


class Known(Protocol):
    """What the webhooks brought before."""

    def first_came(self, event: str, stamp: str) -> str:
        """The stamp with which *event* came first: *stamp*, if it never came before."""

    def seen(self, repository: str, oids: Sequence[str], event: str) -> Collection[str]:
        """Those of *oids* that another event than *event* brought."""


def read(
    webhook: Webhook, request: delivery.Delivery, config: Config, known: Known
) -> Payload | Nothing:
    """What an authentic *request* asks for. The same request makes the same payload,
    however often it comes. Raises BadInput.
    """
    try:
        body = jsontext.strict(request.json)
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadInput("the body is no JSON object")
    forge = FORGES[webhook.forge]
    said = forge.read(request, body)
    if isinstance(said, Nothing):
        return said
    name = (
        said.repository
        if isinstance(said, push.Push)
        else said["repository"]["full_name"]
    )
    if not passes(webhook.repositories, [name]):
        return Nothing(f"the webhook is not for the repository {name}")
    if not isinstance(said, push.Push):
        own_payload: Payload = said
        return own_payload
    kept = tuple(move for move in said.moves if move.ref.startswith(push.PLACES))
    if not kept:
        return Nothing("it moves no branch and no tag")
    said = said._replace(moves=kept)
    if webhook.default_branch:
        said = said._replace(default_branch=webhook.default_branch)
    told = forge.delivery_id(request, body)
    # Without an id the same bytes are the same event.
    event = push.event_id(webhook.name, told or hashlib.sha256(request.raw).hexdigest())
    asked = [
        one.commit.oid
        for move in said.moves
        for one in move.listed
        if one.distinct is None
    ]
    return push.payload(
        said,
        event,
        known.first_came(event, now()),
        publish=config.publish,
        seen=known.seen(name, asked, event) if asked else (),
        limits=config.limits,
    )
