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

from oberonc import paths
from oberonc.broker import legacy
from oberonc.broker.contract import BaseBroker, settable, settings_fields
from oberonc.broker.registry import BrokenBroker, Place
from oberonc.text import nearest, one_line

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

    def source_to_code(  # type: ignore[override]  # a static method to typeshed
        self, data: Any, path: Any, *more: Any, **how: Any
    ) -> types.CodeType:
        # Python 3.15 gives the module's name, too.
        code = super().source_to_code(data, path, *more, **how)
        legacy.refuse_old_except(data, path)
        return code


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
    if len(leaves) == 1:
        return leaves[0]
    wanted = f"a {_WHAT.get(base, 'tracker')} file has one subclass of {base.__name__}"
    if leaves:
        lines = [_line_of_class(c) for c in leaves]
        named = zip(leaves, lines, strict=True)
        said = ", ".join(f"{c.__name__} (line {line})" for c, line in named)
        raise BrokenBroker(
            f"{where}:{lines[1]}: {wanted}; this one has {said}: give each a file of its own"
        )
    for other in filter(_is_class, vars(module).values()):
        if other.__module__ == module.__name__ and hasattr(other, "handle"):
            raise BrokenBroker(
                f"{where}:{_line_of_class(other)}: {wanted}; this one has none: "
                f"write class {other.__name__}({base.__name__})"
            )
    raise BrokenBroker(f"{where}: {wanted}; this one has none")


def _is_class(thing: object) -> TypeGuard[type]:
    return isinstance(thing, type)


def _check_class(found: Any, where: str) -> None:
    if not (isinstance(found, type) and issubclass(found, BaseBroker)):
        raise BrokenBroker(
            f"{where}: {one_line(repr(found), 80)} is no subclass of BaseBroker"
        )
    for name, fault in _faults(found):
        thing = vars(found).get(name)
        line = getattr(getattr(thing, "__code__", None), "co_firstlineno", None)
        at = line or _line_of_class(thing if _is_class(thing) else found)
        raise BrokenBroker(f"{where}:{at}: {found.__name__}{fault}")


def _faults(found: type[BaseBroker]) -> Iterator[tuple[str, str]]:
    """What is wrong with the attributes of the class: which, and what."""
    limit = found.timeout
    if (
        isinstance(limit, bool)
        or not isinstance(limit, (int, float))
        or not 0 < limit <= LONGEST_TIMEOUT
    ):
        yield (
            "timeout",
            f".timeout is {one_line(repr(limit), 40)}; it must be a number of seconds above 0, at most a week",
        )
    yield from _faults_of_settings(found)
    for name in _GIVEN:
        if getattr(found, name) is not getattr(BaseBroker, name):
            yield name, f".{name} is what oberonc gives; choose another name"
    if found.handle is BaseBroker.handle:
        yield "", " has no handle(self, payload)"
    for name, form in _FORMS.items():
        if fault := _fault_of_method(found, name, form):
            yield name, f".{name} {fault}"
    if missing := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
        yield "", f" has no {missing}"
    init: Any = found.__init__
    if init is not object.__init__ and not _takes(init, "self"):
        yield (
            "__init__",
            " is made without arguments; what it needs is in self.settings",
        )


def _faults_of_settings(found: type[BaseBroker]) -> Iterator[tuple[str, str]]:
    declared = found.Settings
    if _is_class(found.settings):
        yield "settings", ".settings is a class; its name must be Settings"
    if declared is None:
        return
    if not _is_class(declared):
        yield "", ".Settings must be a class"
        return
    try:
        fields = settings_fields(declared)
    except Exception as error:  # noqa: BLE001  annotations are the broker's code too
        yield "Settings", f".Settings cannot be read: {named(error)}"
        return
    for name, (hint, _) in fields.items():
        if not settable(hint):
            yield (
                "Settings",
                f".Settings.{name}: no setting can be of that type; {_TYPES}",
            )
    for name, value in vars(declared).items():
        if name[0] != "_" and name not in fields and isinstance(value, _PLAIN):
            kind = type(value).__name__
            yield (
                "Settings",
                f".Settings.{name} has no type; write {name}: {kind} = ...",
            )


