"""The documentation page: an OpenAPI document in words and tables."""

import json
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from django.http import HttpRequest
from django.template import Context, Engine

from oberonc.piston import conf
from oberonc.piston.emitters import Emitter

#: Limits of JSON Schema that the page tells, in words.
_LIMITS = [
    ("minLength", "at least so long:"),
    ("maxLength", "at most so long:"),
    ("minimum", "at least"),
    ("exclusiveMinimum", "more than"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "less than"),
    ("minItems", "at least so many:"),
    ("maxItems", "at most so many:"),
    ("pattern", "matches"),
    ("default", "by default"),
]

#: Schemas inside one another that the page shows; some contain themselves.
_DEEPEST = 6

_Schemas = dict[str, Any]


@cache
def _template() -> Any:
    """Loaded without the project's TEMPLATES, which may be empty."""
    folder = Path(__file__).with_name("templates")
    return Engine(dirs=[str(folder)]).get_template("documentation.html")


def page(document: Mapping[str, Any], request: HttpRequest) -> str:
    """The HTML of an OpenAPI document that `generate_doc` made."""
    schemas = document["components"]["schemas"]
    server = request.build_absolute_uri(document["servers"][0]["url"]).rstrip("/")
    groups: dict[str, Any] = {
        tag["name"]: {"operations": [], **tag} for tag in document["tags"]
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                shown = _operation(operation, item["parameters"], schemas)
                shown |= {"method": method, "path": path}
                shown["example"] = _example(method, server + path, operation, schemas)
                groups[operation["tags"][0]]["operations"].append(shown)
    context = {
        "title": document["info"]["title"],
        "version": document["info"]["version"],
        "formats": [
            (name, Emitter.formats[name].content_type)
            for name in conf.setting("FORMATS") or Emitter.formats
            if name in Emitter.formats
        ],
        "parameter": conf.setting("FORMAT_PARAM"),
        "schemes": [
            {"name": name, "how": _how(scheme)}
            for name, scheme in document["components"]["securitySchemes"].items()
        ],
        "groups": groups.values(),
    }
    return str(_template().render(Context(context)))


def _operation(
    operation: Mapping[str, Any], shared: list[dict[str, Any]], schemas: _Schemas
) -> dict[str, Any]:
    """What the template shows of an operation."""
    content = operation.get("requestBody", {}).get("content", {})
    responses = operation["responses"]
    answer = next(iter(responses.values())).get("content", {})
    parameters = [
        {
            "place": each["in"],
            "required": False,
            "description": "",
            **each,
            "type": _type(each["schema"], schemas),
        }
        for each in shared + operation["parameters"]
    ]
    return {
        **operation,
        "credentials": _credentials(operation["security"]),
        "parameters": parameters,
        "types": ", ".join(content),
        "body": _rows(_schema(content), schemas),
        "answer": _rows(_schema(answer), schemas),
        "statuses": [(each, responses[each]["description"]) for each in responses],
    }


def _schema(content: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the first media type; the others have the same."""
    for media in content.values():
        return dict(media["schema"])
    return {}


def _credentials(security: list[dict[str, list[str]]]) -> str:
    return " or ".join(", ".join(each) or "none" for each in security)


def _how(scheme: Mapping[str, Any]) -> str:
    """A security scheme in words."""
    if scheme["type"] == "http":
        return f"HTTP {scheme['scheme']}, in the header Authorization"
    if scheme["type"] == "apiKey":
        return f"{scheme['in']} {scheme['name']}"
    return str(scheme.get("description", scheme["type"]))


def _resolved(schema: Mapping[str, Any], schemas: _Schemas) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def _type(schema: Mapping[str, Any], schemas: _Schemas, depth: int = 0) -> str:
    """A schema's kind of value in words: `integer`, `list of string or null`."""
    schema = _resolved(schema, schemas) if depth < _DEEPEST else {}
    for key in ("anyOf", "oneOf"):
        if key in schema:
            kinds = dict.fromkeys(
                _type(each, schemas, depth + 1) for each in schema[key]
            )
            return " or ".join(kinds)
    if "enum" in schema:
        return " or ".join(json.dumps(each, default=str) for each in schema["enum"])
    kinds = schema.get("type", "any")
    text = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if "array" in text:
        items = _type(schema.get("items", {}), schemas, depth + 1)
        return text.replace("array", f"list of {items}" if items != "any" else "list")
    return f"{text} ({schema['format']})" if "format" in schema else text


def _rows(
    schema: Mapping[str, Any], schemas: _Schemas, before: str = "", depth: int = 0
) -> list[dict[str, Any]]:
    """A line for each member, of objects in it too: `lines[].sku`."""
    schema = _resolved(schema, schemas) if depth < _DEEPEST else {}
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if "properties" in _resolved(each, schemas) or "items" in each:
            return _rows(each, schemas, before, depth + 1)
    if "items" in schema:
        return _rows(schema["items"], schemas, before and before + "[]", depth + 1)
    found: list[dict[str, Any]] = []
    for name, inner in schema.get("properties", {}).items():
        full = f"{before}.{name}" if before else name
        limits = [f"{words} {inner[key]}" for key, words in _LIMITS if key in inner]
        found.append(
            {
                "name": full,
                "type": _type(inner, schemas),
                "required": name in schema.get("required", ()),
                "description": "; ".join(
                    filter(None, [inner.get("description", ""), *limits])
                ),
            }
        )
        found += _rows(inner, schemas, full, depth + 1)
    return found


def _example(
    method: str, url: str, operation: Mapping[str, Any], schemas: _Schemas
) -> str:
    """A command that asks for it."""
    content = operation.get("requestBody", {}).get("content", {})
    words = ["curl"]
    if method != "get":
        words += ["-X", method.upper()]
    if "application/json" in content:
        sample = json.dumps(_sample(_schema(content), schemas))
        words += ["-H", "Content-Type: application/json", "-d", sample]
    return shlex.join([*words, url])


def _sample(schema: Mapping[str, Any], schemas: _Schemas, depth: int = 0) -> Any:
    """A value of the schema's kind, to be filled in."""
    schema = _resolved(schema, schemas) if depth < _DEEPEST else {}
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _sample(schema[key][0], schemas, depth)
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "array":
        return [_sample(schema.get("items", {}), schemas, depth + 1)]
    if kind == "object":
        members = schema.get("properties", {}).items()
        return {name: _sample(each, schemas, depth + 1) for name, each in members}
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(kind, "...")
