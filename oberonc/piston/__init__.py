"""A REST mini-framework for Django: handlers, resources, emitters.

Every public name is here and is loaded when it is asked for (PEP 562), so importing
the package needs no configured settings and costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from oberonc.piston.authentication import BadCredentials as BadCredentials
    from oberonc.piston.authentication import (
        BearerAuthentication as BearerAuthentication,
    )
    from oberonc.piston.authentication import (
        HttpBasicAuthentication as HttpBasicAuthentication,
    )
    from oberonc.piston.authentication import HttpBasicSimple as HttpBasicSimple
    from oberonc.piston.authentication import NoAuthentication as NoAuthentication
    from oberonc.piston.authentication import Principal as Principal
    from oberonc.piston.authentication import (
        SessionAuthentication as SessionAuthentication,
    )
    from oberonc.piston.emitters import Emitter as Emitter
    from oberonc.piston.handler import AnonymousBaseHandler as AnonymousBaseHandler
    from oberonc.piston.handler import BaseHandler as BaseHandler
    from oberonc.piston.handler import computed as computed
    from oberonc.piston.idempotency import idempotent as idempotent
    from oberonc.piston.mimers import Mimer as Mimer
    from oberonc.piston.mimers import require_extended as require_extended
    from oberonc.piston.mimers import require_mime as require_mime
    from oberonc.piston.paging import Page as Page
    from oberonc.piston.paging import paginate as paginate
    from oberonc.piston.problems import Problem as Problem
    from oberonc.piston.replies import rc as rc
    from oberonc.piston.resource import Resource as Resource
    from oberonc.piston.signatures import (
        SignatureAuthentication as SignatureAuthentication,
    )
    from oberonc.piston.throttling import throttle as throttle
    from oberonc.piston.validation import validate as validate

_HOME: Final = {
    "AnonymousBaseHandler": "handler",
    "BaseHandler": "handler",
    "computed": "handler",
    "ModelHandler": "modelhandler",
    "Resource": "resource",
    "Emitter": "emitters",
    "Mimer": "mimers",
    "require_extended": "mimers",
    "require_mime": "mimers",
    "Problem": "problems",
    "rc": "replies",
    "validate": "validation",
    "throttle": "throttling",
    "idempotent": "idempotency",
    "Page": "paging",
    "paginate": "paging",
    "BadCredentials": "authentication",
    "BearerAuthentication": "authentication",
    "HttpBasicAuthentication": "authentication",
    "HttpBasicSimple": "authentication",
    "NoAuthentication": "authentication",
    "Principal": "authentication",
    "SessionAuthentication": "authentication",
    "SignatureAuthentication": "signatures",
    "documentation_view": "doc",
    "generate_doc": "doc",
    "openapi_view": "doc",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
