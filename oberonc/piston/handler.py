"""What a person writes: a handler, and the declarations on its functions.

A declaration is a note on the function itself, not a wrapper: the order of
decorators does not matter, and the documentation reads what the resource obeys.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias, TypeVar, overload

from django.http import HttpRequest

Function = TypeVar("Function", bound=Callable[..., Any])
#: A name, or a name with what to show of the thing it names: fields, or a handler.
Field: TypeAlias = "str | tuple[str, Fields | type[BaseHandler]]"
Fields: TypeAlias = "Sequence[Field]"

#: Which function answers a method (HEAD is a GET whose body is not sent).
FUNCTIONS: Final = {
    "GET": "read",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


def declare(function: Function, key: str, value: Any) -> Function:
    """Note `value` under `key` on a function and give the function back.

    `validate` is a list, since the body and the query string are two declarations.
    """
    notes = function.__dict__.setdefault("__piston__", {})
    if key == "validate":
        notes.setdefault(key, []).append(value)
    else:
        notes[key] = value
    return function


def declared(function: Any) -> Mapping[str, Any]:
    """What was declared on a function or method; empty if nothing was."""
    notes: Mapping[str, Any] = getattr(function, "__piston__", {})
    return notes


@overload
def computed(name: str) -> Callable[[Function], Function]:
    """Make a method a field of this name."""


@overload
def computed(name: Function) -> Function:
    """Make a method a field of its own name."""


def computed(name: Any) -> Any:
    """Make a method `(self, thing)` a field; `@computed("name")` names it otherwise."""
    if callable(name):
        return declare(name, "computed", getattr(name, "__name__", ""))
    return lambda function: declare(function, "computed", name)


class BaseHandler:
    """The things behind a URL: `read`, `create`, `update`, `patch`, `delete`.

    Each is `(self, request, **url arguments)`, plain or `async def`; what is not
    written answers 405. A fresh instance serves each request.

    Optional methods, looked for and not inherited: `authorize(self, request, **url
    arguments)` (False: 403), `etag(...)` and `last_modified(...)` with the same
    arguments, `resource_uri(cls, thing)`, and those marked `@computed`.
    """

    #: What is shown of an object, in this order.
    fields: ClassVar[Fields] = ()
    #: Replaces `fields` where the result is a list.
    list_fields: ClassVar[Fields] = ()
    #: Serves requests that come without credentials, where it allows the method.
    anonymous: ClassVar["type[BaseHandler] | None"] = None
    #: Narrows the methods; None: all that are written.
    allowed_methods: ClassVar[Sequence[str] | None] = None
    #: Names of emitters, the default first; None: all of them.
    formats: ClassVar[Sequence[str] | None] = None
    #: The longest body in bytes; None: `PISTON["MAX_BODY"]`.
    max_body: ClassVar[int | None] = None
    #: PUT, PATCH and DELETE without a precondition are 428.
    require_match: ClassVar[bool] = False

    request: HttpRequest


class AnonymousBaseHandler(BaseHandler):
    """A handler that allows only GET, unless it says otherwise."""

    allowed_methods: ClassVar[Sequence[str] | None] = ("GET",)
