"""Loopback trackers written from their contracts: they keep issues in memory and judge
every request.

Each request is validated against an OpenAPI document too: against `contracts/` here,
which says in the project's own words what the calls we make look like and knows no
other keys, and, where they lie beside the checkout, against the official ones.
"""

import json
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

OWN = Path(__file__).parent / "contracts"
OFFICIAL = Path(__file__).resolve().parents[4] / "shared" / "contracts"


class Request(NamedTuple):
    """A request as a route sees it; header names are lower case."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    json: Any


class Answer(NamedTuple):
    status: int
    json: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    #: The body where it is no JSON.
    text: str = ""


Route = Callable[..., Answer]


class Kept:
    """An issue."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = "open"
        #: The status, where it is another than that of a new or a closed issue.
        self.status = ""
        #: Its product or component, where the tracker keeps one.
        self.home = ""
        self.comments: list[dict[str, Any]] = []
        self.times: list[dict[str, Any]] = []
        self.history: list[Any] = []
        self.assigned: list[str] = []
        #: Names of the statuses it was moved to.
        self.reached: list[str] = []


class Contract:
    """A tracker on a port of its own. Subclasses give `routes`: (method, pattern,
    function of request and groups).
    """

    #: The official document, and the address its paths are below.
    document = ""
    origin = ""
    #: What stands before the document's paths here.
    prefix = ""
    #: Requests of the official interface that the cut document leaves out.
    beside: tuple[str, ...] = ()
    #: Characters that a body may have at most (0: any), and what is said to a longer.
    limit = 0
    too_long = Answer(413)

    def __init__(self) -> None:
        self.issues: dict[int, Kept] = {}
        self.problems: list[str] = []
        self.lock = threading.RLock()
        self.validators = _validators(self.document) if self.document else []
        contract = self

        class Handler(_Handler):
            owner = contract

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        self.thread = threading.Thread(
            target=self.server.serve_forever, args=(0.05,), daemon=True
        )
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    def new(self) -> Kept:
        with self.lock:
            number = len(self.issues) + 1
            self.issues[number] = Kept(number)
            return self.issues[number]

    def routes(self) -> list[tuple[str, str, Route]]:
        raise NotImplementedError

    def refuse(self, request: Request) -> Answer | None:
        """The answer to bad credentials."""
        return None

    def now(self) -> str:
        return "2036-01-01T00:00:00+00:00"

    def answer(self, request: Request) -> Answer:
        with self.lock:
            refused = self.refuse(request)
            if refused:
                return refused
            if self.limit and len(json.dumps(request.json)) > self.limit:
                return self.too_long
            for method, pattern, route in self.routes():
                found = re.fullmatch(pattern, request.path)
                if found and method == request.method:
                    return route(request, *found.groups())
        self.problem(request, "there is no such call")
        return Answer(404, {"message": "Not Found"})

    def problem(self, request: Request, text: str) -> None:
        self.problems.append(f"{request.method} {request.path}: {text} {request.json}")

    def issue(self, number: str) -> Kept | None:
        return self.issues.get(int(number)) if number.isdigit() else None

    def validate(self, request: Request, raw: bytes, query: str) -> None:
        """Hold the request to the documents."""
        path = request.path.removeprefix(self.prefix)
        if not self.validators or any(
            re.fullmatch(pattern, path) for pattern in self.beside
        ):
            return
        from openapi_core.exceptions import OpenAPIError
        from openapi_core.testing import MockRequest

        kind = request.headers.get("content-type", "application/json")
        args = dict(parse_qsl(query))
        headers = {name.title(): value for name, value in request.headers.items()}
        for validator in self.validators:
            # a new one each: a validator leaves in it what it read
            asked = MockRequest(
                self.origin,
                request.method.lower(),
                path,
                args=args,
                headers=headers,
                data=raw or None,
                content_type=kind,
            )
            try:
                validator.validate_request(asked)
            except OpenAPIError as error:
                self.problem(request, f"{error} {error.__cause__ or ''}")


@lru_cache
def _validators(name: str) -> list[Any]:
    """A validator for each document *name* that is there."""
    openapi_core = pytest.importorskip("openapi_core")
    files = [folder / name for folder in (OWN, OFFICIAL) if (folder / name).exists()]
    return [
        openapi_core.OpenAPI.from_dict(json.loads(file.read_text())) for file in files
    ]


def _read(raw: bytes, kind: str) -> Any:
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(raw.decode()))
    return json.loads(raw) if raw else None


class _Handler(BaseHTTPRequestHandler):
    owner: Contract
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = "/".join(
            unquote(part).replace("/", "%2F") for part in split.path.split("/")
        )
        body = _read(raw, headers.get("content-type", ""))
        request = Request(
            self.command, path, dict(parse_qsl(split.query)), headers, body
        )
        self.owner.validate(request, raw, split.query)
        answer = self.owner.answer(request)
        kind = "text/plain" if answer.text else "application/json"
        content = answer.text.encode()
        if answer.json is not None:
            content = json.dumps(answer.json).encode()
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if content:
            self.send_header("Content-Type", kind)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve
