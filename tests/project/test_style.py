"""The house keeps its shape: no endless function, no endless file, documented modules, no
sleeping tests.
"""

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PACKAGE = sorted([*(TOP / "oberonc").rglob("*.py"), *(TOP / "brokers").glob("*.py")])
TESTS = sorted((TOP / "tests").rglob("*.py"))

pytestmark = pytest.mark.xdist_group("style")  # each file is read once


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without the docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_function_is_over_60_lines() -> None:
    lengths = {
        f"{path.name}:{node.name}": _lines(node)
        for path in PACKAGE
        for node in _functions(path)
    }
    assert not {name: count for name, count in lengths.items() if count > 60}


def test_a_module_is_about_one_thing_and_says_which() -> None:
    lines = {
        str(path.relative_to(TOP)): len(path.read_text().splitlines())
        for path in PACKAGE
    }
    assert not {name: count for name, count in lines.items() if count > 505}
    assert not [
        str(path.relative_to(TOP))
        for path in PACKAGE
        if _tree(path).body and not ast.get_docstring(_tree(path))
    ]


def test_public_names_are_documented() -> None:
    assert not [
        f"{path.relative_to(TOP)}: {node.name}"
        for path in PACKAGE
        for node in _tree(path).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and node.name[0] != "_"
        and not ast.get_docstring(node)
    ]


def _sleeps(tree: ast.AST) -> Iterator[int]:
    """The lines that wait for time to pass. `asyncio.sleep(0)` lets others have their
    turn and does not; what stands in the source text of a broker is not the test's.
    """
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="time" | "asyncio", names=names):
                if any(name.name == "sleep" for name in names):
                    yield node.lineno
            case ast.Import(names=names):
                if any(
                    name.asname and name.name in ("time", "asyncio") for name in names
                ):
                    yield node.lineno
            case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
                yield node.lineno
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="asyncio"), attr="sleep"),
                args=args,
            ) if [ast.unparse(arg) for arg in args] != ["0"]:
                yield node.lineno


def test_no_test_sleeps() -> None:
    """Only `eventually` waits."""
    assert not [
        f"{path.relative_to(TOP)}:{line}"
        for path in TESTS
        if path.name != "eventually.py" and "sleep" in path.read_text()
        for line in _sleeps(_tree(path))
    ]


@pytest.mark.parametrize(
    ("text", "sleeps"),
    [
        ("import time\ntime.sleep(1)", True),
        ("from time import monotonic, sleep", True),
        ("import time as clock", True),
        ("import asyncio\nasync def wait(): await asyncio.sleep(0.1)", True),
        ("from asyncio import sleep", True),
        ("import asyncio\nasync def turn(): await asyncio.sleep(0)", False),
        ("from time import monotonic", False),
        ("BROKER = 'import time; time.sleep(600)'", False),
    ],
)
def test_each_way_to_sleep_is_seen(text: str, sleeps: bool) -> None:
    assert bool(list(_sleeps(ast.parse(text)))) == sleeps


def test_the_packages_list_is_the_tree() -> None:
    text = (TOP / "pyproject.toml").read_text()
    for init in (TOP / "oberonc").rglob("__init__.py"):
        name = ".".join(init.parent.relative_to(TOP).parts)
        assert f'"{name}"' in text, f"{name} is missing in [tool.setuptools] packages"


def test_only_names_of_the_project_stand_at_the_top() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=False
    ).stdout
    if not listed:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.splitlines()}
    usual = {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "setup.py",
        "pyproject.toml",
        "MANIFEST.in",
    }
    folders = {"oberonc", "brokers", "tests", "hooks", "docs", "contrib"}
    assert {name for name in top if not name.startswith(".")} <= usual | folders
