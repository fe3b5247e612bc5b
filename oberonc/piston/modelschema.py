"""JSON Schema (2020-12) of a model's fields, for documentation."""

from collections.abc import Iterable
from typing import Any

from django.db import models

_TYPES: list[tuple[type[models.Field], dict[str, Any]]] = [
    (models.BooleanField, {"type": "boolean"}),
    (models.IntegerField, {"type": "integer"}),
    (models.FloatField, {"type": "number"}),
    (models.DecimalField, {"type": "string", "format": "decimal"}),
    (models.DateTimeField, {"type": "string", "format": "date-time"}),
    (models.DateField, {"type": "string", "format": "date"}),
    (models.TimeField, {"type": "string", "format": "time"}),
    (models.DurationField, {"type": "string", "format": "duration"}),
    (models.UUIDField, {"type": "string", "format": "uuid"}),
    (models.EmailField, {"type": "string", "format": "email"}),
    (models.URLField, {"type": "string", "format": "uri"}),
    (models.CharField, {"type": "string"}),
    (models.TextField, {"type": "string"}),
    (models.FileField, {"type": "string"}),
    (models.BinaryField, {"type": "string", "contentEncoding": "base64"}),
    (models.GenericIPAddressField, {"type": "string"}),
]


def attributes(model: type[models.Model]) -> dict[str, Any]:
    """The fields and relations of a model, by the names of its attributes."""
    known = {}
    for field in model._meta.get_fields():
        reverse = field.auto_created and not field.concrete
        known[field.get_accessor_name() if reverse else field.name] = field
        known[getattr(field, "attname", field.name)] = field
    return known


def object_schema(
    model: type[models.Model], fields: Iterable[Any], *, writable: bool = False
) -> dict[str, Any]:
    """Schema of an object with these fields of `model`; {} for what it does not know.

    `writable` makes it the schema of a body: relations are keys, and `required` names
    what has no default.
    """
    known = attributes(model)
    properties: dict[str, Any] = {}
    required = []
    for each in fields:
        name, inner = (each, None) if isinstance(each, str) else each
        inner = getattr(inner, "fields", inner) if isinstance(inner, type) else inner
        field: Any = known.get(name)
        if name == "resource_uri":
            properties[name] = {"type": ["string", "null"], "format": "uri-reference"}
        elif field is None:
            properties[name] = {}
        elif inner is not None and field.related_model is not None:
            properties[name] = _related(
                field, object_schema(field.related_model, inner)
            )
        else:
            properties[name] = _field(field, writable)
        if writable and not (
            field.null or field.blank or field.has_default() or field.has_db_default()
        ):
            required.append(name)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if writable:
        schema |= {"required": required, "additionalProperties": False}
    return schema


def _related(field: Any, schema: dict[str, Any]) -> dict[str, Any]:
    if field.one_to_many or field.many_to_many:
        return {"type": "array", "items": schema}
    return {"anyOf": [schema, {"type": "null"}]} if field.null else schema


def _field(field: Any, writable: bool) -> dict[str, Any]:
    if field.is_relation:
        if field.related_model is None or (field.auto_created and not field.concrete):
            return {}
        target = field.related_model._meta.pk
        if not field.many_to_many:
            target = field.target_field
        schema = _related(field, _kind(target))
    else:
        schema = _kind(field)
        if field.choices and not isinstance(field, models.BooleanField):
            schema["enum"] = [value for value, _ in field.flatchoices]
        if field.max_length and schema.get("type") == "string":
            schema["maxLength"] = field.max_length
        if isinstance(field, models.FileField) and writable:
            schema["format"] = "binary"
        if isinstance(field, models.DecimalField) and writable:
            schema["type"] = ["string", "number"]
    if field.null and "type" in schema:
        kinds = schema["type"]
        schema["type"] = [*([kinds] if isinstance(kinds, str) else kinds), "null"]
        if "enum" in schema:
            schema["enum"].append(None)
    if field.help_text:
        schema["description"] = str(field.help_text)
    if writable and field.has_default() and not callable(field.default):
        schema["default"] = field.default
    return schema


def _kind(field: models.Field) -> dict[str, Any]:
    for kind, schema in _TYPES:
        if isinstance(field, kind):
            return dict(schema)
    return {}
