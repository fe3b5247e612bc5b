"""Parsers: what turns the body of a request into `request.data`.

An own one is a function from bytes to data, which raises ValueError for what it cannot
read: `Mimer.register(load, ("text/x-lines",))`.
"""

import functools
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from io import BytesIO
from typing import Any, ClassVar, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, QueryDict, RawPostDataException
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.utils.datastructures import MultiValueDict

from oberonc.piston import xml
from oberonc.piston.conf import setting
from oberonc.piston.handler import Function, declare
from oberonc.piston.problems import Problem

Loader: TypeAlias = "Callable[[bytes], Any]"

_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
#: What the short names of `require_mime` stand for.
_TYPES: Final = {
    "json": ("application/json",),
    "yaml": ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"),
    "xml": ("application/xml", "text/xml"),
    "form": (_FORM,),
    "multipart": (_MULTIPART,),
}
#: Reading more digits takes time with their square.
_LONGEST_NUMBER: Final = 999


_BODILESS: Final = ("GET", "HEAD")


class Mimer:
    """The registered parsers, by content type."""

    loaders: ClassVar[dict[str, Loader]] = {}

    @classmethod
    def register(cls, loader: Loader, types: Iterable[str]) -> None:
        """Parse bodies of these types with `loader`, instead of what did before."""
        for content_type in types:
            cls.loaders[content_type.lower()] = loader

    @classmethod
    def unregister(cls, loader: Loader) -> None:
        """Forget a parser, whatever its types."""
        cls.loaders = {
            content_type: one
            for content_type, one in cls.loaders.items()
            if one is not loader
        }


def require_mime(*mimes: str) -> Callable[[Function], Function]:
    """Read only these types: `json`, `yaml`, `xml`, `form`, `multipart`, or full ones.

    Other types are 415. Raises ValueError for a short name that is none.
    """
    types: list[str] = []
    for mime in mimes:
        if mime not in _TYPES and "/" not in mime:
            raise ValueError(
                f"{mime!r} is neither a content type nor one of {list(_TYPES)}"
            )
        types += _TYPES.get(mime, (mime.lower(),))
    return lambda function: declare(function, "require_mime", tuple(types))


#: For what a form cannot carry.
require_extended: Final = require_mime("json", "yaml", "xml")


def may_have_body(request: HttpRequest) -> bool:
    """Whether there is something to parse; only reading tells in a chunked body.

    Sets `request.data` and `request.files` to what holds without a body.
    """
    request.data, request.files = None, MultiValueDict()
    length = request.META.get("CONTENT_LENGTH")
    return length != "0" if length else request.method not in _BODILESS


def parse(
    request: HttpRequest, required: Collection[str] | None, limit: int | None
) -> None:
    """Set `request.data` and `request.files` from the body.

    `required` are the types that the function reads, None: all; `limit` is the longest
    body in bytes, None: any. Raises Problem 413, 415 or 400.
    """
    length = _content_length(request)
    if length is not None and limit is not None and length > limit:
        raise _too_large(limit)
    content_type = request.META.get("CONTENT_TYPE", "")
    content_type = content_type.split(";", 1)[0].strip().lower()
    if length:
        take = _reader(request, content_type, required)
        body = read(request, limit)
        if body is not None and len(body) < length:
            raise Problem(400, "The body broke off.")
    else:
        body = read(request, limit)
        if not body:
            return
        take = _reader(request, content_type, required)
        request.META["CONTENT_LENGTH"] = str(
            len(body)
        )  # Django's form parsers go by it
    if body is None:  # somebody has read the form before
        request.data, request.files = request.POST, request.FILES
    elif body:
        try:
            take(body)
        except (ValueError, MultiPartParserError, RecursionError) as error:
            raise Problem(400, _why(error, content_type)) from error


def _content_length(request: HttpRequest) -> int | None:
    """The length that the client names; None where it names none, as in chunks."""
    text = request.META.get("CONTENT_LENGTH") or ""
    if text.isascii() and text.isdigit():
        return int(text[:20])
    return None


