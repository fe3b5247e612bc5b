"""The tables of docs/trackers.md say what the code does and what the tests try."""

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from oberonc.issues.embedded import IssueFile
from oberonc.issues.trackers import CLASSES, load
from oberonc.issues.trackers.base import Tracker
from oberonc.issues.trackers.web import WebTracker
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import World, broker, commit, payload
from tests.support.trackers.forges import ContractWorld
from tests.support.trackers.suite import PAGE, documented


def _worlds() -> dict[str, list[type[World]]]:
    """The worlds that suites of this folder are run on, by their trackers."""
    found: dict[str, list[type[World]]] = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if file != Path(__file__) and "(Suite)" in file.read_text():
            module = _load(file)
            known = [*vars(module).values(), *getattr(module, "WORLDS", {}).values()]
            for world in dict.fromkeys(filter(inspect.isclass, known)):
                if issubclass(world, World) and not inspect.isabstract(world):
                    owner = next(c for c in world.__mro__ if "settings" in vars(c))
                    text = inspect.getsource(vars(owner)["settings"].fget)
                    for kind in re.findall('"tracker": "([a-z-]+)"', text):
                        found.setdefault(kind, []).append(world)
    return found


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"looked_at_{file.stem}", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(title: str) -> dict[str, dict[str, str]]:
    """The rows of the table below *title*, by their first cell."""
    text = PAGE.read_text().partition(f"# {title}\n")[2]
    lines = re.findall(r"^\|.*\|$", text.partition("\n#")[0], re.MULTILINE)
    cells = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]
    return {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[2:]}


CAN, TRIES = table("What each can do"), table("What was tried how")


def of(row: str) -> type[Tracker]:
    """The class that *row* is about."""
    return load(re.findall("`([a-z-]+)`", row)[0])


def overrides(kind: type[Tracker], name: str) -> bool:
    return getattr(kind, name) is not getattr(WebTracker, name)


def test_every_tracker_has_a_row_in_both_tables() -> None:
    assert list(CAN) == list(TRIES)
    named = [name for row in CAN for name in re.findall("`([a-z-]+)`", row)]
    assert set(named) == set(CLASSES)


def test_a_suite_is_run_on_every_tracker_and_its_row_says_on_what() -> None:
    worlds = _worlds()
    for row, tried in TRIES.items():
        names = re.findall("`([a-z-]+)`", row)
        of_it = [world for name in names for world in worlds.get(name, [])]
        assert of_it or row == "`local`", f"no suite is run on {row}"
        for world in of_it:
            again = tried["closed again after a person reopened?"]
            assert again.startswith("no: " if world.has_history else "yes: "), row
            ours = tried["tried on"].startswith("a server of ours")
            assert ours == issubclass(world, ContractWorld), row


@pytest.mark.parametrize("row", [row for row in CAN if row != "`local`"])
def test_a_row_says_what_the_tracker_can(row: str) -> None:
    kind, can, tried = of(row), CAN[row], TRIES[row]
    assert (can["statuses"] != "no") == kind.moves
    assert (can["time"] == "yes") == kind.keeps_time
    assert (can["acts for authors"] == "yes") == overrides(kind, "find_user")
    wanted = {"wontfix", "invalid", "duplicate"} & kind.resolutions
    said = {3: ("all",), 0: ("by `resolutions`", "no")}.get(len(wanted), ("wontfix",))
    assert can["resolutions"].startswith(said)
    joined = tried["comment and state"].startswith(("one change", "one command"))
    assert joined == overrides(kind, "joins")
    assert joined or tried["comment and state"].startswith("state first")


def test_the_setup_of_the_embedded_tracker_is_enough(tmp_path: Path) -> None:
    (settings,) = (found for found in documented() if found["tracker"] == "local")
    made = broker(settings, tmp_path)
    assert all(check.ok for check in made.check())
    kept = IssueFile(tmp_path)
    number = kept.new("octo/hello", "broken")
    pushed = payload(commit(f"fixes #{number}", next(NUMBERS)))
    assert made.handle(pushed) == f"closed #{number}"
    assert kept.state("octo/hello", number) == "closed"
