"""Loads a broker: by path, under a private module name, always from source.

It runs the broker's code, so it is called in processes made for that only. Python's
bytecode cache is not used: it is matched by whole seconds and size, and "edit, reload"
within one second would run old code.
"""

import functools
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from oberonc.broker import legacy
from oberonc.broker.contract import BaseBroker
from oberonc.broker.registry import BrokenBroker, Place
from oberonc.text import one_line

T = TypeVar("T")
_WHAT: dict[type, str] = {BaseBroker: "broker"}

#: The trackers beside the brokers that this process loaded, by name.
trackers: dict[str, Place] = {}


def load(place: Place) -> type[BaseBroker]:
    """The broker class at *place*. Raises BrokenBroker,
    whatever the broker's code does at import.
    """
    where = place.file or place.origin
    trackers.update((each.name, each) for each in starmap(Place, place.trackers))
    try:
        found = _import(place)
        found = (
            _only_subclass(found, where, BaseBroker)
            if isinstance(found, types.ModuleType)
            else found
        )
        _check_class(found, where)
    except BrokenBroker:
        raise
    except BaseException as error:  # noqa: BLE001  a broker may call sys.exit at import
        raise BrokenBroker(_fault(where, error)) from None
    return found


def load_subclass(place: Place, base: type[T]) -> type[T]:
    """The one subclass of *base* at *place*, a plugin of a broker. Raises BrokenBroker,
    whatever its code does at import.
    """
    where = place.file or place.origin
    try:
        found = _import(place)
        if isinstance(found, types.ModuleType):
            found = _only_subclass(found, where, base)
    except BrokenBroker:
        raise
    except BaseException as error:  # noqa: BLE001  a plugin may call sys.exit at import
        raise BrokenBroker(_fault(where, error)) from None
    if not (isinstance(found, type) and issubclass(found, base)):
        what = one_line(repr(found), 80)
        raise BrokenBroker(f"{where}: {what} is no subclass of {base.__name__}")
    if missing := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
        raise BrokenBroker(f"{where}: {found.__name__} has no {missing}")
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
    known = (name for name, root in _Finder.roots.items() if root == folder)
    name = next(known, f"oberonc_brokers_{len(_Finder.roots)}")
    if name not in _Finder.roots:
        package = types.ModuleType(name)
        package.__path__ = []  # nothing but `_Finder` looks into the folder
        sys.modules[name] = package
        _Finder.roots[name] = folder
        if _Finder not in sys.meta_path:
            sys.meta_path.insert(0, _Finder)
    return importlib.import_module(f"{name}.{stem}")


def _only_subclass(module: types.ModuleType, where: str, base: type[T]) -> type[T]:
    classes = [
        thing
        for thing in dict.fromkeys(filter(_is_class, vars(module).values()))
        if issubclass(thing, base) and thing.__module__ == module.__name__
    ]
    # A helper base class in the same file is no second broker: only classes nobody here
    # derives from count.
    leaves = [
        c for c in classes if not any(c in other.__mro__[1:] for other in classes)
    ]
    if len(leaves) != 1:
        names = ", ".join(c.__name__ for c in leaves) or "none"
        raise BrokenBroker(
            f"{where}: a {_WHAT.get(base, 'tracker')} file has one subclass of {base.__name__}; this one has {names}"
        )
    return leaves[0]


def _is_class(thing: object) -> TypeGuard[type]:
    return isinstance(thing, type)


def _check_class(found: Any, where: str) -> None:
    if not (isinstance(found, type) and issubclass(found, BaseBroker)):
        raise BrokenBroker(
            f"{where}: {one_line(repr(found), 80)} is no subclass of BaseBroker"
        )
    if fault := _fault_of_class(found):
        raise BrokenBroker(f"{where}:{_line_of_class(found)}: {found.__name__}{fault}")


def _fault_of_class(found: type[BaseBroker]) -> str:
    """What is wrong with its `timeout` or its `handle`, or an empty string."""
    if not isinstance(found.timeout, (int, float)) or not found.timeout > 0:
        return ".timeout must be a number of seconds above 0"
    if found.handle is BaseBroker.handle:
        return " has no handle(self, payload)"
    if _is_plain(found.handle):
        return ""
    import inspect  # seldom: it takes 1 MB of each process

    try:
        inspect.signature(found.handle).bind(None, {})
    except (TypeError, ValueError):
        return ".handle takes one argument, payload"
    # Calling one of these runs nothing of it.
    odd = (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    )
    if any(is_odd(form) for form in _forms(found.handle) for is_odd in odd):
        return ".handle is async or a generator; write a plain method"
    return ""


#: Bits of `co_flags`, as `inspect` calls them: VARARGS, VARKEYWORDS, GENERATOR, COROUTINE,
#: ASYNC_GENERATOR.
_NOT_PLAIN = 0x04 | 0x08 | 0x20 | 0x80 | 0x200


def _is_plain(handle: Any) -> bool:
    """Whether it is `def handle(self, payload)` and nothing more."""
    if not isinstance(handle, types.FunctionType) or vars(handle):
        return False
    code = handle.__code__
    counts = (code.co_argcount, code.co_kwonlyargcount, code.co_flags & _NOT_PLAIN)
    return counts == (2, 0, 0)


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
    import inspect

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
