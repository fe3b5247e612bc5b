"""A dataclass or TypedDict as the schema of any input format, by pydantic.

pydantic takes a tenth of a second to import, so that waits for the first request.
"""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from django.core.exceptions import ImproperlyConfigured
from django.http import QueryDict

from oberonc.piston.faults import Fault

#: A list of a million wrong items has a million faults, each of them a dict here.
MOST_FAULTS: Final = 10_000
#: Codes and texts of what pydantic says in Python's words.
_WORDS: Final = {
    "dataclass_type": ("invalid_type", "Input should be an object."),
    "dict_type": ("invalid_type", "Input should be an object."),
    "unexpected_keyword_argument": ("extra_forbidden", "Unknown member."),
    "extra_forbidden": ("extra_forbidden", "Unknown member."),
}


class TypeSchema:
    """*type* is a dataclass or TypedDict; *forbid* refuses unknown members.

    With *partial* no member is required, none gets its default, and the result is a
    dict.
    """

    def __init__(self, type: Any, forbid: bool, partial: bool) -> None:
        self.type = type
        self.extra: Literal["forbid", "ignore"] = "forbid" if forbid else "ignore"
        self.partial = partial

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import PydanticUserError, TypeAdapter

        try:
            adapter = TypeAdapter(_for_pydantic(self.type, self.partial))
            schema = adapter.json_schema()
        except (PydanticUserError, NameError) as error:
            raise ImproperlyConfigured(
                f"{self.type.__name__} cannot be a schema: {error}"
            ) from error
        _refuse_exponential(self.type.__name__, schema)
        return adapter

    @cached_property
    def _validator(self) -> Any:
        from pydantic_core import SchemaValidator

        return SchemaValidator(_finite(self._adapter.core_schema))

    def clean(
        self, request: Any, data: Any, files: Mapping[str, Any]
    ) -> tuple[Any, list[Fault]]:
        """An instance of the dataclass or a dict, and what is wrong."""
        from pydantic import ValidationError

        if isinstance(data, QueryDict):
            data = {
                name: texts if name in self._lists else texts[-1]
                for name, texts in data.lists()
                if texts
            } | {name: files[name] for name in files}
        try:
            return self._validator.validate_python(data, extra=self.extra), []
        except ValidationError as error:
            if error.error_count() > MOST_FAULTS:
                text = f"{error.error_count()} things are not valid."
                return None, [Fault((), text, "too_many")]
            found = error.errors(include_url=False, include_context=False)
            return None, [_fault(data, one) for one in found]

    def json_schema(self) -> dict[str, Any]:
        """What the type takes, as JSON Schema 2020-12, with `$defs`."""
        schema: dict[str, Any] = self._adapter.json_schema()
        if self.extra == "forbid":
            for one in (schema, *schema.get("$defs", {}).values()):
                if "properties" in one:
                    one.setdefault("additionalProperties", False)
        return schema

    @cached_property
    def _lists(self) -> set[str]:
        """The members that are lists, of which a form sends each item by itself."""
        schema = self.json_schema()
        if "$ref" in schema:
            schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
        return {
            name
            for name, member in schema.get("properties", {}).items()
            if "array"
            in [one.get("type") for one in (member, *member.get("anyOf", []))]
        }


def _for_pydantic(hint: Any, optional: bool, inside: tuple[Any, ...] = ()) -> Any:
    """*hint* as pydantic takes it; *optional*: a TypedDict that requires no member.

    Before Python 3.12 pydantic refuses a TypedDict of `typing`; each is made anew
    by `typing_extensions`. Raises ImproperlyConfigured for one that is *inside* itself.
    """
    if dataclasses.is_dataclass(hint) and optional:
        return _typed_dict(hint, _of_dataclass(hint))
    is_refused = type(hint).__module__ == "typing" and sys.version_info < (3, 12)
    if hasattr(hint, "__total__") and (optional or is_refused):
        if hint in inside:
            raise ImproperlyConfigured(
                f"{hint.__name__} is inside itself: use typing_extensions.TypedDict."
            )
        members = {}
        for name, member in get_type_hints(hint, include_extras=True).items():
            required = name in hint.__required_keys__
            while (wrapper := get_origin(member)) in (Required, NotRequired):
                required = wrapper is Required
                member = get_args(member)[0]
            member = _for_pydantic(member, False, (*inside, hint))
            if optional or not required:
                member = NotRequired[member]
            members[name] = member
        return _typed_dict(hint, members)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[(_for_pydantic(arguments[0], False, inside), *arguments[1:])]
    if origin is UnionType:
        origin = Union
    changed = tuple(_for_pydantic(one, False, inside) for one in arguments)
    if changed == arguments:
        return hint
    return origin[changed]


