"""What a broker's file says of itself, read without running it."""

import ast
from pathlib import Path

from oberonc.broker.registry import Place
from oberonc.config import DEFAULT_TIMEOUT


def docline(place: Place) -> str:
    """The first paragraph of a broker class's or file's docstring in one line, read
    without running the file; the class is the one that handles pushes.
    """
    tree = _tree(place)
    classes = sorted(_classes(tree), key=_handles, reverse=True)
    nodes: list[ast.ClassDef | ast.Module] = [*classes, tree]
    for node in nodes:
        text = ast.get_docstring(node)
        if text:
            return in_one_line(text)
    return ""


def in_one_line(text: str) -> str:
    """The first paragraph of a docstring."""
    return " ".join(text.partition("\n\n")[0].split())


def _handles(node: ast.ClassDef) -> bool:
    return any(_name(item) == "handle" for item in node.body)


def timeout(place: Place) -> float | None:
    """The `timeout` of the broker class, read without running the file; None where only
    running it would tell.
    """
    classes = {node.name: node for node in _classes(_tree(place))}
    handling = [name for name, node in classes.items() if _handles(node)]
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
