"""Validation by a Form, a dataclass, a TypedDict: of every input format alike."""

import sys
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pydantic
import pytest
import typing_extensions
from django import forms
from django.core.exceptions import ImproperlyConfigured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, QueryDict
from django.test import RequestFactory
from django.utils.datastructures import MultiValueDict

from oberonc.piston import Problem, validate
from oberonc.piston.faults import LONGEST, MOST
from oberonc.piston.handler import declared
from oberonc.piston.validation import Validation


def schema_of(schema: Any, operation: Any = "POST", **options: Any) -> Validation:
    def create() -> None:
        pass

    (made,) = declared(validate(schema, operation, **options)(create))["validate"]
    assert isinstance(made, Validation)
    return made


def applied(
    validation: Validation, data: Any = None, files: Any = None, url: str = "/"
) -> HttpRequest:
    """A request of which the parser has made *data*: a text is a form's."""
    request = RequestFactory().post(url)
    request.data = QueryDict(data) if isinstance(data, str) else data
    request.files = MultiValueDict(files or {})
    validation.apply(request)
    return request


def cleaned(validation: Validation, data: Any, files: Any = None) -> Any:
    return applied(validation, data, files).cleaned


def errors_of(
    validation: Validation, data: Any, url: str = "/", key: str = "pointer"
) -> dict[str, str]:
    """Where to code."""
    with pytest.raises(Problem) as caught:
        applied(validation, data, url=url)
    assert caught.value.status == 422
    errors = caught.value.members["errors"]
    assert all(error["detail"] for error in errors)
    return {error[key]: error["code"] for error in errors}


class Color(Enum):
    RED = "red"


@dataclass
class Line:
    sku: str
    count: int = 1


@dataclass
class Order:
    lines: list[Line]
    tags: list[str] = field(default_factory=list)
    price: Decimal | None = None
    due: date | None = None
    color: Color = Color.RED
    active: bool = False


class Note(TypedDict):
    text: str
    stars: NotRequired[int]


class Notebook(TypedDict, total=False):
    notes: typing_extensions.Required[list[Note]]
    by_day: dict[str, Note | None]


class OrderForm(forms.Form):
    name = forms.CharField(max_length=5)
    count = forms.IntegerField(min_value=1, required=False)
    when = forms.DateField(required=False)
    kind = forms.ChoiceField(choices=[("a", "A"), ("group", [("b", "B")])])
    many = forms.MultipleChoiceField(choices=[("x", "X"), ("y", "Y")], required=False)
    extra = forms.JSONField(required=False)
    agreed = forms.BooleanField(required=False)
    ident = forms.UUIDField(required=False)

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("name") == "whole":
            raise forms.ValidationError("No.", code="refused")
        return {**self.cleaned_data}


# -- dataclass


def test_a_dataclass_is_an_instance_with_its_defaults() -> None:
    order = cleaned(
        schema_of(Order),
        {
            "lines": [{"sku": "a", "count": 2}],
            "price": "1.10",
            "due": "2026-01-31",
            "color": "red",
        },
    )
    assert order == Order([Line("a", 2)], [], Decimal("1.10"), date(2026, 1, 31))


def test_all_errors_come_at_once_each_with_its_pointer() -> None:
    data = {"lines": [{"count": "x"}, {"sku": 1, "more": 0}], "due": "soon", "a": 1}
    assert errors_of(schema_of(Order), data) == {
        "#/lines/0/sku": "missing",
        "#/lines/0/count": "int_parsing",
        "#/lines/1/sku": "string_type",
        "#/lines/1/more": "extra_forbidden",
        "#/due": "date_from_datetime_parsing",
        "#/a": "extra_forbidden",
    }


@pytest.mark.parametrize("schema", [Order, Note, OrderForm])
@pytest.mark.parametrize("data", [None, [], [1], 7, True], ids=repr)
def test_a_body_that_is_no_object_is_422_at_the_whole(schema: type, data: Any) -> None:
    assert list(errors_of(schema_of(schema), data)) == ["#"]


def test_unknown_members_are_ignored_where_that_is_asked_for() -> None:
    loose = schema_of(Order, extra="ignore")
    data = {"lines": [{"sku": "a", "more": 1}], "more": 1}
    assert cleaned(loose, data) == Order([Line("a")])
    note = schema_of(Note, extra="ignore")
    assert cleaned(note, {"text": "a", "more": 1}) == {"text": "a"}
    form = schema_of(OrderForm, extra="ignore")
    assert cleaned(form, {"name": "a", "kind": "b", "more": 1})["kind"] == "b"


