"""System checks of what the URLconf leads to: methods, and fields of models."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register

from oberonc.piston.conf import setting
from oberonc.piston.construct import computed_fields
from oberonc.piston.handler import FUNCTIONS, BaseHandler


@register(Tags.urls)
def methods_are_reachable(**_: Any) -> list[CheckMessage]:
    """Each method of a handler is allowed at one URL at least."""
    from oberonc.piston.routes import routes

    reached: dict[type[BaseHandler], set[str]] = {}
    for route in routes():
        found = reached.setdefault(route.resource.handler, set())
        found.update(route.resource.route(route.names()).operations)
    return [
        Warning(
            f"{handler.__name__}.{name} is reachable at no URL.",
            hint="Its arguments are those of no URL, or allowed_methods leaves it out.",
            obj=handler,
            id="piston.W101",
        )
        for handler, methods in reached.items()
        for method, name in FUNCTIONS.items()
        if name in vars(handler) and method not in methods
    ]


@register(Tags.urls)
def formats_are_known(**_: Any) -> list[CheckMessage]:
    """Each format that `PISTON` or a handler names has an emitter."""
    from oberonc.piston.emitters import Emitter
    from oberonc.piston.routes import routes

    handlers = dict.fromkeys(route.resource.handler for route in routes())
    named = [("PISTON", name) for name in setting("FORMATS") or ()]
    for handler in handlers:
        named += [(handler.__name__, name) for name in handler.formats or ()]
    return [
        Error(
            f"{owner} names the format {name!r}, which no emitter has.",
            hint="There are " + ", ".join(Emitter.formats) + ".",
            id="piston.E104",
        )
        for owner, name in named
        if name not in Emitter.formats
    ]


@register(Tags.models)
def model_fields_exist(**_: Any) -> list[CheckMessage]:
    """What ModelHandlers in the URLconf name is there."""
    from oberonc.piston.routes import routes

    handlers = dict.fromkeys(route.resource.handler for route in routes())
    return [
        message
        for handler in handlers
        if getattr(handler, "model", None) is not None
        for message in (*_shown(handler), *_writable(handler))
    ]


def _shown(handler: Any) -> Iterator[CheckMessage]:
    # A queryset of its own may add annotations, which cannot be known.
    from oberonc.piston.modelhandler import ModelHandler

    unsure = handler.queryset is not ModelHandler.queryset
    for fields in (handler.fields, handler.list_fields):
        for name in _missing(handler.model, handler, fields):
            yield (Warning if unsure else Error)(
                f"{handler.__name__} shows {name!r}, which {handler.model.__name__} "
                "has not.",
                obj=handler,
                id="piston.W102" if unsure else "piston.E102",
            )


def _missing(model: Any, handler: Any, fields: Any, before: str = "") -> Iterator[str]:
    """The names that are neither computed nor of the model, nor of what it refers to."""
    from oberonc.piston.modelschema import attributes

    computed = computed_fields(handler) if handler else {}
    known = {} if model is None else attributes(model)
    for each in fields:
        name, inner = (each, None) if isinstance(each, str) else each
        if name in computed or (name == "resource_uri" and hasattr(handler, name)):
            continue
        if name not in known and not hasattr(model, name):
            yield before + name
        # A handler is checked where it is the model's own.
        elif inner is not None and not isinstance(inner, type) and name in known:
            yield from _missing(
                known[name].related_model, None, inner, f"{before}{name}."
            )


def _writable(handler: Any) -> Iterator[CheckMessage]:
    from oberonc.piston.modelschema import attributes

    known = attributes(handler.model)
    for name in handler.writable:
        field: Any = known.get(name)
        # A reverse or generic relation is neither of the two.
        own = getattr(field, "concrete", False) or (
            getattr(field, "many_to_many", False) and not field.auto_created
        )
        if not own or field.name != name:
            yield Error(
                f"{handler.__name__}.writable names {name!r}, which is no field of "
                f"{handler.model.__name__}.",
                hint="Relations are written at the model that has the field.",
                obj=handler,
                id="piston.E103",
            )
