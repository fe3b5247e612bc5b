"""A Django Form as the schema of any input format."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from oberonc.piston.faults import Fault, django_faults

_MULTIPLE: Final = (forms.MultipleChoiceField, forms.ModelMultipleChoiceField)
#: What a field takes, as JSON Schema; the first class that fits counts, else a text.
_TYPES: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (forms.JSONField, {}),
    (_MULTIPLE, {"type": "array"}),
    (forms.ModelChoiceField, {}),
    (forms.BooleanField, {"type": "boolean"}),
    ((forms.DecimalField, forms.FloatField), {"type": "number"}),
    (forms.IntegerField, {"type": "integer"}),
    (forms.DateTimeField, {"type": "string", "format": "date-time"}),
    (forms.DateField, {"type": "string", "format": "date"}),
    (forms.TimeField, {"type": "string", "format": "time"}),
    (forms.DurationField, {"type": "string", "format": "duration"}),
    (forms.EmailField, {"type": "string", "format": "email"}),
    (forms.URLField, {"type": "string", "format": "uri"}),
    (forms.UUIDField, {"type": "string", "format": "uuid"}),
    (forms.FileField, {"type": "string", "format": "binary"}),
    (forms.Field, {"type": "string"}),
)
_LIMITS: Final = {
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_value": "minimum",
    "max_value": "maximum",
}


class FormSchema:
    """A Form class; *forbid* refuses unknown members, *partial* requires none."""

    def __init__(self, form: type[forms.BaseForm], forbid: bool, partial: bool) -> None:
        self.form = form
        self.forbid = forbid
        self.partial = partial

    def clean(
        self, request: Any, data: Any, files: Mapping[str, Any]
    ) -> tuple[Any, list[Fault]]:
        """The cleaned data, and what is wrong; sets `request.form`."""
        if not isinstance(data, Mapping):
            return None, [Fault((), "Input should be an object.", "invalid_type")]
        form = self.form(data, files)
        request.form = form
        owners = _owners(form, data)
        file_owners = _owners(form, files)
        faults = []
        if self.forbid:
            unknown = [key for key, owner in owners.items() if owner is None]
            unknown += [key for key, owner in file_owners.items() if owner is None]
            faults = [
                Fault((key,), "Unknown member.", "extra_forbidden") for key in unknown
            ]
        if not isinstance(data, QueryDict):
            form.data = {}
            for key, owner in owners.items():
                try:
                    form.data[key] = _as_sent(data[key], form.fields.get(owner))
                except ValueError as error:
                    faults.append(Fault((key,), str(error), "invalid"))
        if self.partial:
            sent = {*owners.values(), *file_owners.values()}
            form.fields = {k: field for k, field in form.fields.items() if k in sent}
        if form.errors:
            told = {fault.path for fault in faults}
            for fault in django_faults(ValidationError(form.errors.as_data())):
                path = tuple(form.add_prefix(str(name)) for name in fault.path)
                if path not in told:
                    faults.append(fault._replace(path=path))
        return form.cleaned_data, faults

    def json_schema(self) -> dict[str, Any]:
        """What the form takes, as JSON Schema 2020-12."""
        form = self.form()
        fields = {form.add_prefix(name): field for name, field in form.fields.items()}
        schema: dict[str, Any] = {
            "type": "object",
            "title": self.form.__name__,
            "properties": {
                name: _field_schema(field) for name, field in fields.items()
            },
        }
        required = [name for name, field in fields.items() if field.required]
        if required and not self.partial:
            schema["required"] = required
        if self.forbid:
            schema["additionalProperties"] = False
        return schema


def _owners(form: forms.BaseForm, keys: Iterable[Any]) -> dict[Any, str | None]:
    """The name of the field that reads what was sent as each of *keys*."""
    names = {form.add_prefix(name): name for name in form.fields}
    parts = {  # of widgets that send several values, such as when_year and when_month
        form.add_prefix(name) + "_": name
        for name, field in form.fields.items()
        if isinstance(field.widget, forms.MultiWidget | forms.SelectDateWidget)
    }
    return {
        key: names.get(key)
        or next((parts[start] for start in parts if str(key).startswith(start)), None)
        for key in keys
    }


def _as_sent(value: Any, field: forms.Field | None) -> Any:
    """*value* as a browser would send it: fields are made for texts.

    Raises ValueError for a list or object where the field takes one value.
    """
    if value is None:
        return None
    if isinstance(field, forms.JSONField):
        return json.dumps(value, default=str)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list) and isinstance(field, _MULTIPLE):
        return [_as_sent(item, None) for item in value]
    raise ValueError("Input should be a single value.")


def _field_schema(field: forms.Field) -> dict[str, Any]:
    schema = dict(next(schema for kind, schema in _TYPES if isinstance(field, kind)))
    choices = [] if isinstance(field, forms.ModelChoiceField) else _choices(field)
    if schema.get("type") == "array":
        schema["items"] = {"type": "string"}
        if choices:
            schema["items"] = {"enum": choices}
    elif choices:
        schema["enum"] = choices
    for attribute, keyword in _LIMITS.items():
        limit = getattr(field, attribute, None)
        if isinstance(limit, int | float) and not isinstance(field, forms.FileField):
            schema[keyword] = limit
    if field.help_text:
        schema["description"] = str(field.help_text)
    return schema


def _choices(field: forms.Field) -> list[Any]:
    """The values to choose from, those in groups included."""
    values: list[Any] = []
    for value, label in getattr(field, "choices", []):
        if isinstance(label, list | tuple):
            values += [inner for inner, _ in label]
        else:
            values.append(value)
    return values