def test_texts_of_forms_become_numbers_and_lists() -> None:
    @dataclass
    class Query:
        count: int
        tags: list[str]
        more: list[int] | None = None

    validation = schema_of(Query)
    assert cleaned(validation, "count=3&tags=a") == Query(3, ["a"])
    assert cleaned(validation, "count=3&tags=a&tags=b&more=1&more=2") == Query(
        3, ["a", "b"], [1, 2]
    )
    assert errors_of(validation, "count=x&tags=a&b=1") == {
        "#/count": "int_parsing",
        "#/b": "extra_forbidden",
    }


def test_texts_of_xml_become_numbers() -> None:
    data = {"lines": [{"sku": "a", "count": "2"}], "price": "1.5", "active": "true"}
    order = cleaned(schema_of(Order), data)
    assert order == Order([Line("a", 2)], price=Decimal("1.5"), active=True)


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Infinity"])
@pytest.mark.parametrize("partial", [False, True])
def test_texts_that_are_no_finite_number_are_errors(text: str, partial: bool) -> None:
    @dataclass
    class Point:
        x: float
        more: list[float | None] = field(default_factory=list)

    validation = schema_of(Point, partial=partial)
    assert errors_of(validation, f"x={text}&more=1&more={text}") == {
        "#/x": "finite_number",
        "#/more/1": "finite_number",
    }


def test_partial_takes_only_what_was_sent_and_tells_null_from_absent() -> None:
    partial = schema_of(Order, "PATCH", partial=True)
    assert cleaned(partial, {}) == {}
    assert cleaned(partial, {"price": None}) == {"price": None}
    assert cleaned(partial, {"lines": [{"sku": "a"}]}) == {"lines": [Line("a")]}
    assert errors_of(partial, {"lines": None, "x": 1, "due": "soon"}) == {
        "#/lines": "list_type",
        "#/x": "extra_forbidden",
        "#/due": "date_from_datetime_parsing",
    }


def test_partial_keeps_the_limits_of_a_dataclass() -> None:
    @dataclass
    class Limited:
        a: Annotated[int, pydantic.Field(gt=0)]
        b: int = pydantic.Field(default=5, lt=10)

    for partial in (False, True):
        validation = schema_of(Limited, partial=partial)
        assert errors_of(validation, {"a": 0, "b": 10}) == {
            "#/a": "greater_than",
            "#/b": "less_than",
        }
    assert cleaned(schema_of(Limited, partial=True), {}) == {}


def test_a_dataclass_may_refuse_itself() -> None:
    @dataclass
    class Span:
        start: int
        end: int

        def __post_init__(self) -> None:
            if self.start > self.end:
                raise ValueError("It ends before it starts.")

    with pytest.raises(Problem) as caught:
        applied(schema_of(Span), {"start": 2, "end": 1})
    assert caught.value.members["errors"] == [
        {"pointer": "#", "detail": "It ends before it starts.", "code": "value_error"}
    ]


# -- pointers


@pytest.mark.parametrize(
    ("key", "pointer"),
    [
        ("a/b", "#/a~1b"),
        ("m~n", "#/m~0n"),
        ("", "#/"),
        (" ", "#/%20"),
        ("%", "#/%25"),
        ("é", "#/%C3%A9"),
        ('k"l', "#/k%22l"),
        ("~1", "#/~01"),
    ],
)
@pytest.mark.parametrize("schema", [Order, OrderForm])
def test_a_pointer_is_escaped_as_a_fragment(
    schema: type, key: str, pointer: str
) -> None:
    assert pointer in errors_of(schema_of(schema), {key: 1})


@dataclass
class Cat:
    kind: Literal["cat"]
    lives: int


@dataclass
class Dog:
    kind: Literal["dog"]
    age: int


def test_pointers_have_no_names_of_the_members_of_unions() -> None:
    @dataclass
    class Owner:
        pet: Cat | list[Cat] | None
        tagged: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]
        either: int | str = 0

    data = {
        "pet": [{"kind": "cat", "lives": "x"}],
        # "cat" is the name of the member of the union and of a key as well.
        "tagged": {"kind": "cat", "cat": {"lives": 1}, "lives": "y"},
        "either": [],
    }
    assert set(errors_of(schema_of(Owner), data)) == {
        "#/pet",
        "#/pet/0/lives",
        "#/tagged/cat",
        "#/tagged/lives",
        "#/either",
    }


def test_keys_that_are_no_texts_are_errors_too() -> None:
    # YAML has them.
    assert "#/1" in errors_of(schema_of(Order), {1: 2, "lines": []})
    assert errors_of(schema_of(Notebook), {"notes": [], "by_day": {1: None}})
    assert errors_of(schema_of(OrderForm), {1: 2, None: 3})


def test_a_lone_surrogate_in_a_key_is_an_error_that_can_be_sent() -> None:
    assert "#/%ED%A0%80" in errors_of(schema_of(OrderForm), {"\ud800": 1})
    assert errors_of(schema_of(Order), {"\ud800": 1}) == {"#": "string_unicode"}


# -- TypedDict


def test_a_typed_dict_is_a_dict() -> None:
    data = {
        "notes": [{"text": "a"}, {"text": "b", "stars": "3"}],
        "by_day": {"1": None},
    }
    assert cleaned(schema_of(Notebook), data) == {
        "notes": [{"text": "a"}, {"text": "b", "stars": 3}],
        "by_day": {"1": None},
    }
    assert errors_of(schema_of(Notebook), {"by_day": {"1": {"a": 1}}}) == {
        "#/notes": "missing",
        "#/by_day/1/text": "missing",
        "#/by_day/1/a": "extra_forbidden",
    }


def test_a_partial_typed_dict_requires_nothing_of_its_own() -> None:
    partial = schema_of(Notebook, "PATCH", partial=True)
    assert cleaned(partial, {}) == {}
    assert errors_of(partial, {"notes": [{}]}) == {"#/notes/0/text": "missing"}


class Tree(TypedDict):
    name: str
    children: "list[Tree]"


def test_a_typed_dict_inside_itself_works_or_says_what_to_use() -> None:
    validation = schema_of(Tree)
    data: Tree = {"name": "a", "children": [{"name": "b", "children": []}]}
    if sys.version_info >= (3, 12):
        assert cleaned(validation, data) == data
    else:
        with pytest.raises(ImproperlyConfigured, match=r"typing_extensions\.TypedDict"):
            cleaned(validation, data)


class Branch(typing_extensions.TypedDict):
    name: str
    children: "list[Branch]"


def test_a_typed_dict_of_typing_extensions_may_be_inside_itself() -> None:
    data = {"name": "a", "children": [{"name": "b", "children": []}]}
    assert cleaned(schema_of(Branch), data) == data
    partial = schema_of(Branch, partial=True)
    assert cleaned(partial, {"children": data["children"]}) == {
        "children": data["children"]
    }
    assert errors_of(partial, {"children": [{"name": "a"}]}) == {
        "#/children/0/children": "missing"
    }


# -- Form


def test_a_form_is_cleaned_from_any_format() -> None:
    ident = "8e03978e-40d5-43dd-bc93-6894a57f9324"
    text = f"name=a&count=2&kind=b&many=x&many=y&extra=[1]&agreed=on&ident={ident}"
    data = {
        "name": "a",
        "count": 2,
        "when": None,
        "kind": "b",
        "many": ["x", "y"],
        "extra": [1],
        "agreed": True,
        "ident": ident,
    }
    request = applied(schema_of(OrderForm), data)
    assert request.form.is_valid()
    assert request.cleaned == request.form.cleaned_data
    assert request.cleaned == cleaned(schema_of(OrderForm), text)
    assert request.cleaned["extra"] == [1] and request.cleaned["many"] == ["x", "y"]


def test_a_form_takes_the_dates_of_yaml_and_the_texts_of_json_fields() -> None:
    data = {"name": "a", "kind": "a", "when": date(2026, 1, 31), "extra": "text"}
    result = cleaned(schema_of(OrderForm), data)
    assert (result["when"], result["extra"]) == (date(2026, 1, 31), "text")


