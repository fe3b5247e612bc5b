"""Formats: what turns a result into the bytes of an answer.

An own one is a class with `render`, registered under a name and a content type:

    class Lines(Emitter):
        def render(self, request):
            return "\\n".join(self.construct())

    Emitter.register("lines", Lines, "text/plain; charset=utf-8")
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final, NamedTuple

from django.http import HttpRequest

from oberonc.piston import xml
from oberonc.piston.construct import (
    NO_VALUE,
    Construction,
    Plain,
    Shape,
    integer_text,
    is_list,
    scalar,
)
from oberonc.piston.handler import BaseHandler
from oberonc.piston.negotiate import Offer


class Format(NamedTuple):
    """A registered emitter."""

    emitter: "type[Emitter]"
    content_type: str
    #: What a request can ask for it by.
    offer: Offer


class Emitter:
    """Writes one result in one format.

    `data` is what the handler gave; `construct()` is that made plain, by the fields of
    the handler. A subclass has `render`, and `stream_render` if it can write an
    iterator without collecting it: chunks of text or bytes, from `construct()`, which
    then is an iterator of plain items.
    """

    formats: ClassVar[dict[str, Format]] = {}

    def __init__(
        self,
        data: Any,
        handler: BaseHandler | None = None,
        request: HttpRequest | None = None,
        *,
        streamed: bool = False,
    ) -> None:
        self.data = data
        self.handler = handler
        self.request = request
        self._streamed = streamed

    def construct(self) -> Any:
        """The result as `Plain`; an iterator of `Plain` items while it is streamed."""
        construction = Construction(self.request)
        shape = self._shape()
        if self._streamed:
            return (construction.plain(item, shape) for item in self.data)
        return construction.plain(self.data, shape)

    def _shape(self) -> Shape | None:
        handler = self.handler
        if handler is None:
            return None
        lists = handler.list_fields and (self._streamed or is_list(self.data))
        fields = handler.list_fields if lists else handler.fields
        return Shape(fields, handler, picks=False)

    def render(self, request: HttpRequest | None) -> str | bytes:
        """The whole body."""
        raise NotImplementedError(f"{type(self).__name__} has no render()")

    @classmethod
    def streams(cls) -> bool:
        """Whether the class has a `stream_render`."""
        return hasattr(cls, "stream_render")

    @classmethod
    def register(
        cls,
        name: str,
        emitter: "type[Emitter]",
        content_type: str,
        aliases: Iterable[str] = (),
    ) -> None:
        """Add a format, or replace the one of this name."""
        media_type = content_type.split(";", 1)[0].strip().lower()
        others = tuple(alias.lower() for alias in aliases)
        offer = Offer(name, media_type, others)
        cls.formats[name] = Format(emitter, content_type, offer)

    @classmethod
    def unregister(cls, name: str) -> None:
        """Take a format away; nothing happens if there is none of this name."""
        cls.formats.pop(name, None)

    @classmethod
    def get(cls, name: str) -> "tuple[type[Emitter], str]":
        """The class and the content type of a format; raises ValueError if unknown."""
        if name not in cls.formats:
            known = ", ".join(cls.formats)
            raise ValueError(f"no emitter is named {name!r}; there are {known}")
        return cls.formats[name][:2]


def to_bytes(text: str | bytes) -> bytes:
    """UTF-8; halves of a character outside of a pair become U+FFFD."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        pairs = text.encode("utf-16-le", "surrogatepass")
        return pairs.decode("utf-16-le", "replace").encode()


def _single(value: Any) -> Any:
    """What the encoder itself has no form for, if that is a single value."""
    plain = scalar(value)
    if plain is NO_VALUE:
        raise TypeError(f"{type(value).__name__} is no single value")
    return plain


def _encoder(ascii_only: bool) -> json.JSONEncoder:
    return json.JSONEncoder(
        ensure_ascii=ascii_only,
        allow_nan=False,
        check_circular=False,  # then it is too deep, and `construct` says why
        separators=(",", ":"),
        default=_single,
    )


_ENCODE: Final = _encoder(ascii_only=False).encode
#: Writes half a character as an escape, which RFC 8259 section 8.2 allows.
_ENCODE_ASCII: Final = _encoder(ascii_only=True).encode


def _json(value: Plain, encode: Callable[[Any], str] = _ENCODE) -> str:
    """A plain value as JSON, integers that Python refuses to print among it."""
    try:
        return encode(value)
    except ValueError:
        if isinstance(value, int):
            return integer_text(value)
        if isinstance(value, list):
            return f"[{','.join([_json(one, encode) for one in value])}]"
        if isinstance(value, dict):
            pairs = [f"{encode(key)}:{_json(value[key], encode)}" for key in value]
            return f"{{{','.join(pairs)}}}"
        raise


def json_bytes(value: Plain) -> bytes:
    """A plain value as compact JSON in UTF-8."""
    try:
        return _json(value).encode()
    except UnicodeEncodeError:
        return _json(value, _ENCODE_ASCII).encode()