def _of_dataclass(hint: Any) -> dict[str, Any]:
    """The members of a dataclass, none required, each with the limits that
    `pydantic.Field(gt=0)` sets as its default.
    """
    from pydantic.fields import FieldInfo

    hints = get_type_hints(hint, include_extras=True)
    members = {}
    for one in dataclasses.fields(hint):
        member = _for_pydantic(hints[one.name], False)
        if isinstance(one.default, FieldInfo):
            for limit in one.default.metadata:
                member = Annotated[member, limit]
        if one.init:
            members[one.name] = NotRequired[member]
    return members


def _typed_dict(like: Any, members: dict[str, Any]) -> Any:
    import typing_extensions

    made: Any = typing_extensions.TypedDict(like.__name__, members)  # type: ignore[misc]
    if hasattr(like, "__total__"):  # a dataclass without one gets one made of its names
        made.__doc__ = like.__doc__
    return made


def _finite(schema: Any) -> Any:
    """A core schema of pydantic whose floats are not "nan" and not "inf"."""
    if isinstance(schema, list):
        return [_finite(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: value if key in ("default", "metadata") else _finite(value)
        for key, value in schema.items()
    }
    if made.get("type") == "float":
        made.setdefault("allow_inf_nan", False)
    return made


def _refuse_exponential(name: str, schema: dict[str, Any]) -> None:
    """Raises ImproperlyConfigured where each level of the input doubles the work.

    A union without a discriminator tries each member, so where two members are of one
    kind and lead back to the union, a body of thirty levels costs 2**30 trials.
    """
    definitions = schema.get("$defs", {})

    def leads_to(start: Any, goal: str) -> bool:
        seen: set[str] = set()
        todo = [start]
        while todo:
            names = {
                one["$ref"].rpartition("/")[2] for one in _nodes(todo.pop(), "$ref")
            }
            todo += [definitions[new] for new in names - seen]
            seen |= names
        return goal in seen

    for container, definition in definitions.items():
        for node in _nodes(definition, "anyOf"):
            back = [one for one in node["anyOf"] if leads_to(one, container)]
            kinds = [
                definitions.get(one.get("$ref", "").rpartition("/")[2], one).get("type")
                for one in back
            ]
            if len(kinds) != len(set(kinds)):
                raise ImproperlyConfigured(
                    f"{name} cannot be a schema: members of a union in {container} "
                    "lead back to it, and nothing tells them apart. Give the union a "
                    "discriminator."
                )


def _nodes(schema: Any, keyword: str) -> Iterator[dict[str, Any]]:
    """The objects in *schema* that have the *keyword*."""
    if isinstance(schema, dict):
        if keyword in schema:
            yield schema
        for value in schema.values():
            yield from _nodes(value, keyword)
    elif isinstance(schema, list):
        for value in schema:
            yield from _nodes(value, keyword)


def _fault(data: Any, error: Mapping[str, Any]) -> Fault:
    """What pydantic found wrong, with the path as it is in the *data*."""
    location = error["loc"]
    absent = location[-1:] if error["type"] == "missing" else ()
    location = location[: len(location) - len(absent)]
    path = _path(data, location, error["input"], set())
    if path is None:  # a key is wrong, or not the data itself
        path = _path(data, location, None, None) or ()
    detail = error["msg"].removeprefix("Value error, ")
    code, detail = _WORDS.get(error["type"], (error["type"], detail))
    return Fault((*path, *absent), detail, code)


def _path(
    node: Any, location: tuple[Any, ...], found: Any, failed: set[Any] | None
) -> tuple[Any, ...] | None:
    """Those parts of *location* that lead from *node* to *found*; the others are names
    of the members of unions. *failed* is what was tried; None: anything is found.
    """
    if not location:
        return () if failed is None or node is found else None
    if failed is not None and (id(node), len(location)) in failed:
        return None
    part, rest = location[0], location[1:]
    if isinstance(node, list):
        leads_on = isinstance(part, int) and part < len(node)
    else:
        leads_on = isinstance(node, Mapping) and part in node
    if leads_on:
        path = _path(node[part], rest, found, failed)
        if path is not None:
            return (part, *path)
    path = _path(node, rest, found, failed)
    if path is None and failed is not None:
        failed.add((id(node), len(location)))
    return path
