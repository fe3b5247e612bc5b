"""Finds brokers, and loads one: by path, under a private module name, always from
source.

`find` runs no broker code. `load` does, so it is called in worker processes only.
Python's bytecode cache is not used: it is matched by whole seconds and size, and "edit,
reload" within one second would run old code.
"""

import ast
import functools
import hashlib
import importlib.machinery
import importlib.util
import inspect
import os
import re
import stat
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from oberonc import paths
from oberonc.broker import legacy
from oberonc.broker.contract import BaseBroker
from oberonc.config import Config
from oberonc.errors import ConfigError
from oberonc.text import nearest, one_line

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
ENTRY_POINTS = "oberonc.brokers"
#: Seconds a broker gets when neither its service nor its class says.
DEFAULT_TIMEOUT = float(BaseBroker.timeout)


class Place(NamedTuple):
    """Where a broker is: a file, or an installed distribution's entry point."""

    name: str
    file: str | None
    entry_point: str | None
    origin: str


class Catalogue(NamedTuple):
    """The brokers that can be loaded, and why the others cannot."""

    places: dict[str, Place]
    problems: dict[str, str]

    def why(self, name: str) -> str:
        """Why broker *name* cannot be used although there is a file of it; empty where
        there is none.
        """
        refused = (
            p
            for where, p in self.problems.items()
            if name in (where, Path(where).stem) or _holds(where, name)
        )
        return next(refused, "")

    def missing(self, broker: str, service: str) -> str:
        """Why *service* cannot use *broker*, of which there is no place; with what to
        do.
        """
        near = nearest(broker, list(self.places))
        return (
            self.why(broker)
            or f"service '{service}' names broker '{broker}', which is not there{near}; see `oberonc brokers`"
        )


def _holds(folder: str, name: str) -> bool:
    return os.path.isfile(Path(folder) / f"{name}.py")  # noqa: PTH113  False, too, where we may not look


class BrokenBroker(ConfigError):
    """A broker's code cannot be used; the text names file and line."""


def directories(config: Config) -> list[Path]:
    """The folders brokers are found in, in order; the shipped ones last. Never the
    repository pushed to.
    """
    system = paths.system()
    places = [
        *config.directories,
        *([paths.config_home() / "brokers"] if config.user_brokers else []),
    ]
    places += [*([system / "brokers"] if system else []), paths.bundled("brokers")]
    # One folder under two names is one folder.
    return list(
        {os.path.realpath(place): place for place in reversed(places)}.values()
    )[::-1]


def find(config: Config, entry_points: bool = True) -> Catalogue:
    """Every broker there is. A name found twice is unusable: both places are named in
    `problems`.
    """
    found: dict[str, list[Place]] = {}
    problems: dict[str, str] = {}
    for folder in directories(config):
        for place in _in_folder(
            folder, trusted=folder == paths.bundled("brokers"), problems=problems
        ):
            found.setdefault(place.name, []).append(place)
    for place in _installed() if entry_points else ():
        found.setdefault(place.name, []).append(place)
    for folder in config.directories:
        if not os.path.isdir(folder):  # noqa: PTH112  False, too, where we may not look
            problems[str(folder)] = (
                f"brokers.directories names {folder}, which is not a folder"
            )
    for name, places in found.items():
        if len(places) > 1:
            both = " and ".join(place.file or place.origin for place in places)
            problems[name] = (
                f"broker '{name}' is there twice: {both}; rename or remove one"
            )
    usable = {name: places[0] for name, places in found.items() if name not in problems}
    return Catalogue(usable, problems)


def _in_folder(folder: Path, trusted: bool, problems: dict[str, str]) -> list[Place]:
    try:
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix == ".py" and path.name[0] not in "_."
        )
    except OSError:
        return []
    if not files:
        return []
    fault = "" if trusted else unsafe(folder) or _unsafe_helper(folder)
    if fault:
        problems[str(folder)] = f"{folder} is refused: {fault}"
        return []
    places = []
    for path in files:
        fault = _misnamed(path) or ("" if trusted else unsafe(path, parents=False))
        if fault:
            problems[str(path)] = f"{path} is refused: {fault}"
        else:
            places.append(Place(path.stem, str(path), None, str(folder)))
    return places


def find_in(folder: Path) -> Catalogue:
    """The brokers in *folder* alone."""
    problems: dict[str, str] = {}
    places = _in_folder(
        folder, trusted=folder == paths.bundled("brokers"), problems=problems
    )
    return Catalogue({place.name: place for place in places}, problems)