class JSONEmitter(Emitter):
    """Compact JSON (RFC 8259)."""

    def render(self, request: HttpRequest | None) -> bytes:
        """The body; what needs no fields goes to the encoder as it is."""
        try:
            return _ENCODE(self.data).encode()
        except (TypeError, ValueError, RecursionError):
            return json_bytes(self.construct())

    def stream_render(self, request: HttpRequest | None) -> Iterator[bytes]:
        """An array, an item a chunk."""
        before = b"["
        for item in self.construct():
            yield before + json_bytes(item)
            before = b","
        yield b"[]" if before == b"[" else b"]"


class JSONLinesEmitter(Emitter):
    """A line of JSON for each item; one line for what is no list."""

    def render(self, request: HttpRequest | None) -> bytes:
        """All lines."""
        plain = self.construct()
        items = plain if isinstance(plain, list) else [plain]
        return b"".join(json_bytes(item) + b"\n" for item in items)

    def stream_render(self, request: HttpRequest | None) -> Iterator[bytes]:
        """A line a chunk."""
        return (json_bytes(item) + b"\n" for item in self.construct())


_NUMBER_OF_YAML_1_2: Final = (
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"
    r"|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z"
)


@functools.cache
def _dumper() -> Any:
    """PyYAML's safe dumper without anchors, and careful with other readers' numbers."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent_integer(dumper: Any, value: int) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:int", integer_text(value))

    def represent_text(dumper: Any, value: str) -> Any:
        # YAML has no halves of characters, not even as escapes.
        value = to_bytes(value).decode()
        # Line breaks of YAML 1.1, which are lost outside of double quotes.
        style = '"' if re.search("[\x85\u2028\u2029]", value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

    Dumper.add_representer(int, represent_integer)
    Dumper.add_representer(str, represent_text)
    # YAML 1.2 reads `1e3`, `089` and `0o17` as numbers, and so must a text be quoted.
    Dumper.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(_NUMBER_OF_YAML_1_2),
        list("-+.0123456789"),
    )
    return Dumper


class YAMLEmitter(Emitter):
    """YAML (RFC 9512) without tags and anchors, in the order of the data."""

    def render(self, request: HttpRequest | None) -> str:
        """One document."""
        return yaml_text(self.construct())

    def stream_render(self, request: HttpRequest | None) -> Iterator[str]:
        """A sequence, an item a chunk."""
        empty = True
        for item in self.construct():
            yield yaml_text([item])
            empty = False
        if empty:
            yield yaml_text([])


def yaml_text(value: Plain) -> str:
    """A plain value as a YAML document."""
    import yaml

    text: str = yaml.dump(
        value,
        Dumper=_dumper(),
        allow_unicode=True,
        default_flow_style=False,
        sort_keys=False,
        width=float("inf"),
    )
    return text


class XMLEmitter(Emitter):
    """XML, as `oberonc.piston.xml` says."""

    def render(self, request: HttpRequest | None) -> str:
        """One document."""
        return xml.document(self.construct())

    def stream_render(self, request: HttpRequest | None) -> Iterator[str]:
        """The root, an item a chunk."""
        before = xml.DECLARATION + "<response>"
        for item in self.construct():
            yield before + xml.element(item, "resource")
            before = ""
        yield before + "</response>"


class _Line:
    """The file that `csv` wants, of which each line is handed back."""

    def write(self, line: str) -> str:
        return line


#: With these a spreadsheet begins to calculate what it is given as text.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class CSVEmitter(Emitter):
    """CSV (RFC 4180): a line an item, under the keys of the first item. A text that a
    spreadsheet would take for a formula gets an apostrophe before it.
    """

    def render(self, request: HttpRequest | None) -> str:
        """All lines."""
        plain = self.construct()
        return "".join(self._lines(plain if isinstance(plain, list) else [plain]))

    def stream_render(self, request: HttpRequest | None) -> Iterator[str]:
        """A line a chunk; the header with the first."""
        return self._lines(self.construct())

    def _lines(self, items: Iterable[Plain]) -> Iterator[str]:
        import csv

        line = csv.writer(_Line()).writerow
        header: list[str] | None = None
        for item in items:
            if not isinstance(item, dict):
                cells = item if isinstance(item, list) else [item]
                yield str(line([_cell(one) for one in cells]))
                continue
            first = ""
            if header is None:
                header = list(item)
                first = str(line([_cell(key) for key in header]))
            yield first + str(line([_cell(item.get(key)) for key in header]))


def _cell(value: Plain) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return _json(value)
    return f"'{value}" if value.startswith(_FORMULA) else value


Emitter.register("json", JSONEmitter, "application/json")
Emitter.register(
    "yaml",
    YAMLEmitter,
    "application/yaml",
    ("application/x-yaml", "text/yaml", "text/x-yaml"),
)
Emitter.register("xml", XMLEmitter, "application/xml; charset=utf-8", ("text/xml",))
Emitter.register(
    "jsonl", JSONLinesEmitter, "application/x-ndjson", ("application/jsonl",)
)
Emitter.register("csv", CSVEmitter, "text/csv; charset=utf-8")


def problem_body(document: Plain, format: str | None) -> tuple[bytes, str]:
    """A problem document and its content type, in what is nearest to a format."""
    if format == "yaml":
        return to_bytes(yaml_text(document)), "application/problem+yaml"
    if format == "xml":
        return to_bytes(xml.problem(document)), "application/problem+xml"
    return json_bytes(document), "application/problem+json"
