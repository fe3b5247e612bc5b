"""Documentation made from the handlers: OpenAPI 3.1, and a page for people."""

import base64
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import converters, get_script_prefix

from oberonc.piston import conf
from oberonc.piston.authentication import NoAuthentication
from oberonc.piston.docpage import page
from oberonc.piston.emitters import Emitter
from oberonc.piston.mimers import Mimer
from oberonc.piston.routes import Route, routes

#: What a URL's converter takes, as JSON Schema.
_CONVERTERS: dict[type, dict[str, Any]] = {
    converters.IntConverter: {"type": "integer", "minimum": 0},
    converters.UUIDConverter: {"type": "string", "format": "uuid"},
    converters.SlugConverter: {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"},
}

#: A problem document, RFC 9457 section 3.1.
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string"},
                    "parameter": {"type": "string"},
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}

#: What a status means here, for who reads the documentation.
_MEANING = {
    200: "The thing.",
    201: "Made.",
    204: "Done; nothing to say.",
    304: "Not changed since the tag or date that was sent.",
    400: "The request is malformed.",
    401: "No or wrong credentials.",
    403: "Not permitted.",
    404: "There is no such thing.",
    406: "None of the formats that are accepted is there.",
    409: "It conflicts with what is there.",
    412: "It is no longer what the precondition says.",
    413: "The body is too large.",
    415: "The body's type is not read.",
    422: "Well-formed, but not valid: `errors` says where.",
    428: "A precondition (If-Match) is wanted.",
    429: "Too many requests; Retry-After says when again.",
    500: "A fault of the server's; `instance` names it in its log.",
    503: "It cannot be answered now; Retry-After says when again.",
}

#: The query of a list in pages: name, least value, meaning.
_PAGING = [
    ("limit", 1, "How many at most."),
    ("offset", 0, "How many to leave out at the beginning."),
]

_Schemas = dict[str, Any]


def generate_doc(
    urlconf: Any = None, title: str | None = None, version: str | None = None
) -> dict[str, Any]:
    """OpenAPI 3.1 of every Resource in `urlconf` (default: the project's).

    `title` and `version` are by default those of the setting `PISTON`.
    https://spec.openapis.org/oas/v3.1.0
    """
    schemas: _Schemas = {"Problem": _PROBLEM}
    schemes: dict[str, Any] = {}
    tags: dict[Any, str] = {}
    names: set[str] = set()
    paths: dict[str, Any] = {}
    ids: set[str] = set()
    for route in routes(urlconf):
        if route.path in paths:
            continue  # Django never comes to a second one either
        handler = route.resource.handler
        if handler not in tags:
            tags[handler] = _free(handler.__name__, names)
        paths[route.path] = {"parameters": _path_parameters(route)}
        for method, function in _methods(route).items():
            operation = _operation(route, method, function, schemas, schemes)
            operation["operationId"] = _free(operation["operationId"], ids)
            operation["tags"] = [tags[handler]]
            paths[route.path][method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title or conf.setting("TITLE"),
            "version": version or conf.setting("VERSION"),
        },
        "servers": [{"url": get_script_prefix().rstrip("/") or "/"}],
        "tags": [
            {"name": name, "description": inspect.cleandoc(handler.__doc__ or "")}
            for handler, name in tags.items()
        ],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": schemes},
    }