def _fault_of_method(found: type[BaseBroker], name: str, form: str) -> str:
    method: Any = getattr(found, name)
    if method is getattr(BaseBroker, name):
        return ""
    if not _takes(method, form):
        return f"must be def {name}({form})"
    if isinstance(method, types.FunctionType) and _is_plain(method):
        return ""
    import inspect  # seldom: it takes 1 MB of each process

    # Calling one of these runs nothing of it; of lists each may be yielded.
    odd = [inspect.iscoroutinefunction, inspect.isasyncgenfunction]
    if name not in ("plan", "check"):
        odd.append(inspect.isgeneratorfunction)
    if any(is_odd(form) for form in _forms(method) for is_odd in odd):
        return "is async or a generator; write a plain method"
    return ""


def _takes(method: Any, form: str) -> bool:
    """Whether *method* can be called with the arguments of *form*."""
    wanted = form.count(",") + 1
    if isinstance(method, types.FunctionType) and _is_plain(method):
        return method.__code__.co_argcount == wanted
    import inspect

    try:
        inspect.signature(method).bind(*(None,) * wanted)
    except (TypeError, ValueError):
        return False
    return True


#: Seconds.
LONGEST_TIMEOUT = 7 * 86400
#: The methods that a broker may have.
_FORMS = {
    "handle": "self, payload",
    "has_work": "self, payload",
    "plan": "self, payload",
    "check": "self",
    "verify": "self",
}
#: What each instance is given, whatever its class says.
_GIVEN = ("service", "state", "common_state")
_PLAIN = (str, int, float, list, dict)
_TYPES = (
    "there are str, Secret, bool, int, float, Path, Literal, list, tuple, set and dict "
    "of these, and | between them"
)

#: Bits of `co_flags`, as `inspect` calls them: VARARGS, VARKEYWORDS, GENERATOR, COROUTINE,
#: ASYNC_GENERATOR.
_NOT_PLAIN = 0x04 | 0x08 | 0x20 | 0x80 | 0x200


def _is_plain(method: types.FunctionType) -> bool:
    """Whether it has arguments without defaults and names, and nothing more."""
    code = method.__code__
    odd = code.co_kwonlyargcount or code.co_flags & _NOT_PLAIN
    return not (vars(method) or method.__defaults__ or odd)


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


def _line_of_class(found: type) -> int:
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
        top = (error.name or "").partition(".")[0]
        beside = Path(where).parent
        if (beside / f"{top}.py").is_file() or (beside / top / "__init__.py").is_file():
            return (
                f"{where}:{line}: what lies beside the broker is imported with a dot: "
                f"from .{error.name} import ..., or from . import {top}"
            )
        hint = legacy.gone_hint(error.name) or f"; {paths.adding()}"
        return f"{where}:{line}: needs the library '{error.name}', which is not installed{hint}"
    return f"{where}:{line}: {one_line(named(error), 250)}"


def named(error: BaseException, text: str | None = None) -> str:
    """The kind of *error* and its *text*, as Python shows it."""
    text = error_text(error) if text is None else text
    return f"{type(error).__name__}{': ' if text else ''}{text}"


def error_text(error: BaseException) -> str:
    """`str(error)`, also of an exception whose own code fails; with the name that was
    meant, where one is near.
    """
    try:
        if isinstance(error, SystemExit):
            return f"the broker called exit({error})"
        return f"{error}{_meant(error)}"
    except BaseException:  # noqa: BLE001  it is the broker's code: it may raise anything
        return "its message cannot be shown"


def _meant(error: BaseException) -> str:
    known: Any = ()
    name = getattr(error, "name", None)
    if isinstance(error, AttributeError) and error.obj is not None:
        known = dir(error.obj)
    elif isinstance(error, ImportError) and error.name in sys.modules:
        name = str(error).partition("cannot import name '")[2].partition("'")[0]
        known = dir(sys.modules[error.name])
    elif isinstance(error, NameError) and (trace := error.__traceback__):
        while trace.tb_next:
            trace = trace.tb_next
        known = [*trace.tb_frame.f_locals, *trace.tb_frame.f_globals]
    return nearest(name, [each for each in known if each != name]) if name else ""


def _line_of(where: str, error: BaseException) -> int:
    trace = error.__traceback__
    line = 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == where:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
