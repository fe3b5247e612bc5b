"""Results made plain: what an emitter writes is text, numbers, lists and mappings.

A value becomes itself or a text; an object becomes a mapping of the fields that were
named for it, and nothing is ever dumped because nobody said what to show.
"""

import base64
import dataclasses
import datetime
import enum
import functools
import inspect
import math
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence, Set, ValuesView
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final, NamedTuple, TypeAlias

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise

from oberonc.piston.handler import BaseHandler, Fields, declared

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

#: A Decimal of more digits than this is refused: `1E+999999999` is short only as input.
_LONGEST_DECIMAL: Final = 10_000
NO_VALUE: Final = object()
_HOLDERS: Final = (dict, list, tuple)


class Shape(NamedTuple):
    """What is shown of a thing, and whose computed fields and link it has.

    A `picks` shape was written for one field: it also chooses the keys of a mapping.
    """

    fields: Fields
    handler: BaseHandler | None
    picks: bool


def duration(value: datetime.timedelta) -> str:
    """An ISO 8601 duration, as Django writes it: `P1DT02H03M04.500000S`."""
    sign = "-" if value < datetime.timedelta(0) else ""
    value = abs(value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}" if value.microseconds else ""
    return f"{sign}P{value.days}DT{hours:02}H{minutes:02}M{seconds:02}{fraction}S"


def _moment(value: datetime.datetime) -> str:
    text = value.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def _decimal(value: Decimal) -> str | None:
    if not value.is_finite():
        return None
    size = value.as_tuple()
    if len(size.digits) + abs(int(size.exponent)) > _LONGEST_DECIMAL:
        raise ValueError(f"a Decimal of more than {_LONGEST_DECIMAL} digits")
    return format(value, "f")


def _number(value: float) -> float | None:
    return float.__float__(value) if math.isfinite(value) else None