def _unsafe_helper(folder: Path) -> str:
    """Why a module that brokers of *folder* may import cannot be trusted, or an empty
    string.
    """
    packages = [path.parent for path in folder.glob("*/__init__.py")]
    helpers = [
        *folder.glob("_*.py"),
        *packages,
        *(path for package in packages for path in package.rglob("*")),
    ]
    return next(
        (fault for path in helpers if (fault := unsafe(path, parents=False))), ""
    )


def _misnamed(path: Path) -> str:
    if not path.is_file():
        return "it is not a plain file"
    return (
        ""
        if NAME.fullmatch(path.stem)
        else "a broker's file is called by small letters, digits and '_'"
    )


def unsafe(path: Path, parents: bool = True) -> str:
    """Why *path* cannot be trusted with code, or an empty string: writing it must be
    the administrator's right.

    A sticky folder of root's, such as /tmp, counts as safe: others cannot replace what
    we own in it.
    """
    chain = [path, *(path.absolute().parents if parents else ())]
    real = path.resolve()
    if path.is_symlink() or (parents and real != path.absolute()):
        # who may change where a link leads may change what is read
        chain += [real, *real.parents]
    for place in chain:
        try:
            facts = place.stat()
        except OSError as error:
            return f"{place}: {error.strerror}"
        if facts.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user"
        sticky = facts.st_mode & stat.S_ISVTX and facts.st_uid == 0
        if facts.st_mode & 0o022 and not sticky:
            return f"others may write {place}: chmod go-w {place}"
    return ""


def _installed() -> list[Place]:
    from importlib.metadata import entry_points

    return [
        Place(
            point.name,
            None,
            point.value,
            f"entry point of {point.dist.name if point.dist else 'a distribution'}",
        )
        for point in entry_points(group=ENTRY_POINTS)
        if NAME.fullmatch(point.name)
    ]


def load(place: Place) -> type[BaseBroker]:
    """The broker class at *place*. Raises BrokenBroker, whatever the broker's code does
    at import.
    """
    where = place.file or place.origin
    try:
        found = _import(place)
        found = (
            _broker_class(found, where)
            if isinstance(found, types.ModuleType)
            else found
        )
        _check_class(found, where)
    except BrokenBroker:
        raise
    except BaseException as error:  # noqa: BLE001  a broker may call sys.exit at import
        raise BrokenBroker(_fault(where, error)) from None
    return found


def _import(place: Place) -> Any:
    """The module at *place*, or the object that an entry point names in one."""
    if place.file is None:
        name, _, attribute = (place.entry_point or "").partition("[")[0].partition(":")
        module = importlib.import_module(name.strip())
        return (
            functools.reduce(getattr, attribute.strip().split("."), module)
            if attribute.strip()
            else module
        )
    with legacy.names_of_2009(legacy.needs(place.file)):
        return _mount(Path(place.file).parent, Path(place.file).stem)


class _FreshSource(importlib.machinery.SourceFileLoader):
    def path_stats(self, path: Any) -> Any:
        # no bytecode: it is compiled each time, and nothing is written beside it
        raise OSError


class _Finder:
    """Finds the modules of mounted folders, so that `from ._helper import x` works
    between a folder's files.
    """

    roots: dict[str, Path] = {}  # noqa: RUF012  one table for the process, as sys.modules is

    @classmethod
    def find_spec(
        cls,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        mount, _, inner = fullname.partition(".")
        if not inner or mount not in cls.roots:
            return None
        place = cls.roots[mount].joinpath(*inner.split("."))
        for file, inside in (
            (place.with_suffix(".py"), None),
            (place / "__init__.py", [str(place)]),
        ):
            if file.is_file():
                loader = _FreshSource(fullname, str(file))
                return importlib.util.spec_from_file_location(
                    fullname, file, loader=loader, submodule_search_locations=inside
                )
        raise ModuleNotFoundError(
            f"there is no {inner.replace('.', '/')}.py beside the broker",
            name=f".{inner}",
        )


def _mount(folder: Path, stem: str) -> types.ModuleType:
    name = "oberonc_brokers_" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    if name not in _Finder.roots:
        package = types.ModuleType(name)
        package.__path__ = []  # nothing but `_Finder` looks into the folder
        sys.modules[name] = package
        _Finder.roots[name] = folder
        if _Finder not in sys.meta_path:
            sys.meta_path.insert(0, _Finder)
    return importlib.import_module(f"{name}.{stem}")


def _broker_class(module: types.ModuleType, where: str) -> type[BaseBroker]:
    classes = [
        thing
        for thing in dict.fromkeys(filter(inspect.isclass, vars(module).values()))
        if issubclass(thing, BaseBroker) and thing.__module__ == module.__name__
    ]
    # A helper base class in the same file is no second broker: only classes nobody here
    # derives from count.
    leaves = [
        c for c in classes if not any(c in other.__mro__[1:] for other in classes)
    ]
    if len(leaves) != 1:
        names = ", ".join(c.__name__ for c in leaves) or "none"
        raise BrokenBroker(
            f"{where}: a broker file has one subclass of BaseBroker; this one has {names}"
        )
    return leaves[0]


def _check_class(found: Any, where: str) -> None:
    if not (inspect.isclass(found) and issubclass(found, BaseBroker)):
        raise BrokenBroker(
            f"{where}: {one_line(repr(found), 80)} is no subclass of BaseBroker"
        )
    line = _line_of_class(found)
    if not isinstance(found.timeout, (int, float)) or not found.timeout > 0:
        raise BrokenBroker(
            f"{where}:{line}: {found.__name__}.timeout must be a number of seconds above 0"
        )
    if found.handle is BaseBroker.handle:
        raise BrokenBroker(
            f"{where}:{line}: {found.__name__} has no handle(self, payload)"
        )
    try:
        inspect.signature(found.handle).bind(None, {})
    except (TypeError, ValueError):
        raise BrokenBroker(
            f"{where}:{line}: {found.__name__}.handle takes one argument, payload"
        ) from None
    if any(is_odd(form) for form in _forms(found.handle) for is_odd in _ODD):
        raise BrokenBroker(
            f"{where}:{line}: {found.__name__}.handle is async or a generator; write a plain method"
        )


#: Calling one of these runs nothing of it.
_ODD = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)


