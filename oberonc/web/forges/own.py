"""Another oberonc, or any program that sends payloads of schema 1, signed as Standard
Webhooks says.
"""

from oberonc.errors import BadInput
from oberonc.payload.check import check as fault_of
from oberonc.payload.schema import Payload
from oberonc.web.forges import delivery as signed
from oberonc.web.forges.delivery import Delivery, Secrets
from oberonc.web.forges.fields import Json
from oberonc.web.forges.push import Nothing

#: What a delivery has beside its payload. `service` holds secrets: it is not to be
#: sent, and not taken.
_AT_DELIVERY = ("broker", "service", "delivery_id", "attempt", "order", "submitter")


def check(secrets: Secrets, delivery: Delivery, now: float) -> str:
    """Whether to believe it."""
    return signed.standard(secrets, delivery, now)


def delivery_id(delivery: Delivery, _body: Json) -> str:
    """The same for each retry, and signed."""
    return delivery.header("webhook-id")


def read(_delivery: Delivery, body: Json) -> Payload | Nothing:
    """The payload itself. Raises BadInput for one that is none."""
    if "schema" not in body:
        return Nothing("it is no payload of schema 1")
    payload = {key: value for key, value in body.items() if key not in _AT_DELIVERY}
    fault = fault_of(payload)
    if fault:
        raise BadInput(f"it is no payload of schema 1: {fault}")
    return payload
