"""What broker files of 2009 expect and Python no longer has, lent to them while they
are loaded or run.

Such a file says `from brokers import BaseBroker`, perhaps `from packages import
requests` (the libraries that lay beside the brokers), `from django.utils import
simplejson`, `urllib.urlencode` and `urllib.FancyURLopener`. The names exist only inside
`names_of_2009`, only in the process of that broker.
"""

import builtins
import contextlib
import functools
import importlib.machinery
import importlib.util
import json
import re
import sys
import types
import urllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from oberonc.broker.contract import BaseBroker

if TYPE_CHECKING:
    import ast
    from importlib.abc import Loader
else:
    Loader = (
        object  # `importlib.abc` would take 0.8 MB of each process that has brokers
    )

#: Seconds the lent FancyURLopener waits; the original waited for ever.
URL_SECONDS = 30
_URLLIB = ("urlencode", "quote", "quote_plus", "unquote", "urlopen", "FancyURLopener")
#: Imports that only a file of that time has; a newer one that uses the real Django
#: keeps it.
_LENT = {
    "brokers",
    "packages",
    "django.utils.simplejson",
    *(f"urllib.{name}" for name in _URLLIB),
}
#: What a file with such an import has in it, whatever else it says.
_MENTIONED = re.compile(
    rb"\b(from|import)\b([^\\\n]|\\\r?\n)*\b(brokers|packages)\b"
    rb"|\bsimplejson\b|\burllib\b(?!\.(parse|request|error)\b)"
)
#: `except Error, name:` as Python 2 had it, and some of what Python 3.14 reads there.
_OLD_EXCEPT = re.compile(rb"^[ \t]*except\b[^\n]*,[ \t]*\w+[ \t]*:", re.MULTILINE)
#: What `packages` gives in place of a library of that time.
_INSTEAD = {"simplejson": "json"}
_GONE = {
    "urllib2": "it was part of Python 2; urllib.request replaces it",
    "httplib": "it was part of Python 2; http.client replaces it",
    "urlparse": "it was part of Python 2; urllib.parse replaces it",
    "ConfigParser": "it was part of Python 2; configparser replaces it",
    "StringIO": "it was part of Python 2; io replaces it",
    "cPickle": "it was part of Python 2; pickle replaces it",
    "xmlrpclib": "it was part of Python 2; xmlrpc.client replaces it",
    "simplejson": "json of the standard library does the same",
}


@functools.cache
def needs(file: str) -> bool:
    """Whether the source in *file* uses names of that time; False where it cannot be
    read or parsed.

    Asked before every delivery;
    a process loads a file once, so one answer holds for its life.
    """
    try:
        text = Path(file).read_bytes()
        if not _MENTIONED.search(text):
            return False
        import ast  # few files come here, and it would take 1 MB of each process

        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return any(_is_old(node) for node in ast.walk(tree))


def _is_old(node: "ast.AST") -> bool:
    import ast

    if isinstance(node, ast.ImportFrom):
        names = {f"{node.module}.{alias.name}" for alias in node.names}
        return node.level == 0 and (
            _top(node.module or "") in _LENT
            or node.module in _LENT
            or not names.isdisjoint(_LENT)
        )
    if isinstance(node, ast.Import):
        return any(
            alias.name in _LENT or _top(alias.name) in _LENT for alias in node.names
        )
    return isinstance(node, ast.Attribute) and _names_urllib(node)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _names_urllib(node: "ast.Attribute") -> bool:
    import ast

    return (
        isinstance(node.value, ast.Name)
        and node.value.id == "urllib"
        and node.attr in _URLLIB
    )


@contextlib.contextmanager
def names_of_2009(wanted: bool = True) -> Iterator[None]:
    """Lend the names, if *wanted*, and take them back."""
    if not wanted:
        yield
        return
    modules = _modules()
    kept = {name: sys.modules.get(name) for name in modules}
    attributes = {name: vars(urllib).get(name) for name in _URLLIB}
    sys.modules.update(modules)
    vars(urllib).update(_urllib_names())
    sys.meta_path.insert(0, _Packages)
    try:
        yield
    finally:
        sys.meta_path.remove(_Packages)
        for name in [name for name in sys.modules if name.startswith("packages.")]:
            del sys.modules[name]
        _restore(sys.modules, kept)
        _restore(vars(urllib), attributes)


def _restore(table: Any, kept: dict[str, Any]) -> None:
    for name, value in kept.items():
        if value is None:
            table.pop(name, None)
        else:
            table[name] = value


def _modules() -> dict[str, types.ModuleType]:
    brokers, django, utils = (
        types.ModuleType(name) for name in ("brokers", "django", "django.utils")
    )
    brokers.BaseBroker = BaseBroker  # type: ignore[attr-defined]
    utils.simplejson = json  # type: ignore[attr-defined]
    django.utils = utils  # type: ignore[attr-defined]
    django.__path__ = []
    packages = types.ModuleType("packages")
    packages.__path__ = []
    return {
        "brokers": brokers,
        "packages": packages,
        "django": django,
        "django.utils": utils,
        "django.utils.simplejson": json,
    }