def _operation(
    route: Route, method: str, function: Any, schemas: _Schemas, schemes: dict[str, Any]
) -> dict[str, Any]:
    handler = route.resource.handler
    declared: dict[str, Any] = getattr(function, "__piston__", {})
    told = getattr(handler, "openapi", _nothing_told)(method, route.names())
    parameters = _headers(handler, method, declared)
    body = told.get("body")
    for validation in declared.get("validate", ()):
        if validation.operation == "GET":
            parameters += _search(validation, schemas, handler.__name__ + "Query")
        else:
            body = validation.json_schema()
    if told.get("paged"):
        parameters += [
            _query(name, {"type": "integer", "minimum": least}, meaning)
            for name, least, meaning in _PAGING
        ]
    summary, description = _texts(function)
    operation: dict[str, Any] = {
        "operationId": f"{route.name or handler.__name__}_{function.__name__}",
        "summary": told.get("summary", summary),
        "description": description,
        "parameters": parameters,
        "responses": _responses(route, method, function, told, body is not None),
        "security": _security(route, method, schemes),
    }
    if method in ("POST", "PUT", "PATCH") or body is not None:
        schema = (
            {}
            if body is None
            else _moved(body, schemas, handler.__name__ + method.title())
        )
        types = _input_types(declared)
        operation["requestBody"] = {
            "required": body is not None,
            "content": {type_: {"schema": schema} for type_ in types},
        }
    return operation


def _texts(function: Any) -> tuple[str, str]:
    """The first sentence of a docstring, and the rest of it."""
    first, _, rest = (inspect.getdoc(function) or "").partition("\n\n")
    summary, dot, more = " ".join(first.split()).partition(". ")
    return summary + dot.strip(), "\n\n".join(filter(None, (more, rest)))


def _nothing_told(method: str, arguments: Iterable[str]) -> dict[str, Any]:
    return {}


def _free(name: str, taken: set[str]) -> str:
    """`name`, with a number where another has it; then it is taken."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    found = []
    for name, converter in route.arguments.items():
        schema = _CONVERTERS.get(type(converter)) or _text_of(converter)
        if name == "emitter_format":
            schema = {"type": "string", "enum": list(_formats(route))}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return found


def _text_of(converter: Any) -> dict[str, Any]:
    """What a converter takes that is a project's own, or takes any text."""
    if converter is None or type(converter).__module__ == converters.__name__:
        return {"type": "string"}
    return {"type": "string", "pattern": f"^({converter.regex})$"}


