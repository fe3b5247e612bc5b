"""From what a client sent to the values of a model's fields, and what is wrong."""

import math
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import models, router
from django.http import QueryDict
from django.utils import timezone

from oberonc.piston.faults import Fault, django_faults, unprocessable
from oberonc.piston.problems import Problem


def members(request: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """What was sent, by name; a field with several values as a list.

    Raises Problem 422 for a body that is no object.
    """
    data = request.data
    if isinstance(data, QueryDict):
        sent = {**data.dict(), **request.files.dict()}
        sent.pop("csrfmiddlewaretoken", None)  # not of the model; Django's own
        for name in sent.keys() & data.keys() & fields.keys():
            if fields[name].many_to_many:
                sent[name] = data.getlist(name)
        return sent
    if not isinstance(data, Mapping):
        raise unprocessable([Fault((), "An object is wanted.", "type")])
    return {str(name): value for name, value in data.items()}


def read_values(
    fields: Mapping[str, Any], sent: Mapping[str, Any], *, partial: bool
) -> tuple[dict[str, Any], list[Fault]]:
    """The value of each field, and a fault for each that has none.

    `partial` leaves out what was not sent; else it gets its default.
    """
    values = {}
    faults = [
        Fault((name,), "This cannot be set.", "extra_forbidden")
        for name in sent
        if name not in fields
    ]
    for name, field in fields.items():
        try:
            if name not in sent:
                if not partial:
                    values[name] = _default(field)
            elif field.many_to_many:
                values[name], wrong = _keys(field, sent[name])
                faults += wrong
            else:
                values[name] = _value(field, sent[name])
        except ValidationError as error:
            faults += _at(error, name)
    return values, faults


def _value(field: Any, raw: Any) -> Any:
    """What was sent as the field keeps it. Raises ValidationError."""
    kind = field.target_field if field.is_relation else field
    if raw == "" and field.null and not kind.empty_strings_allowed:
        raw = None  # how forms and XML say that there is nothing
    if raw is None:
        if field.null:
            return None
        raise ValidationError("This cannot be null.", code="null")
    wanted = _wanted(kind, raw)
    if wanted:
        raise ValidationError(wanted, code="type")
    if isinstance(kind, (models.JSONField, models.FileField)):
        return raw
    if isinstance(kind, models.BooleanField) and isinstance(raw, str):
        raw = {"true": True, "on": True, "false": False}.get(raw, raw)
    try:
        if isinstance(raw, str) and "\0" in raw:  # PostgreSQL keeps none
            raise ValueError("NUL")
        str(raw).encode()  # UnicodeEncodeError: half of a surrogate pair
        value = kind.to_python(raw)
    # Django's conversions expect texts, and let these out for a list, say.
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        raise ValidationError("This is not valid here.", code="invalid") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValidationError("A finite number is wanted.", code="invalid")
    if isinstance(kind, models.DateTimeField) and timezone.is_naive(value):
        value = timezone.make_aware(value)
    return value


def _wanted(kind: models.Field, raw: Any) -> str:
    """What the field wants instead of `raw`, if it is of another kind.

    Django's own conversion guesses: it makes a text of a mapping, 3 of 3.7 and 1 of
    true. Here a value is what it says, or it is refused.
    """
    right: tuple[type, ...]
    if isinstance(kind, models.FileField):
        wanted, right = "A file, sent as multipart/form-data,", (UploadedFile,)
    elif isinstance(kind, (models.CharField, models.TextField)):
        wanted, right = "A text", (str,)
    elif isinstance(kind, models.IntegerField):
        wanted, right = "A whole number", (int, str)
    elif isinstance(kind, (models.FloatField, models.DecimalField)):
        wanted, right = "A number", (int, float, Decimal, str)
    else:
        wanted, right = "Another kind of value", (object,)
    if isinstance(raw, float) and raw.is_integer() and int in right:
        return ""
    file = isinstance(raw, UploadedFile) and UploadedFile not in right
    number = isinstance(raw, bool) and int in right
    return (
        ""
        if isinstance(raw, right) and not (file or number)
        else f"{wanted} is wanted."
    )


def _keys(field: Any, raw: Any) -> tuple[list[Any], list[Fault]]:
    """Keys of rows that exist and may be chosen; a fault for each that is none.

    Raises ValidationError for what is no list, or an empty one that must not be.
    """
    if raw == "":
        raw = []  # how XML says that there are none
    if not isinstance(raw, list):
        raise ValidationError("A list is wanted.", code="type")
    if not raw and not field.blank:
        raise ValidationError("At least one is wanted.", code="required")
    pk = field.related_model._meta.pk
    keys, faults = {}, []
    for at, each in enumerate(raw):
        try:
            keys[at] = _value(pk, each)
            pk.run_validators(keys[at])  # a number that no database takes
        except ValidationError as error:
            faults += _at(error, field.name, at)
    rows = field.related_model._default_manager.complex_filter(
        field.get_limit_choices_to()
    )
    if not faults:
        there = set(rows.filter(pk__in=keys.values()).values_list("pk", flat=True))
        faults = [
            Fault((field.name, at), f"There is no {key}.", "invalid")
            for at, key in keys.items()
            if key not in there
        ]
    return list(keys.values()), faults


def _default(field: Any) -> Any:
    """What a field gets that is left out. Raises ValidationError if nothing says so."""
    if field.many_to_many and field.blank:
        return []
    if field.has_default() or field.null or field.has_db_default():
        return field.get_default()
    if field.blank and field.empty_strings_allowed:
        return ""
    raise ValidationError("This is missing.", code="missing")


def field_faults(
    instance: models.Model, names: Collection[str], *, alone: bool
) -> list[Fault]:
    """What Django's validation says of these fields; `alone` without `clean()`."""
    try:
        instance.clean_fields(exclude=_others(instance, names))
        if not alone:
            instance.clean()
    except ValidationError as error:
        return django_faults(error)
    return []


def check_conflicts(instance: models.Model, names: Collection[str]) -> None:
    """Ask other rows and the constraints about these fields.

    Raises Problem 409 with `errors` for what is taken, 422 for what is not allowed.
    """
    exclude, using = _others(instance, names), database(instance)
    faults, taken = [], True
    try:
        instance.validate_unique(exclude=exclude)
    except ValidationError as error:
        faults += django_faults(error)
    for model, constraints in instance.get_constraints():
        for constraint in constraints:
            try:
                constraint.validate(model, instance, exclude=exclude, using=using)
            except ValidationError as error:
                about = getattr(constraint, "fields", ())
                faults += _at(error, *(about if len(about) == 1 else ()))
                taken = taken and not isinstance(constraint, models.CheckConstraint)
    if faults:
        problem = unprocessable(faults)
        if taken:
            problem = Problem(409, "It is taken.", **problem.members)
        raise problem


def _others(instance: models.Model, names: Collection[str]) -> set[str]:
    return {field.name for field in instance._meta.fields} - set(names)


def _at(error: ValidationError, *path: str | int) -> list[Fault]:
    """What Django's ValidationError says, at that place."""
    return [fault._replace(path=path + fault.path) for fault in django_faults(error)]


def database(instance: models.Model) -> str:
    """The database that the row is written to."""
    name: str = router.db_for_write(type(instance), instance=instance)
    return name