def _forms(handle: Any) -> Iterator[Any]:
    """*handle*, and what decorators and partials put it around; at most as many as
    anybody would write.
    """
    for _ in range(32):
        yield handle
        inner = (
            handle.func
            if isinstance(handle, functools.partial)
            else getattr(handle, "__wrapped__", None)
        )
        if inner is None:
            return
        handle = inner


def _line_of_class(found: type[BaseBroker]) -> int:
    try:
        return inspect.getsourcelines(found)[1]
    except (OSError, TypeError):
        return 1  # a class made at run time stands on no line


def _fault(where: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        file = error.filename or where  # it may be a helper's
        return (
            f"{file}:{error.lineno or 1}: {error.msg}{legacy.python2_hint(file, error)}"
        )
    line = _line_of(where, error)
    if isinstance(error, ModuleNotFoundError) and not (error.name or ".").startswith(
        "."
    ):
        return f"{where}:{line}: needs the library '{error.name}', which is not installed{legacy.gone_hint(error.name)}"
    return f"{where}:{line}: {type(error).__name__}: {one_line(error_text(error), 200)}"


def error_text(error: BaseException) -> str:
    """`str(error)`, also of an exception whose own code fails."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  it is the broker's code: it may raise anything
        return "its message cannot be shown"


def _line_of(where: str, error: BaseException) -> int:
    trace = error.__traceback__
    line = 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == where:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def docline(place: Place) -> str:
    """The first line of a broker file's or class's docstring, read without running it."""
    tree = _tree(place)
    nodes: list[ast.ClassDef | ast.Module] = [*_classes(tree), tree]
    for node in nodes:
        text = ast.get_docstring(node)
        if text:
            return text.partition("\n")[0]
    return ""


def declared_timeout(place: Place) -> float | None:
    """The `timeout` of the broker class, read without running the file; None where only
    running it would tell.
    """
    classes = {node.name: node for node in _classes(_tree(place))}
    handling = [
        name
        for name, node in classes.items()
        if any(_name(item) == "handle" for item in node.body)
    ]
    return _timeout_of(handling[0], classes) if len(handling) == 1 else None


def _timeout_of(name: str, classes: dict[str, ast.ClassDef]) -> float | None:
    if name == "BaseBroker" and name not in classes:
        return DEFAULT_TIMEOUT
    node = classes.pop(name, None)
    if node is None or node.decorator_list or node.keywords or len(node.bases) != 1:
        return None
    for item in node.body:
        if _name(item) == "timeout":
            value = getattr(getattr(item, "value", None), "value", None)
            return (
                float(value) if isinstance(value, (int, float)) and value > 0 else None
            )
    base = node.bases[0]
    return _timeout_of(
        base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", ""),
        classes,
    )


def _name(item: ast.stmt) -> str:
    """What a plain statement of a class body defines."""
    target = (
        item.targets[0]
        if isinstance(item, ast.Assign)
        else getattr(item, "target", None)
    )
    return getattr(item, "name", "") or getattr(target, "id", "")


def _tree(place: Place) -> ast.Module:
    try:
        return ast.parse(Path(place.file or "").read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]