def test_all_errors_of_a_form_come_at_once() -> None:
    data = {"name": "longer", "count": 0, "kind": "z", "many": ["q"], "more": 1}
    assert errors_of(schema_of(OrderForm), data) == {
        "#/name": "max_length",
        "#/count": "min_value",
        "#/kind": "invalid_choice",
        "#/many": "invalid_choice",
        "#/more": "extra_forbidden",
    }
    assert errors_of(schema_of(OrderForm), {"name": "whole", "kind": "a"}) == {
        "#": "refused"
    }


@pytest.mark.parametrize(
    "wrong", [[1], {"a": 1}, True, 1.5, b"a", [[1]], [None]], ids=repr
)
def test_a_value_of_any_type_for_any_field_is_no_error_of_ours(wrong: Any) -> None:
    for name in OrderForm.base_fields:
        data = {"name": "a", "kind": "a", name: wrong}
        try:
            result = cleaned(schema_of(OrderForm), data)
        except Problem as problem:
            assert problem.status == 422
        else:
            assert not isinstance(result["name"], list)
            assert name not in ("when", "ident") and not (
                name in ("name", "kind") and isinstance(wrong, list | dict | bytes)
            )


def test_a_form_takes_files() -> None:
    class Upload(forms.Form):
        title = forms.CharField()
        file = forms.FileField()

    upload = schema_of(Upload)
    file = SimpleUploadedFile("a.txt", b"text")
    assert cleaned(upload, "title=a", {"file": [file]})["file"].read() == b"text"
    assert errors_of(upload, "title=a") == {"#/file": "required"}
    with pytest.raises(Problem):
        cleaned(upload, "title=a", {"file": [file], "other": [file]})


def test_a_partial_form_asks_for_nothing_that_was_not_sent() -> None:
    partial = schema_of(OrderForm, "PATCH", partial=True)
    assert cleaned(partial, {}) == {}
    assert cleaned(partial, {"name": "a"}) == {"name": "a"}
    assert cleaned(partial, {"count": None}) == {"count": None}
    assert errors_of(partial, {"name": None}) == {"#/name": "required"}


def test_a_form_knows_the_parts_of_its_widgets_and_its_prefix() -> None:
    class Spread(forms.Form):
        prefix = "p"
        at = forms.SplitDateTimeField()
        day = forms.DateField(widget=forms.SelectDateWidget(years=[2026]))

    data = {
        "p-at_0": "2026-01-31",
        "p-at_1": "10:00",
        "p-day_year": 2026,
        "p-day_month": 1,
        "p-day_day": 2,
    }
    spread = schema_of(Spread)
    assert cleaned(spread, data)["day"] == date(2026, 1, 2)
    assert errors_of(spread, {"p-day": "no", "at": "x"}) == {
        "#/at": "extra_forbidden",
        "#/p-at": "required",
        "#/p-day": "invalid",
    }


def test_the_csrf_token_of_a_form_is_no_unknown_member() -> None:
    text = "text=a&csrfmiddlewaretoken=t"
    request = applied(schema_of(Note), text)
    assert request.cleaned == {"text": "a"}
    assert request.data["csrfmiddlewaretoken"] == "t"
    assert cleaned(schema_of(OrderForm), "name=a&kind=a&csrfmiddlewaretoken=t")
    assert errors_of(schema_of(Note), {"text": "a", "csrfmiddlewaretoken": "t"})


# -- query string


def test_operation_get_checks_the_query_string_and_ignores_other_parameters() -> None:
    @dataclass
    class Search:
        q: str
        tags: list[int] = field(default_factory=list)

    validation = schema_of(Search, "GET")
    request = applied(validation, None, url="/?q=a&tags=1&tags=2&limit=3")
    assert request.cleaned == Search("a", [1, 2])
    assert errors_of(validation, None, "/?tags=x&tags=1", "parameter") == {
        "q": "missing",
        "tags": "int_parsing",
    }
    form = schema_of(OrderForm, "GET")
    assert applied(form, None, url="/?name=a&kind=a&limit=3").cleaned["name"] == "a"
    assert errors_of(form, None, "/?name=a", "parameter") == {"kind": "required"}


def test_parameters_of_the_query_string_are_in_openapi() -> None:
    names = {one["name"]: one for one in schema_of(OrderForm, "GET").parameters()}
    assert names["name"]["required"] and not names["count"]["required"]
    assert names["count"]["schema"] == {"type": "integer", "minimum": 1}
    assert names["name"]["in"] == "query"
    assert schema_of(OrderForm).parameters() == []


