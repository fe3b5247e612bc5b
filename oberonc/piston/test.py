"""A client for tests that speaks every format, and a TestCase that has it."""

import base64
import csv
import io
from collections.abc import Callable
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from django import test

from oberonc.piston.emitters import Emitter, to_bytes
from oberonc.piston.mimers import Mimer

_SUFFIXES: Final = {
    "+json": "application/json",
    "+yaml": "application/yaml",
    "+xml": "application/xml",
}


class Client(test.Client):
    """Django's test client; bodies go out, and answers come in, in any format.

    `basic` is a name and a password, `bearer` a token: credentials of each request.
    `format` is the name of an emitter, `form`, `multipart`, or a content type; `accept`
    the name of an emitter or a text for the header. A body of bytes goes out as it is.
    `response.data` is the answer, parsed by its content type; None where it is empty or
    nothing can parse it.
    """

    def __init__(
        self,
        *,
        basic: tuple[str, str] | None = None,
        bearer: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        headers = dict(headers or {})
        if basic is not None:
            token = base64.b64encode(":".join(basic).encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        super().__init__(headers=headers, **options)

    def get(
        self, path: str, data: Any = None, *, accept: str | None = None, **options: Any
    ) -> Any:
        """GET; `data` is the query string."""
        return super().get(path, data, **_accepting(accept, options))

    def post(
        self, path: str, data: Any = None, format: str = "json", **options: Any
    ) -> Any:
        """POST."""
        return self._send(super().post, path, data, format, **options)

    def put(
        self, path: str, data: Any = None, format: str = "json", **options: Any
    ) -> Any:
        """PUT."""
        return self._send(super().put, path, data, format, **options)

    def patch(
        self, path: str, data: Any = None, format: str = "json", **options: Any
    ) -> Any:
        """PATCH."""
        return self._send(super().patch, path, data, format, **options)

    def delete(
        self, path: str, data: Any = None, format: str = "json", **options: Any
    ) -> Any:
        """DELETE."""
        return self._send(super().delete, path, data, format, **options)

    def _send(
        self,
        send: Callable[..., Any],
        path: str,
        data: Any,
        format: str,
        *,
        accept: str | None = None,
        **options: Any,
    ) -> Any:
        body, content_type = _encoded(data, options.pop("content_type", format))
        options = _accepting(accept, options)
        return send(path, body, content_type=content_type, **options)

    def request(self, **request: Any) -> Any:
        """Any request; gives the answer its `data`."""
        response = super().request(**request)
        if response.streaming:
            # Read once, and there to be read again.
            body = response.getvalue()
            response.streaming_content = [body]
        else:
            body = response.content
        response.data = _parsed(body, response.headers.get("Content-Type", ""))
        return response


class TestCase(test.TestCase):
    """Django's, with this client as `self.client`."""

    client_class: ClassVar[type[Client]] = Client
    client: Client


def _accepting(accept: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a request with the header `Accept` among them."""
    if accept is None:
        return options
    kind = accept if "/" in accept else Emitter.get(accept)[1].partition(";")[0]
    return {**options, "headers": {**(options.get("headers") or {}), "Accept": kind}}


def _encoded(data: Any, format: str) -> tuple[Any, str]:
    """A body and its content type.

    Raises ValueError for an unknown format, TypeError for data that is no bytes where
    `format` is a content type.
    """
    if format == "form":
        content_type = "application/x-www-form-urlencoded"
        return urlencode(data or {}, doseq=True), content_type
    if format == "multipart":
        boundary = "a boundary of its own"  # Django encodes again what has its own
        body = test.client.encode_multipart(boundary, data or {})
        return body, f'multipart/form-data; boundary="{boundary}"'
    content_type = format if "/" in format else Emitter.get(format)[1]
    if data is None:
        return b"", content_type
    if isinstance(data, bytes):
        return data, content_type
    if "/" in format:
        raise TypeError(f"a body of {format} is bytes, not {type(data).__name__}")
    return to_bytes(Emitter.get(format)[0](data).render(None)), content_type


def _parsed(body: bytes, content_type: str) -> Any:
    """What a body says, None if that cannot be known."""
    kind = content_type.partition(";")[0].strip().lower()
    for suffix, base in _SUFFIXES.items():
        if kind.endswith(suffix):
            kind = base
    if not body:
        return None
    if kind in Mimer.loaders:
        return Mimer.loaders[kind](body)
    if kind == "application/x-ndjson":
        return [Mimer.loaders["application/json"](line) for line in body.splitlines()]
    if kind == "text/csv":
        return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    return None
