"""A REST mini-framework for Django: handlers, resources, emitters.

Every public name is here and is loaded when it is asked for (PEP 562), so importing
the package needs no configured settings and costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from oberonc.piston.handler import AnonymousBaseHandler as AnonymousBaseHandler
    from oberonc.piston.handler import BaseHandler as BaseHandler
    from oberonc.piston.handler import computed as computed
    from oberonc.piston.problems import Problem as Problem
    from oberonc.piston.replies import rc as rc

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