def _base64(value: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(value).decode("ascii")


#: The first that fits is used; a class stands before those it derives from.
_SCALARS: Final[Sequence[tuple[Any, Callable[[Any], Plain]]]] = (
    (bool, bool),
    (str, str.__str__),  # the plain text of a subclass too
    (int, int.__int__),
    (float, _number),
    (Decimal, _decimal),
    (datetime.datetime, _moment),
    ((datetime.date, datetime.time), lambda value: str(value.isoformat())),
    (datetime.timedelta, duration),
    ((uuid.UUID, PurePath, Promise), str),
    ((bytes, bytearray, memoryview), _base64),
)


def scalar(value: Any) -> Any:
    """The plain form of a single value, or `NO_VALUE` for what holds others."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, enum.Enum):
        return scalar(value.value)
    if isinstance(value, _HOLDERS):
        return NO_VALUE
    for kinds, convert in _SCALARS:
        if isinstance(value, kinds):
            return convert(value)
    return NO_VALUE


def key_text(key: Any) -> str:
    """The name of a member as JSON would write it: `true`, `null`, `1.5`.

    Raises TypeError for a key that is no single value.
    """
    plain = key if type(key) is str else scalar(key)
    if isinstance(plain, str):
        return plain
    if plain is NO_VALUE:
        raise TypeError(f"a key of type {type(key).__name__} has no name in an answer")
    if plain is None or isinstance(plain, bool):
        return {None: "null", True: "true", False: "false"}[plain]
    return integer_text(plain) if isinstance(plain, int) else repr(plain)


def integer_text(value: int) -> str:
    """The digits of an integer of any size; Python's own limit is for input."""
    return str(value) if value.bit_length() < 2000 else str(Decimal(value))


def is_list(value: object) -> bool:
    """Whether a result is a list of things: `list_fields` holds for them."""
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return False
    return isinstance(value, (Sequence, Set, Iterator, ValuesView)) or _is_model(
        value, "QuerySet"
    )


def _is_model(value: object, name: str) -> bool:
    """Whether this is a thing of django.db.models, which a project may never load."""
    models = sys.modules.get("django.db.models")
    return models is not None and isinstance(value, getattr(models, name))


@functools.lru_cache(maxsize=1024)
def computed_fields(handler: type[BaseHandler]) -> Mapping[str, str]:
    """Names of the computed fields of a handler, with the method of each."""
    found = {}
    for attribute in dir(handler):
        name = declared(inspect.getattr_static(handler, attribute)).get("computed")
        if name is not None:
            found[name] = attribute
    return found


def link(handler: BaseHandler, thing: Any) -> str | None:
    """The absolute path of a thing, by the `resource_uri` of its handler."""
    uri = handler.resource_uri(thing)  # type: ignore[attr-defined]
    if uri is None or isinstance(uri, str):
        return uri
    view, arguments = uri
    if isinstance(arguments, Mapping):
        return str(reverse(view, kwargs=arguments))
    return str(reverse(view, args=arguments))


@functools.lru_cache(maxsize=1024)
def _takes_nothing(function: Any) -> bool:
    """Whether a method can be called with its own object alone."""
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _attribute(thing: Any, name: str) -> Any:
    """The value of an attribute, called where it is a method that only reads."""
    value = getattr(thing, name)
    if _is_model(value, "Manager"):
        return value.all()
    if inspect.ismethod(value) and not getattr(value, "alters_data", False):
        return value() if _takes_nothing(value.__func__) else value
    return value


class Construction:
    """One result being made plain: the handlers it asks and the way down to it."""

    def __init__(self, request: HttpRequest | None = None) -> None:
        self.request = request
        self._handlers: dict[type[BaseHandler], BaseHandler] = {}
        self._above: dict[Any, Shape | None] = {}

    def plain(self, value: Any, shape: Shape | None = None) -> Plain:
        """`value` with nothing in it but what every format can carry.

        Raises TypeError for what has no form, ValueError for what is inside itself,
        AttributeError or KeyError for a field that is not there.
        """
        if isinstance(value, enum.Enum):
            return self.plain(value.value, shape)
        single = scalar(value)
        if single is not NO_VALUE:
            return single  # type: ignore[no-any-return]
        identity = _identity(value)
        if identity in self._above:
            return self._again(value, shape)
        self._above[identity] = shape
        try:
            return self._composed(value, shape)
        finally:
            del self._above[identity]

    def _composed(self, value: Any, shape: Shape | None) -> Plain:
        picks = shape is not None and shape.picks and bool(shape.fields)
        if isinstance(value, Mapping) and not picks:
            return self._mapping(value, shape)
        if is_list(value):
            return [self.plain(item, shape) for item in value]
        if hasattr(type(value), "__emittable__"):
            return self.plain(value.__emittable__(), shape)
        whole = dataclasses.is_dataclass(value) and not isinstance(value, type)
        if whole and not picks:
            names = [field.name for field in dataclasses.fields(value)]
            return {name: self.plain(getattr(value, name), shape) for name in names}
        if shape is None or not shape.fields or isinstance(value, type):
            raise TypeError(
                f"nobody said what to show of a {type(value).__name__}: name it in the "
                "`fields` of the handler, or give the class an `__emittable__`"
            )
        return {name: self.plain(*found) for name, found in self._fields(value, shape)}

    def _mapping(self, value: Mapping[Any, Any], shape: Shape | None) -> Plain:
        result = {key_text(key): self.plain(item, shape) for key, item in value.items()}
        if len(result) < len(value):
            raise ValueError("two keys of a mapping have the same name in an answer")
        return result

    def _fields(
        self, thing: Any, shape: Shape
    ) -> Iterator[tuple[str, tuple[Any, Shape | None]]]:
        """Name, value and shape of each field of a thing, in their order."""
        handler = shape.handler
        computed: Mapping[str, str] = {}
        if handler is not None:
            handler_class: Any = type(handler)
            computed = computed_fields(handler_class)
        for field in shape.fields:
            name, inner = (field, None) if isinstance(field, str) else field
            if name in computed:
                value = getattr(handler, computed[name])(thing)
            elif name == "resource_uri" and hasattr(handler, name):
                value = link(handler, thing)  # type: ignore[arg-type]
            elif isinstance(thing, Mapping):
                value = thing[name]
            else:
                value = _attribute(thing, name)
            yield name, (value, None if inner is None else self.shape(inner))

    def shape(self, inner: "Fields | type[BaseHandler]") -> Shape:
        """The shape that a field's second half asks for."""
        if not isinstance(inner, type):
            return Shape(inner, None, picks=True)
        if inner not in self._handlers:
            self._handlers[inner] = inner()
            if self.request is not None:
                self._handlers[inner].request = self.request
        return Shape(inner.fields, self._handlers[inner], picks=True)

    def _again(self, value: Any, shape: Shape | None) -> Plain:
        """What stands for a thing below itself: its link, else its primary key."""
        above = self._above[_identity(value)]
        for handler in (shape and shape.handler, above and above.handler):
            if hasattr(handler, "resource_uri") and not _holds_others(value):
                return link(handler, value)  # type: ignore[arg-type]
        if not _holds_others(value) and hasattr(value, "pk"):
            return self.plain(value.pk)
        raise ValueError(f"a {type(value).__name__} is inside itself")


def _identity(value: Any) -> Any:
    """What is the same for the same thing: a row may be in memory more than once."""
    if _is_model(value, "Model") and value.pk is not None:
        return value._meta.concrete_model, value.pk
    return id(value)


def _holds_others(value: Any) -> bool:
    return isinstance(value, Mapping) or is_list(value)


def check_fields(fields: Any, where: str) -> None:
    """Raise TypeError where `fields` is not what a handler's fields can be."""
    if isinstance(fields, type) and issubclass(fields, BaseHandler):
        return
    if isinstance(fields, str) or not isinstance(fields, Sequence):
        raise TypeError(f"{where} is to be a tuple of names, not {fields!r}")
    for field in fields:
        if isinstance(field, str):
            continue
        if not (isinstance(field, Sequence) and len(field) == 2):
            raise TypeError(f"{where} has {field!r}: write a name or (name, fields)")
        check_fields(field[1], f"{where}: {field[0]}")