# -- declaration


def test_a_function_has_one_schema_for_the_query_and_one_for_the_body() -> None:
    def create() -> None:
        pass

    both = validate(OrderForm, "GET")(validate(Note)(create))
    assert both is create
    request = RequestFactory().post("/?name=a&kind=b")
    request.data, request.files = {"text": "c"}, MultiValueDict()
    for validation in declared(both)["validate"]:
        validation.apply(request)
    assert (request.cleaned["text"], request.query["name"]) == ("c", "a")
    for again in (validate(Note, "PUT"), validate(Note, "GET")):
        with pytest.raises(ImproperlyConfigured, match="two schemas"):
            again(create)


@pytest.mark.parametrize(
    "arguments",
    [
        {"schema": int},
        {"schema": Line("a")},
        {"schema": Note, "operation": "DELETE"},
        {"schema": Note, "extra": "allow"},
    ],
    ids=["int", "instance", "operation", "extra"],
)
def test_what_is_no_schema_is_refused(arguments: Any) -> None:
    with pytest.raises(ImproperlyConfigured):
        validate(**arguments)


def test_a_type_that_pydantic_does_not_know_is_named() -> None:
    @dataclass
    class Odd:
        one: HttpRequest

    with pytest.raises(ImproperlyConfigured, match="Odd cannot be a schema"):
        applied(schema_of(Odd), {})


# -- JSON Schema


def test_the_schema_of_a_dataclass_says_what_is_forbidden() -> None:
    schema = schema_of(Order).json_schema()
    assert schema["required"] == ["lines"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Line"]["additionalProperties"] is False
    loose = schema_of(Order, extra="ignore").json_schema()
    assert "additionalProperties" not in loose
    partial = schema_of(Order, "PATCH", partial=True).json_schema()
    assert "required" not in partial and set(partial["properties"]) == {
        "lines",
        "tags",
        "price",
        "due",
        "color",
        "active",
    }


def test_the_schema_of_a_form_has_types_limits_and_choices() -> None:
    schema = schema_of(OrderForm).json_schema()
    assert schema["required"] == ["name", "kind"]
    assert schema["properties"]["name"] == {"type": "string", "maxLength": 5}
    assert schema["properties"]["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert schema["properties"]["many"]["items"] == {"enum": ["x", "y"]}
    assert schema["properties"]["when"] == {"type": "string", "format": "date"}
    assert schema["additionalProperties"] is False
    assert "required" not in schema_of(OrderForm, partial=True).json_schema()


# -- what a stranger can make large


def test_an_answer_names_a_bounded_number_of_errors() -> None:
    with pytest.raises(Problem) as caught:
        applied(schema_of(Order), {"lines": [1] * 5000})
    assert len(caught.value.members["errors"]) == MOST
    assert list(errors_of(schema_of(Order), {"lines": [1] * 50_000})) == ["#"]
    form = {str(number): 1 for number in range(5000)}
    assert len(errors_of(schema_of(OrderForm), form)) == MOST


def test_a_long_key_is_not_repeated_with_each_error_below_it() -> None:
    @dataclass
    class Lists:
        lists: dict[str, list[int]]

    key = "k" * 1_000_000
    with pytest.raises(Problem) as caught:
        applied(schema_of(Lists), {"lists": {key: ["x"] * 1000}})
    length = sum(len(error["pointer"]) for error in caught.value.members["errors"])
    assert length < len(key) + LONGEST + 100


@dataclass
class And:
    left: "And | Or | str"


@dataclass
class Or:
    right: "And | Or | str"


def test_a_union_that_doubles_the_work_at_each_level_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="discriminator"):
        applied(schema_of(And), {"left": "a"})


@dataclass
class Not:
    kind: Literal["not"]
    inner: "Annotated[Not | Leaf, pydantic.Field(discriminator='kind')]"


@dataclass
class Leaf:
    kind: Literal["leaf"]
    more: "list[Leaf] | dict[str, Leaf] | None" = None


def test_a_union_with_a_discriminator_or_of_unlike_kinds_may_be_recursive() -> None:
    data: dict[str, Any] = {"kind": "leaf"}
    for _ in range(30):
        data = {"kind": "not", "inner": data}
    assert isinstance(cleaned(schema_of(Not), data), Not)