def body_limit(max_body: int | None, piston: Mapping[str, Any]) -> int | None:
    """The longest body in bytes: of the handler, else of the settings."""
    if max_body is None:
        max_body = setting("MAX_BODY", piston)
    return settings.DATA_UPLOAD_MAX_MEMORY_SIZE if max_body is None else max_body


def _too_large(limit: int) -> Problem:
    return Problem(413, f"The body may have {limit} bytes.")


def read(request: HttpRequest, limit: int | None) -> bytes | None:
    """The body, which stays readable; None if a form was read from the stream.

    Raises Problem 413 as soon as there is more than `limit`.
    """
    djangos = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        if hasattr(request, "_body"):
            pass  # an authenticator has read it
        elif "HTTP_TRANSFER_ENCODING" in request.META and hasattr(request, "environ"):
            request._body = _chunks(request.environ, limit)
        elif djangos is not None and (limit is None or limit > djangos):
            # `body` refuses what is longer than Django's own limit, and nothing public
            # lets it keep more.
            request._body = request.read(-1 if limit is None else limit + 1)
        body: bytes = request.body
    except RawPostDataException:
        body = b""
    except RequestDataTooBig:
        raise _too_large(djangos if limit is None else limit) from None
    except (UnreadablePostError, OSError) as error:
        raise Problem(400, "The body broke off.") from error
    if not body and request.method == "POST" and request.content_type == _MULTIPART:
        return None
    if limit is not None and len(body) > limit:
        raise _too_large(limit)
    return body


def _chunks(environ: Mapping[str, Any], limit: int | None) -> bytes:
    """A body without a length, as a WSGI server undoes its chunks.

    Django reads as many bytes as Content-Length says, so without one it would see no
    body. Raises Problem 411 where the server does not tell the end either.
    """
    if not environ.get("wsgi.input_terminated"):
        raise Problem(411, "Send the body with a Content-Length.")
    body: bytes = environ["wsgi.input"].read(-1 if limit is None else limit + 1)
    return body


def _reader(
    request: HttpRequest, content_type: str, required: Collection[str] | None
) -> Callable[[bytes], None]:
    """What takes the body in, or Problem 415 with the types that can be read."""
    known = content_type
    if known.endswith("+json") and known not in Mimer.loaders:
        known = "application/json"
    types = (*Mimer.loaders, _FORM, _MULTIPART) if required is None else required
    if "HTTP_CONTENT_ENCODING" in request.META:
        why = "The body is encoded; send it as it is."
    elif not content_type:
        why = "The body has no Content-Type."
    elif content_type not in types and known not in types:
        why = f"Bodies of type {content_type} are not read here."
    elif content_type == _FORM:
        return functools.partial(_form, request)
    elif content_type == _MULTIPART:
        return functools.partial(_multipart, request)
    elif known in Mimer.loaders:
        return functools.partial(_load, request, Mimer.loaders[known])
    else:
        why = f"No parser is registered for {content_type}."
    headers = {"Accept": ", ".join(types), "Accept-Encoding": "identity"}
    raise Problem(415, why, headers=headers)


def _load(request: HttpRequest, loader: Loader, body: bytes) -> None:
    request.data = loader(body)


def _form(request: HttpRequest, body: bytes) -> None:
    unquote_to_bytes(body).decode()
    request.data = QueryDict(body, encoding="utf-8")


def _multipart(request: HttpRequest, body: bytes) -> None:
    if request.method == "POST":
        request.data, request.files = request.POST, request.FILES
    else:
        parts = request.parse_file_upload(request.META, BytesIO(body))
        request.data, request.files = parts


def _why(error: Exception, content_type: str) -> str:
    """What is wrong with a body, in few words."""
    if isinstance(error, UnicodeDecodeError):
        return f"The body is not UTF-8: byte {error.start} cannot be read."
    if isinstance(error, RecursionError):
        return "The body is nested too deep."
    return f"The body is no {content_type}: {str(error)[:200]}"


