"""Section 5: which format is chosen, and how each one looks."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.http import HttpRequest
from django.test import override_settings
from django.urls import path
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oberonc.piston import BaseHandler, Emitter, Resource
from oberonc.piston.emitters import (
    CSVEmitter,
    JSONEmitter,
    JSONLinesEmitter,
    XMLEmitter,
    YAMLEmitter,
)
from oberonc.piston.mimers import load_json, load_xml, load_yaml
from oberonc.piston.negotiate import Offer, choose
from tests.piston.conftest import Serve

ROOT = "/things/"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Pair(BaseHandler):
    """Something that looks different in each format."""

    def read(self, request: HttpRequest, **arguments: Any) -> Any:
        return {"a": [1, None, True], "b c": "ä<"}


class YamlFirst(Pair):
    formats = ("yaml", "json")


# -- the choice ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/yaml", "application/yaml"),
        ("text/x-yaml", "application/yaml"),
        ("TEXT/CSV", "text/csv; charset=utf-8"),
        ("text/*", "text/csv; charset=utf-8"),
        ("application/json;q=0.5, application/xml", "application/xml; charset=utf-8"),
        ("application/json;q=0, */*;q=0.1", "application/yaml"),
        ("application/*;q=0.2, application/xml;q=0.1", "application/json"),
        ("application/yaml;version=1.2;q=0.9, */*;q=0.1", "application/yaml"),
        ("nonsense, ;;, application/xml", "application/xml; charset=utf-8"),
        ("nonsense", "application/json"),
        ("application/json;q=nope", "application/json"),
        (BROWSER, "application/json"),
        (f"application/json;q=0,{BROWSER}", "application/xml; charset=utf-8"),
    ],
    ids=str,
)
def test_accept_chooses_the_format(serve: Serve, accept: str, kind: str) -> None:
    response = serve(Resource(Pair)).get(ROOT, headers={"accept": accept})
    assert (response.status_code, response["Content-Type"]) == (200, kind)
    assert response["Vary"] == "Accept"


def test_no_accept_is_the_default(serve: Serve) -> None:
    assert serve(Resource(YamlFirst)).get(ROOT)["Content-Type"] == "application/yaml"


def test_nothing_acceptable_is_406_with_what_is_available(serve: Serve) -> None:
    client = serve(Resource(YamlFirst))
    response = client.get(ROOT, headers={"accept": "image/png, application/xml"})
    assert response.status_code == 406
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["available"] == {
        "yaml": "application/yaml",
        "json": "application/json",
    }
    assert response["Vary"] == "Accept"


def test_the_url_argument_comes_first_and_is_taken_out(serve: Serve) -> None:
    resource = Resource(Pair)
    client = serve(path("x", resource), path("x.<emitter_format>", resource))
    response = client.get("/x.yaml?format=xml", headers={"accept": "text/csv"})
    assert response["Content-Type"] == "application/yaml"
    assert "Vary" not in response
    assert client.get("/x.nope").status_code == 404


def test_the_parameter_comes_second_and_unknown_is_406(serve: Serve) -> None:
    client = serve(Resource(Pair))
    response = client.get(ROOT, {"format": "yaml"}, headers={"accept": "text/csv"})
    assert response["Content-Type"] == "application/yaml"
    assert "Vary" not in response
    assert client.get(ROOT, {"format": "nope"}).status_code == 406


def test_the_parameter_has_the_name_of_the_settings_or_is_none(serve: Serve) -> None:
    client = serve(Resource(Pair))
    with override_settings(PISTON={"FORMAT_PARAM": "as"}):
        assert client.get(ROOT, {"as": "yaml"})["Content-Type"] == "application/yaml"
        assert (
            client.get(ROOT, {"format": "yaml"})["Content-Type"] == "application/json"
        )
    with override_settings(PISTON={"FORMAT_PARAM": None}):
        assert client.get(ROOT, {"format": "nope"}).status_code == 200


def test_formats_of_the_handler_restrict_and_order_and_those_of_the_settings_too(
    serve: Serve,
) -> None:
    client = serve(Resource(Pair))
    with override_settings(PISTON={"FORMATS": ("xml", "json")}):
        assert "xml" in client.get(ROOT)["Content-Type"]
        assert client.get(ROOT, {"format": "yaml"}).status_code == 406
    assert serve(Resource(YamlFirst)).get(ROOT, {"format": "xml"}).status_code == 406


# -- an oracle of RFC 9110, 12.4.2 and 12.5.1, written from its text -------------------

_OFFERS = (
    Offer("json", "application/json", ()),
    Offer("yaml", "application/yaml", ("text/yaml",)),
    Offer("csv", "text/csv", ()),
)
_NAMES = ("application", "text", "image", "*")
_KINDS = ("json", "yaml", "csv", "html", "*", "j,s", "")
_QS = ("", ";q=1", ";q=0", ";q=0.5", ";q=0.999", ";Q=0.2", ";q=2", ";q=x", ";a=b;q=0.1")


def _oracle(accept: str) -> str | None:
    said: dict[tuple[str, str], float] = {}
    for element in accept.split(","):
        media, *rest = element.strip().split(";")
        quality = 1.0
        sound = True
        for parameter in rest:
            key, _, value = parameter.partition("=")
            if key.lower() == "q":
                sound = value in ("0", "1", "0.5", "0.999", "0.2", "0.1")
                quality = float(value) if sound else 0
        kind, slash, sub = media.strip().partition("/")
        if not (sound and slash and kind and sub) or (kind == "*" and sub != "*"):
            continue
        said[kind, sub] = quality
    if not said:
        return "json"
    if said.get(("text", "html"), 0) > 0 and said.get(("*", "*"), 0) > 0:
        exact = said.get(("application", "json"), said.get(("application", "*"), 1))
        if exact > 0:
            return "json"
    quality_of = {}
    for name, kind, sub, others in [
        ("json", "application", "json", []),
        ("yaml", "application", "yaml", [("text", "yaml")]),
        ("csv", "text", "csv", []),
    ]:
        ranges = [(kind, sub), *others, (kind, "*"), ("*", "*")]
        quality_of[name] = next((said[one] for one in ranges if one in said), 0.0)
    best = max(quality_of.values())
    if best == 0:
        return None
    return next(name for name in ("json", "yaml", "csv") if quality_of[name] == best)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            lambda name, kind, q: f"{name}/{kind}{q}",
            st.sampled_from(_NAMES),
            st.sampled_from(_KINDS),
            st.sampled_from(_QS),
        ),
        max_size=6,
    )
)
def test_any_accept_gives_the_choice_of_the_rfc(elements: list[str]) -> None:
    accept = ", ".join(elements)
    assert choose(accept, _OFFERS) == _oracle(accept)


@settings(deadline=None)
@given(st.text(st.characters(codec="latin-1")))
@example('"' * 50)
@example('a/b;x="\\')
@example('text/csv;x="a,b;q=0"')
@example(";")
@example(",;,")
def test_any_text_in_accept_is_a_choice_and_no_error(accept: str) -> None:
    assert choose(accept, _OFFERS) in ("json", "yaml", "csv", None)


def test_quoted_commas_and_semicolons_end_nothing() -> None:
    assert choose('text/csv;x="a,b;q=0", */*;q=0.1', _OFFERS) == "csv"


# -- how each looks --------------------------------------------------------------------

BODIES = {
    "json": '{"a":[1,null,true],"b c":"ä<"}',
    "yaml": "a:\n- 1\n- null\n- true\nb c: ä<\n",
    "xml": '<?xml version="1.0" encoding="utf-8"?>\n<response><a><resource>1</resource>'
    '<resource nil="true"/><resource>true</resource></a><item key="b c">ä&lt;</item>'
    "</response>",
    "jsonl": '{"a":[1,null,true],"b c":"ä<"}\n',
    "csv": 'a,b c\r\n"[1,null,true]",ä<\r\n',
}


@pytest.mark.parametrize("name", BODIES)
def test_the_look_of_each_format(serve: Serve, name: str) -> None:
    response = serve(Resource(Pair)).get(ROOT, {"format": name})
    assert response.content.decode() == BODIES[name]
    assert response["Content-Length"] == str(len(response.content))


def test_csv_has_the_header_of_the_first_item_and_empty_none() -> None:
    rows = [{"a": None, "b": "x,y"}, {"b": [1], "c": 1}, {"a": True, "b": 1.5}]
    text = CSVEmitter(rows).render(None)
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "b"],
        ["", "x,y"],
        ["", "[1]"],
        ["true", "1.5"],
    ]


def test_jsonl_is_a_line_per_item() -> None:
    assert JSONLinesEmitter([{"a": 1}, 2]).render(None) == b'{"a":1}\n2\n'


def test_yaml_has_no_anchors_for_shared_values_and_no_tags() -> None:
    shared = [1]
    text = YAMLEmitter({"z": shared, "a": shared, "t": (1,)}).render(None)
    assert text == "z:\n- 1\na:\n- 1\nt:\n- 1\n"


@pytest.mark.parametrize(
    "text", ["1e3", "089", "0o17", "no", "1:30", "2020-01-01", "~"]
)
def test_a_text_that_looks_like_something_else_in_some_yaml_is_quoted(
    text: str,
) -> None:
    assert YAMLEmitter([text]).render(None) == f"- '{text}'\n"


@pytest.mark.parametrize(
    ("key", "element"),
    [
        ("name", "<name>1</name>"),
        ("größe", "<größe>1</größe>"),
        ("a-b.c_1", "<a-b.c_1>1</a-b.c_1>"),
        ("item", "<item>1</item>"),
        ("1a", '<item key="1a">1</item>'),
        ("a:b", '<item key="a:b">1</item>'),
        ("XmLike", '<item key="XmLike">1</item>'),
        ("resource", '<item key="resource">1</item>'),
        ("", '<item key="">1</item>'),
        ('"<>&\n\t', '<item key="&quot;&lt;&gt;&amp;&#10;&#9;">1</item>'),
        ("a/><b", '<item key="a/&gt;&lt;b">1</item>'),
        ("ä b", '<item key="ä b">1</item>'),
    ],
    ids=range(12),
)
def test_a_key_is_an_element_or_where_it_is_no_name_an_item(
    key: str, element: str
) -> None:
    assert XMLEmitter({key: 1}).render(None).endswith(f"<response>{element}</response>")


def test_what_xml_cannot_carry_becomes_u_fffd() -> None:
    text = "\0\x1f\ud800\ufffe\uffff\x7f\t\n\r😀"
    body = XMLEmitter([text]).render(None)
    assert "<resource>�����\x7f\t\n&#13;😀</resource>" in body


# -- round trips -----------------------------------------------------------------------

_TEXTS = st.text(st.characters())
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(_JSON)
@example("\ud800")
@example({"\ud83d": ["\ude00"]})
def test_any_json_value_survives_json_and_jsonl(value: Any) -> None:
    assert load_json(JSONEmitter(value).render(None)) == value
    lines = JSONLinesEmitter([value, value]).render(None)
    assert [json.loads(line) for line in lines.splitlines()] == [value, value]


_PAIRED = st.text(st.characters(codec="utf-8"))
_UTF_8_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e308, 1e308) | _PAIRED,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_PAIRED, inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(_UTF_8_JSON)
@example("1e3")
@example({"<<": "=", "\x85": "\u2028 \n x\n"})
@example("\ufeff")
@example(1e300)
def test_any_json_value_survives_yaml_here_and_in_pyyaml(value: Any) -> None:
    text = YAMLEmitter(value).render(None)
    assert load_yaml(str(text).encode()) == value
    assert yaml.safe_load(text) == value


def test_half_a_character_is_u_fffd_in_yaml_which_has_none() -> None:
    assert load_yaml(
        str(YAMLEmitter(["\ud800", "\ud83d\ude00"]).render(None)).encode()
    ) == [
        "�",
        "😀",
    ]


def _as_xml_says(value: Any) -> Any:
    """What section 5 lets XML keep: texts, None, and what is not empty."""
    if isinstance(value, dict):
        return {_carried(key): _as_xml_says(one) for key, one in value.items()} or ""
    if isinstance(value, list):
        return [_as_xml_says(one) for one in value] or ""
    if isinstance(value, str):
        return _carried(value)
    if value is None:
        return None
    return json.dumps(value)


def _carried(text: str) -> str:
    return "".join(
        one
        if one in "\t\n\r"
        or " " <= one <= "\ud7ff"
        or "\ue000" <= one <= "\ufffd"
        or one > "\uffff"
        else "\ufffd"
        for one in text
    )


def _keys_stay_apart(value: Any) -> bool:
    if isinstance(value, dict):
        apart = len({_carried(key) for key in value}) == len(value)
        return apart and all(map(_keys_stay_apart, value.values()))
    return not isinstance(value, list) or all(map(_keys_stay_apart, value))


@settings(deadline=None)
@given(_JSON.filter(_keys_stay_apart))
@example({"resource": [1]})
@example({"item": 1, "a b": 2})
@example([[], {}, ""])
@example({"ʰa": 1})
def test_any_json_value_survives_xml_as_documented(value: Any) -> None:
    body = str(XMLEmitter(value).render(None)).encode()
    assert load_xml(body) == _as_xml_says(value)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), _TEXTS, min_size=3), min_size=1)
)
def test_texts_survive_csv(rows: list[dict[str, str]]) -> None:
    # The reader of Python's csv, not the format, takes a NUL or a lone CR otherwise.
    rows = [
        {key: text.replace("\0", "").replace("\r", "") for key, text in row.items()}
        for row in rows
    ]
    text = str(CSVEmitter(rows).render(None))
    # What a spreadsheet would calculate has an apostrophe before it.
    shown = [
        {
            key: f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
            for key, text in row.items()
        }
        for row in rows
    ]
    assert list(csv.DictReader(io.StringIO(text, newline=""))) == shown


def test_numbers_below_zero_are_no_formulas_in_csv() -> None:
    text = str(CSVEmitter([{"n": -1.5, "formula": "=1+1"}]).render(None))
    assert text == "n,formula\r\n-1.5,'=1+1\r\n"


# -- an emitter of one's own -----------------------------------------------------------


class Lines(Emitter):
    def render(self, request: HttpRequest | None) -> str:
        return "\n".join(map(str, self.construct()))


class Counted(Emitter):
    def render(self, request: HttpRequest | None) -> bytes:
        return b"%d" % len(self.construct())

    def stream_render(self, request: HttpRequest | None) -> Iterator[str]:
        for item in self.construct():
            yield f"[{item}]"


@pytest.fixture
def registered() -> Iterator[None]:
    Emitter.register("lines", Lines, "text/plain; charset=utf-8", ("text/x-lines",))
    Emitter.register("counted", Counted, "text/x-counted")
    yield
    Emitter.unregister("lines")
    Emitter.unregister("counted")


@pytest.mark.usefixtures("registered")
def test_an_emitter_of_ones_own_is_a_format_like_the_others(serve: Serve) -> None:
    class Handler(BaseHandler):
        fields = ("real",)

        def read(self, request: HttpRequest) -> Any:
            return [1, None]

        def create(self, request: HttpRequest) -> Any:
            return iter([1, 2])

    client = serve(Resource(Handler))
    response = client.get(ROOT, headers={"accept": "text/x-lines"})
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert (response.content, "ETag" in response) == (b"1\nNone", True)
    assert client.post(ROOT + "?format=lines").content == b"1\n2"
    streamed = client.post(ROOT + "?format=counted")
    assert streamed.streaming
    assert streamed.getvalue() == b"[1][2]"


@pytest.mark.usefixtures("registered")
def test_get_gives_the_class_and_the_type_and_unknown_is_a_value_error() -> None:
    assert Emitter.get("lines") == (Lines, "text/plain; charset=utf-8")
    Emitter.unregister("lines")
    with pytest.raises(ValueError, match="no emitter is named 'lines'"):
        Emitter.get("lines")