class _Packages:
    """Finds `packages.NAME`: the library NAME that is installed, under that name too."""

    @staticmethod
    def find_spec(
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        top, _, name = fullname.partition(".")
        if top != "packages" or not name:
            return None
        first, dot, rest = name.partition(".")
        try:
            found = importlib.import_module(_INSTEAD.get(first, first) + dot + rest)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(str(error), name=error.name) from None
        return importlib.util.spec_from_loader(fullname, _Alias(found))


class _Alias(Loader):
    """Loads what is loaded already: a module with the names of *known*."""

    def __init__(self, known: types.ModuleType) -> None:
        self._known = known

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> None:
        """As it is usually made."""

    def exec_module(self, module: types.ModuleType) -> None:
        # A module of its own, so that the library's own stays as it is.
        own = ("__name__", "__spec__", "__loader__", "__package__")
        names = {k: v for k, v in vars(self._known).items() if k not in own}
        vars(module).update({"__path__": []} | names)


def _urllib_names() -> dict[str, Any]:
    import urllib.parse
    import urllib.request

    return {
        "urlencode": urllib.parse.urlencode,
        "quote": urllib.parse.quote,
        "quote_plus": urllib.parse.quote_plus,
        "unquote": urllib.parse.unquote,
        "urlopen": urllib.request.urlopen,
        "FancyURLopener": FancyURLopener,
    }


class FancyURLopener:
    """The part of Python 2's class that brokers used: `open` with form data, and Basic
    authentication once.

    A subclass sets `version`, the User-Agent, and may override `prompt_user_passwd`.
    """

    version = "oberonc"

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        self.addheaders: list[tuple[str, str]] = []

    def addheader(self, name: str, value: str) -> None:
        """Send this header with every request."""
        self.addheaders.append((name, value))

    def prompt_user_passwd(
        self, host: str, realm: str
    ) -> tuple[str | None, str | None]:
        """The user and password for *realm* of *host*; a subclass's business."""
        return None, None

    def open(self, fullurl: str, data: str | bytes | None = None) -> Any:
        """GET *fullurl*, or POST *data* to it;
        returns the file-like answer, also of a refusal.
        """
        answer = self._send(fullurl, data, {})
        if answer.status != 401:
            return answer
        user, password = self.prompt_user_passwd(
            urlsplit(fullurl).netloc, _realm(answer)
        )
        if not user:
            return answer
        return self._send(
            fullurl, data, {"Authorization": _basic(user, password or "")}
        )

    def _send(self, url: str, data: str | bytes | None, headers: dict[str, str]) -> Any:
        import urllib.error
        import urllib.request

        if urlsplit(url).scheme not in ("http", "https"):
            raise OSError(
                f"only http and https addresses can be opened, not {urlsplit(url).scheme}:"
            )
        body = data.encode() if isinstance(data, str) else data
        request = urllib.request.Request(url, data=body)  # noqa: S310  the scheme was checked above
        for name, value in [
            ("User-Agent", self.version),
            *self.addheaders,
            *headers.items(),
        ]:
            request.add_header(name, value)
        try:
            return urllib.request.urlopen(request, timeout=URL_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as refusal:
            return refusal


def _realm(answer: Any) -> str:
    return (
        str(answer.headers.get("WWW-Authenticate", ""))
        .partition('realm="')[2]
        .partition('"')[0]
    )


def _basic(user: str, password: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def refuse_old_except(source: bytes, file: str) -> None:
    """Raise SyntaxError, as Python before 3.14 does, where *source* has Python 2's
    `except Error, name:`.

    Since PEP 758 that is a tuple of two exceptions, and its *name* is missing at the
    first error. An exception that the file knows is meant as Python 3.14 reads it.
    """
    if not _OLD_EXCEPT.search(source):
        return
    import ast  # few files come here, and it would take 1 MB of each process

    tree = ast.parse(source)
    known = {*dir(builtins), *_bound(tree)}
    for node in ast.walk(tree):
        caught = node.type if isinstance(node, ast.ExceptHandler) else None
        if not isinstance(caught, ast.Tuple) or not caught.elts or "*" in known:
            continue
        last = caught.elts[-1]
        bare = caught.end_col_offset == last.end_col_offset  # without parentheses
        if bare and isinstance(last, ast.Name) and last.id not in known:
            why = "multiple exception types must be parenthesized"
            raise SyntaxError(why, (file, caught.lineno, caught.col_offset + 1, None))


def _bound(tree: "ast.AST") -> Iterator[str]:
    """The names that something in *tree* gives a meaning to, and "*" for all others."""
    import ast

    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def python2_hint(file: str, error: SyntaxError) -> str:
    """What to say where a syntax error is Python 2's syntax."""
    message = error.msg or ""
    if any(
        sign in message
        for sign in (
            "print",
            "exec",
            "Missing parentheses",
            "leading zeros",
            "multiple exception",
        )
    ):
        return " (this is Python 2 syntax; write it for Python 3)"
    try:
        line = (
            Path(file).read_text(errors="replace").splitlines()[(error.lineno or 1) - 1]
        )
    except (OSError, IndexError):
        return ""
    old = (
        ("except " in line and "," in line)
        or "<>" in line
        or "`" in line
        or line.lstrip().startswith("raise ")
    )
    return " (this looks like Python 2 syntax; write it for Python 3)" if old else ""


def gone_hint(name: str | None) -> str:
    """What replaces a library that is gone, or an empty string."""
    hint = _GONE.get((name or "").split(".")[0])
    return f" ({hint})" if hint else ""
