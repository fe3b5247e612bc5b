"""Handlers for models: what may be read and what may be written, field by field.

Opt-in: nothing else of Piston imports this module.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, ClassVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError, IntegrityError, models, transaction
from django.http import Http404, HttpRequest

from oberonc.piston.faults import unprocessable
from oberonc.piston.handler import FUNCTIONS, BaseHandler, Function, declare
from oberonc.piston.modelschema import attributes, object_schema
from oberonc.piston.modelvalues import (
    check_conflicts,
    database,
    field_faults,
    members,
    read_values,
)
from oberonc.piston.paging import paginate
from oberonc.piston.problems import Problem


def _of_one(function: Function) -> Function:
    """Its arguments are lookups of one row, so a URL without any is none of its own."""
    return declare(function, "of_one", True)


class ModelHandler(BaseHandler):
    """A handler of one model's rows.

    `model` is the model, `fields` what is emitted (as in every handler), `writable` the
    fields of the model that may be set: without any, the handler only reads. URL
    arguments are lookups (`books/<int:id>/` is the row with that `id`); a URL without
    arguments is the list, in pages of `page_size` and at most `max_page_size` rows.
    """

    model: ClassVar[type[models.Model]]
    writable: ClassVar[tuple[str, ...]] = ()
    page_size: ClassVar[int | None] = None
    max_page_size: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        """Without `writable` only what the class itself has written is there."""
        super().__init_subclass__()
        for name in FUNCTIONS.values():
            generic = vars(ModelHandler)[name]
            if name != "read" and getattr(cls, name) in (generic, None):
                setattr(cls, name, generic if cls.writable else None)

    def queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The rows that this request may see; all others do not exist for it."""
        return self.model._default_manager.all()

    def save(self, request: HttpRequest, instance: models.Model) -> None:
        """Write a row that was found valid, inside a transaction.

        To be overridden where more than the client's values goes into the row.
        """
        instance.save()

    def read(self, request: Any, **lookups: Any) -> Any:
        """One row, or a page of them."""
        if lookups:
            return self._row(self._joined(request, self.fields), lookups)
        rows = self._joined(request, self.list_fields or self.fields)
        if not rows.ordered:  # else a page could repeat what the page before had
            rows = rows.order_by("pk")
        return paginate(request, rows, self.page_size, self.max_page_size)

    def create(self, request: Any) -> Any:
        """Make a row; a field that is left out gets its default."""
        return self._write(request, self.model(), partial=False)

    @_of_one
    def update(self, request: Any, **lookups: Any) -> Any:
        """Replace a row; a field that is left out gets its default."""
        instance = self._row(self.queryset(request), lookups)
        return self._write(request, instance, partial=False)

    @_of_one
    def patch(self, request: Any, **lookups: Any) -> Any:
        """Change the fields that are sent."""
        instance = self._row(self.queryset(request), lookups)
        return self._write(request, instance, partial=True)

    @_of_one
    def delete(self, request: Any, **lookups: Any) -> None:
        """Delete a row; 409 where others refer to it."""
        instance = self._row(self.queryset(request), lookups)
        try:
            with transaction.atomic(using=database(instance)):
                instance.delete()
        except IntegrityError:  # also Django's ProtectedError and RestrictedError
            raise Problem(409, "Others refer to it.") from None

    def _joined(
        self, request: HttpRequest, fields: Iterable[Any]
    ) -> models.QuerySet[Any]:
        """The rows with all that `fields` reach, in a fixed number of queries."""
        rows = self.queryset(request)
        paths = list(_relations(self.model, fields, handlers=(type(self),)))
        one = [path for path, many in paths if not many]
        several = [path for path, many in paths if many]
        # Without names `select_related()` would follow every relation there is.
        rows = rows.select_related(*one) if one else rows
        return rows.prefetch_related(*several)

    def _row(self, rows: models.QuerySet[Any], lookups: dict[str, Any]) -> Any:
        try:
            return rows.get(**lookups)
        # A text that is no number, no UUID ... is the name of nothing.
        except (ObjectDoesNotExist, ValueError, OverflowError, ValidationError):
            raise Http404("There is no such thing.") from None

    def _write(self, request: Any, instance: models.Model, *, partial: bool) -> Any:
        """Check, set and save what was sent.

        Raises Problem 422 or 409 with `errors`; then nothing was written.
        """
        fields = {name: self.model._meta.get_field(name) for name in self.writable}
        values, faults = read_values(fields, members(request, fields), partial=partial)
        several = {
            name: values.pop(name) for name in list(values) if fields[name].many_to_many
        }
        for name, value in values.items():
            setattr(instance, fields[name].attname, value)
        faults += field_faults(instance, set(values), alone=bool(faults))
        if faults:
            raise unprocessable(faults)
        check_conflicts(instance, set(fields))
        try:
            with transaction.atomic(using=database(instance)):
                self.save(request, instance)
                for name, related in several.items():
                    getattr(instance, name).set(related)
        except IntegrityError:
            raise Problem(409, "It conflicts with what is there.") from None
        except DataError:
            raise Problem(422, "The database cannot keep these values.") from None
        # As GET shows it: values as the database keeps them, and with annotations.
        rows = self._joined(request, self.fields)
        return rows.filter(pk=instance.pk).first() or instance

    @classmethod
    def openapi(cls, method: str, arguments: Collection[str]) -> dict[str, Any]:
        """What `generate_doc` cannot see: bodies by the model's fields, and paging."""
        shown = object_schema(cls.model, cls.fields)
        if method == "GET":
            generic = cls.read is ModelHandler.read
            if arguments:
                return {"response": shown, **({"summary": "One."} if generic else {})}
            shown = object_schema(cls.model, cls.list_fields or cls.fields)
            listed = {"response": {"type": "array", "items": shown}, "paged": True}
            return {**listed, **({"summary": "All, in pages."} if generic else {})}
        if method not in ("POST", "PUT", "PATCH"):
            return {"response": shown}
        body = object_schema(cls.model, cls.writable, writable=True)
        if method == "PATCH":
            del body["required"]
        return {"response": shown, "body": body}


def _relations(
    model: type[models.Model],
    fields: Iterable[Any],
    prefix: str = "",
    many: bool = False,
    handlers: tuple[Any, ...] = (),
) -> Iterator[tuple[str, bool]]:
    """Paths that `fields` reach, and whether each goes over a to-many relation.

    A handler met again below itself is not followed: what it emits there is in memory
    already, or a link.
    """
    known = attributes(model)
    for each in fields:
        name, inner = (each, ()) if isinstance(each, str) else each
        relation = known.get(name)
        if relation is None or not relation.is_relation:
            continue
        if relation.concrete and name != relation.name:  # `author_id` is a column
            continue
        path = prefix + name
        # A generic foreign key has no model of its own, and cannot be joined.
        to_many = (
            relation.one_to_many
            or relation.many_to_many
            or relation.related_model is None
        )
        yield path, many or to_many
        if relation.related_model is None or inner in handlers:
            continue
        within = handlers
        if isinstance(inner, type):
            within, inner = (*handlers, inner), getattr(inner, "fields", ())
        yield from _relations(
            relation.related_model, inner, path + "__", many or to_many, within
        )
