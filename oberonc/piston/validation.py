"""`@validate`: what a request must be like before the handler runs."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.http import QueryDict

from oberonc.piston.faults import Fault, unprocessable
from oberonc.piston.handler import declare, declared

F = TypeVar("F", bound=Callable[..., Any])
Operation = Literal["GET", "POST", "PUT", "PATCH"]


class Validation:
    """One schema of a handler method: see `validate`."""

    def __init__(
        self, schema: Any, operation: Operation, extra: str, partial: bool
    ) -> None:
        self.operation = operation
        self.of_query = operation == "GET"
        # Other parameters of a query string are those of paging, of the format, of
        # trackers.
        forbid = extra == "forbid" and not self.of_query
        self._arguments = schema, forbid, partial

    @cached_property
    def _schema(self) -> Any:
        # Both ways are imported when they are needed: forms cost some time, pydantic
        # much.
        if hasattr(self._arguments[0], "base_fields"):
            from oberonc.piston.form_schema import FormSchema

            return FormSchema(*self._arguments)
        from oberonc.piston.type_schema import TypeSchema

        return TypeSchema(*self._arguments)

    def apply(self, request: Any) -> None:
        """Set `request.cleaned`, and `request.form` where the schema is a Form; for the
        query string `request.query` too.

        Raises Problem 422 with all that is wrong, ImproperlyConfigured for a schema
        that pydantic does not understand.
        """
        data, files = request.data, request.files
        if self.of_query:
            data, files = request.GET, {}
        elif isinstance(data, QueryDict) and "csrfmiddlewaretoken" in data:
            data = data.copy()  # SessionAuthentication has used the token up
            del data["csrfmiddlewaretoken"]
        faults: list[Fault]
        cleaned, faults = self._schema.clean(request, data, files)
        if faults:
            raise unprocessable(faults, "parameter" if self.of_query else "pointer")
        request.cleaned = cleaned
        if self.of_query:
            request.query = cleaned

    def json_schema(self) -> dict[str, Any]:
        """The body as JSON Schema 2020-12; `$defs` has the types it refers to."""
        schema: dict[str, Any] = self._schema.json_schema()
        return schema

    def parameters(self) -> list[dict[str, Any]]:
        """The query string as OpenAPI parameters; none where the body is validated."""
        if not self.of_query:
            return []
        schema = self.json_schema()
        return [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", []),
                "schema": member,
            }
            for name, member in schema.get("properties", {}).items()
        ]


def _query_first(validation: Validation) -> bool:
    return not validation.of_query


def validate(
    schema: type,
    operation: Operation = "POST",
    *,
    extra: Literal["forbid", "ignore"] = "forbid",
    partial: bool = False,
) -> Callable[[F], F]:
    """Check the body, or with *operation* "GET" the query string, by a *schema*.

    A Form gives `request.form` and its `cleaned_data` as `request.cleaned`, a dataclass
    an instance, a TypedDict a dict, whatever the format of the input. Unknown members
    are refused unless *extra* is "ignore"; those of a query string are always ignored.
    With *partial*, for PATCH, nothing is required, and `request.cleaned` is a dict of
    what was sent: a member that was sent as null is in it, one that was not sent is
    not.

    A function may have one schema for the query string and one for the body; then
    `request.cleaned` is of the body, and `request.query` of the query string.

    Raises ImproperlyConfigured for another schema, *operation* or *extra*, and for two
    schemas of one part of the request.
    """
    known = ("base_fields", "__dataclass_fields__", "__total__")
    if not isinstance(schema, type) or not any(hasattr(schema, one) for one in known):
        raise ImproperlyConfigured(f"{schema!r} is no Form, dataclass or TypedDict.")
    if operation not in ("GET", "POST", "PUT", "PATCH"):
        raise ImproperlyConfigured(f"validate() knows no operation {operation!r}.")
    if extra not in ("forbid", "ignore"):
        raise ImproperlyConfigured(f"extra is 'forbid' or 'ignore', not {extra!r}.")

    def decorate(function: F) -> F:
        validation = Validation(schema, operation, extra, partial)
        for other in declared(function).get("validate", []):
            if other.of_query == validation.of_query:
                raise ImproperlyConfigured(
                    f"{function.__qualname__} has two schemas for one thing."
                )
        declare(function, "validate", validation)
        declared(function)["validate"].sort(key=_query_first)
        return function

    return decorate