def _text(body: bytes) -> str:
    return body.decode().removeprefix("\ufeff")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number of more than {_LONGEST_NUMBER} digits")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number of more than {_LONGEST_NUMBER} digits")
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number that is too large")
    return value


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[Any] = set()
        for twice, _ in pairs:
            if twice in seen:
                break
            seen.add(twice)
        raise ValueError(f"{twice!r} is there twice")
    return result


_DECODE: Final = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_constant,
).decode


def load_json(body: bytes) -> Any:
    """JSON (RFC 8259) in UTF-8, each name once, no deeper than `MAX_DEPTH`.

    Raises ValueError, or RecursionError where it is far too deep.
    """
    text = _text(body)
    data = _DECODE(text)
    levels = text.count("[") + text.count("{")  # at the most
    if levels > 1 and levels > (deepest := int(setting("MAX_DEPTH"))):
        _check_depth(data, deepest)
    return data


def _check_depth(data: Any, deepest: int) -> None:
    """Raise ValueError where lists and mappings are deeper than `deepest`."""
    level = [data]
    for _ in range(deepest + 1):
        holders = [value for value in level if isinstance(value, (dict, list))]
        if not holders:
            return
        level = []
        for value in holders:
            level += value.values() if isinstance(value, dict) else value
    raise ValueError(f"nested deeper than {deepest}")


#: Scalars that mean in YAML what they mean in JSON; anything else is a text, so that
#: `no`, `2020-01-01` and `1:30` are what they look like.
_YAML_SCALARS: Final = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:(?:0|[1-9][0-9]*)?\.[0-9]+|(?:0|[1-9][0-9]*)\.?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)


@functools.cache
def _yaml_loader() -> Any:
    """PyYAML's safe loader, narrowed to what strangers may send."""
    import yaml

    # With libyaml, where PyYAML has it, which is some ten times faster.
    bases: Any = (yaml.SafeLoader,)
    if yaml.__with_libyaml__:
        bases = (yaml.composer.Composer, yaml.CSafeLoader)

    class Loader(*bases):  # type: ignore[misc]
        yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

        def __init__(self, text: str, deepest: int) -> None:
            bases[-1].__init__(self, text)
            self.anchors: dict[str, Any] = {}
            self.deepest = deepest

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
                raise ValueError("anchors and aliases are not allowed")
            if isinstance(event, yaml.ScalarEvent):
                return super().compose_node(parent, index)
            if self.deepest == 0:
                raise ValueError("nested too deep")
            self.deepest -= 1
            node = super().compose_node(parent, index)
            self.deepest += 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            pairs = [
                (self.construct_object(key, True), self.construct_object(value, True))
                for key, value in node.value
            ]
            return _pairs(pairs)

    def construct_int(loader: Any, node: Any) -> int:
        digits = loader.construct_scalar(node)
        return int(digits, 16) if digits[:2] == "0x" else _integer(digits)

    def construct_float(loader: Any, node: Any) -> float:
        digits = loader.construct_scalar(node)
        if digits.strip("+-.").lower() in ("inf", "nan"):
            raise ValueError(f"{digits} is not allowed")
        return _float(digits)

    Loader.add_constructor("tag:yaml.org,2002:int", construct_int)
    Loader.add_constructor("tag:yaml.org,2002:float", construct_float)
    for name, pattern, first in _YAML_SCALARS:
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{name}", re.compile(rf"(?:{pattern})\Z"), first
        )
    return Loader


def load_yaml(body: bytes) -> Any:
    """One YAML document (RFC 9512): no aliases, and no tags but the standard ones.

    Raises ValueError.
    """
    import yaml

    text = _text(body)
    try:
        return _yaml_loader()(text, int(setting("MAX_DEPTH"))).get_single_data()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"{error.problem} in line {line}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error).split("\n")[0]) from None
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError("a value that its tag does not fit") from error


def load_xml(body: bytes) -> Any:
    """XML in UTF-8 without a DTD, as `oberonc.piston.xml` says; raises ValueError."""
    return xml.load(_text(body), int(setting("MAX_DEPTH")))


Mimer.register(load_json, _TYPES["json"])
Mimer.register(load_yaml, _TYPES["yaml"])
Mimer.register(load_xml, _TYPES["xml"])