def _headers(
    handler: type, method: str, declared: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Header parameters: preconditions (RFC 9110 section 13), and Idempotency-Key."""
    found = []
    if method == "GET":
        found.append(_header("If-None-Match", False, "304 if the tag is still right."))
    elif method != "POST":
        must = bool(getattr(handler, "require_match", False))
        found.append(_header("If-Match", must, "412 unless the tag is still right."))
    if "idempotent" in declared:
        must = bool(declared["idempotent"].required)
        meaning = "A request that is sent again with the same key is done once."
        found.append(_header("Idempotency-Key", must, meaning))
    return found


def _header(name: str, required: bool, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": {"type": "string"},
    }


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _search(validation: Any, schemas: _Schemas, prefix: str) -> list[dict[str, Any]]:
    """The query string, with the types that its parameters refer to."""
    inner = validation.json_schema().get("$defs", {})
    return [
        {**each, "schema": _moved({**each["schema"], "$defs": inner}, schemas, prefix)}
        for each in validation.parameters()
    ]


def _moved(schema: dict[str, Any], schemas: _Schemas, prefix: str) -> dict[str, Any]:
    """A schema whose `$defs` became components of the document."""
    schema = dict(schema)
    inner = schema.pop("$defs", {})
    plain = {"#/$defs/" + name: "#/components/schemas/" + name for name in inner}
    names = dict(plain)
    for name, each in inner.items():
        if schemas.get(name) not in (None, _renamed(each, plain)):
            other = _free(prefix + name, set(schemas))
            names["#/$defs/" + name] = "#/components/schemas/" + other
    for name, each in inner.items():
        target = names["#/$defs/" + name].rpartition("/")[2]
        schemas[target] = _renamed(each, names)
    return dict(_renamed(schema, names))


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names.get(each, each)
            if key == "$ref" and isinstance(each, str)
            else _renamed(each, names)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    return value


def _responses(
    route: Route, method: str, function: Any, told: Mapping[str, Any], body: bool
) -> dict[str, Any]:
    """The statuses that are possible by what was declared, with their content."""
    handler = route.resource.handler
    declared: dict[str, Any] = getattr(function, "__piston__", {})
    said = set(told.get("statuses", ()))
    usual = {"POST": 201, "DELETE": 204}.get(method, 200)
    done = {status for status in said if status < 300} or {usual}
    refused = {406, 500} | (said - done)
    if method == "GET":
        refused.add(304)
    if method in ("PUT", "PATCH", "DELETE"):
        refused.add(412)
        if getattr(handler, "require_match", False):
            refused.add(428)
    if route.arguments:
        refused.add(404)
    if method in ("POST", "PUT", "PATCH") or body:
        refused |= {400, 413, 415}
    if body or "validate" in declared:
        refused.add(422)
    if told.get("paged"):
        refused.add(400)
    if "throttle" in declared:
        refused.add(429)
    if "idempotent" in declared:
        refused |= {400, 409, 422}
    if hasattr(handler, "authorize"):
        refused.add(403)
    for authenticator in _authenticators(route):
        refused.add(403)
        if authenticator.challenge():
            refused.add(401)
    found: dict[str, Any] = {}
    for status in sorted(done):
        found[str(status)] = {"description": _MEANING[status]}
        if status != 204:
            schema = told.get("response", {})
            types = _formats(route).values()
            found[str(status)]["content"] = {
                type_: {"schema": schema} for type_ in types
            }
    for status in sorted(refused):
        found[str(status)] = {"description": _MEANING[status]}
        if status != 304:
            problem = {"$ref": "#/components/schemas/Problem"}
            found[str(status)]["content"] = {
                f"application/problem+{name}": {"schema": problem}
                for name in ("json", "yaml", "xml")
            }
    return found


def _security(
    route: Route, method: str, schemes: dict[str, Any]
) -> list[dict[str, list[str]]]:
    """The security requirements: any of them will do; {} where none is needed."""
    found: list[dict[str, list[str]]] = []
    resource = route.resource
    if (
        resource.handler.anonymous is not None
        and method in resource.route(route.names(), anonymous=True).operations
    ):
        found.append({})
    for authenticator in _authenticators(route):
        scheme = getattr(authenticator, "openapi", None)
        if scheme is None:
            continue
        name = type(authenticator).__name__
        if schemes.get(name, scheme) != scheme:
            name = _free(name, set(schemes))
        schemes[name] = scheme
        found.append({name: []})
    return found


def _methods(route: Route) -> dict[str, Any]:
    """The functions that answer at this URL, by method."""
    operations = route.resource.route(route.names()).operations
    return {
        method: getattr(route.resource.handler, operation.name)
        for method, operation in operations.items()
        if method != "HEAD"
    }


def _authenticators(route: Route) -> list[Any]:
    return [
        one
        for one in route.resource.authentication
        if type(one) is not NoAuthentication
    ]


def _formats(route: Route) -> dict[str, str]:
    """Names of the formats that are sent, and their content types."""
    return {name: Emitter.get(name)[1] for name in route.resource.formats()}


def _input_types(declared: Mapping[str, Any]) -> list[str]:
    """The types of bodies that are read; one name for each parser."""
    forms = ("application/x-www-form-urlencoded", "multipart/form-data")
    types = declared.get("require_mime", (*Mimer.loaders, *forms))
    first: dict[Any, str] = {}
    for type_ in types:
        first.setdefault(Mimer.loaders.get(type_, type_), type_)
    return list(first.values())


def openapi_view(request: HttpRequest) -> HttpResponse:
    """`generate_doc` of the URLconf that serves the request, as JSON."""
    document = generate_doc(getattr(request, "urlconf", None))
    return HttpResponse(json.dumps(document), content_type="application/json")


def documentation_view(request: HttpRequest) -> HttpResponse:
    """The same for people: one page without scripts that asks no other host."""
    document = generate_doc(getattr(request, "urlconf", None))
    text = page(document, request)
    response = HttpResponse(text)
    # The page's own style and nothing else, whatever the texts in it say.
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    response["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response
