"""The documentation tells the truth: commands, settings, exit codes, brokers,
transcripts.
"""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from oberonc import config
from oberonc.cli import COMMANDS
from tests.project import write_commands, write_manuals, write_pictures

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"


def test_the_page_of_commands_is_the_help_of_the_commands() -> None:
    assert write_commands.FILE.read_text() == write_commands.text(), (
        "run python -m tests.project.write_commands"
    )


def test_every_command_is_in_the_readme() -> None:
    readme = (TOP / "README.md").read_text()
    for name in COMMANDS:
        assert f"`{name}`" in readme or f"oberonc {name}" in readme, name


def test_the_manual_pages_are_what_the_commands_say() -> None:
    written = {path.name: path.read_text() for path in write_manuals.FOLDER.iterdir()}
    assert written == write_manuals.pages(), (
        "run python -m tests.project.write_commands"
    )


@pytest.mark.parametrize("name", sorted(write_manuals.pages()))
def test_a_manual_page_is_one_that_man_can_show(name: str) -> None:
    page = write_manuals.FOLDER / name
    checks = {
        "mandoc": ["mandoc", "-Tlint", "-W", "warning", str(page)],
        "man": ["man", "--warnings", "-l", str(page)],
    }
    found = [words for tool, words in checks.items() if shutil.which(tool)]
    if not found:
        pytest.skip("neither man nor mandoc is here")
    for words in found:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            env=os.environ | {"MANWIDTH": "100"},
            check=False,
        )
        said = done.stderr + (done.stdout if words[0] == "mandoc" else "")
        # It has no date on purpose.
        assert [line for line in said.splitlines() if "missing date" not in line] == []


@pytest.mark.parametrize(
    "name", [name for name, _ in write_commands.commands() if name != "oberonc"]
)
def test_every_command_shows_an_example_in_its_help(name: str) -> None:
    said = dict(write_commands.commands())[name]
    assert "Example" in said, f"{name} --help has no example"


def test_every_setting_of_the_configuration_is_documented() -> None:
    page = (DOCS / "configuration.md").read_text()
    tables = (
        config._TOP,
        config._DAEMON,
        config.SERVICE_KEYS,
        dict.fromkeys(config.Limits._fields),
    )
    for key in (
        key
        for table in tables
        for key in table
        if key not in ("services", "brokers", "daemon", "limits")
    ):
        assert f"`{key}`" in page, key


def test_every_key_a_repository_may_set_is_documented() -> None:
    page = (DOCS / "configuration.md").read_text().lower()
    source = (TOP / "oberonc" / "source" / "repository.py").read_text()
    for key in set(re.findall(r'"(oberonc\.[a-z]+)"', source)):
        assert f"`{key}`" in page, key


def test_every_exit_code_is_in_the_design() -> None:
    page = (DOCS / "commands.md").read_text()
    for code in (0, 1, 2, 3, 65, 69, 74, 75, 77, 78, 130):
        assert f"| {code} |" in page, code


def test_every_shipped_broker_is_documented() -> None:
    page = (DOCS / "brokers.md").read_text()
    for file in (TOP / "brokers").glob("[a-z]*.py"):
        assert f"### {file.stem}" in page, file.stem


def _tree() -> list[str]:
    """The paths that the tree at the top of design.md names; folders end in `/`."""
    page = (DOCS / "design.md").read_text()
    block = page.partition("## The tree")[2].split("```")[1]
    paths, above = [], [""]
    for line in block.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"  +", line.strip())[0].split()
        paths += [above[depth] + name for name in names]
        above[depth + 1 :] = [paths[-1]]
    return paths


def test_the_tree_in_the_design_has_the_folders_there_are() -> None:
    folders = {path for path in _tree() if path.endswith("/")}
    there = {
        f"{init.parent.relative_to(TOP)}/"
        for init in (TOP / "oberonc").rglob("__init__.py")
    }
    assert {path for path in folders if path.startswith("oberonc/")} == there
    assert all((TOP / path).is_dir() for path in folders)


def test_the_tree_in_the_design_names_modules_that_are_there() -> None:
    named = {path for path in _tree() if not path.endswith("/")}
    assert not [path for path in named if not (TOP / f"{path}.py").exists()]
    top = {f"oberonc/{path.stem}" for path in (TOP / "oberonc").glob("[a-z]*.py")}
    assert top <= named


def test_the_places_for_changes_in_the_design_are_there() -> None:
    table = (DOCS / "design.md").read_text().partition("| change | place |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    assert len(rows) >= 10
    for row in rows:
        place = row.split("|")[2].replace("NAME.py", "")
        words = re.findall(r"`([^`]+)`", place)
        paths = [word for word in words if "/" in word or word.endswith(".py")]
        files = [
            found
            for path in paths
            for found in (TOP / path, TOP / "oberonc" / path)
            if found.exists()
        ]
        assert len(files) >= len(paths), row
        text = "".join(file.read_text() for file in files if file.is_file())
        for name in set(words) - set(paths):
            assert name in text, (row, name)


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [*DOCS.glob("*.md"), *TOP.glob("*.md")]:
        prose = re.sub(r"`[^`\n]*`", "", page.read_text())
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", prose):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme, run = (TOP / "README.md").read_text(), (TOP / ".ci" / "run").read_text()
    for word in ("oberonc demo", "pytest"):
        assert re.search(rf"(?m)^python3 -m venv .*{word}", readme)
        assert f"readme_command '{word}'" in run


def test_what_does_an_old_services_work_is_shipped() -> None:
    page = (DOCS / "brokers.md").read_text()
    table = page.partition("| service then |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines()[2:]]
    assert len(rows) >= 25
    shipped = {path.stem for path in (TOP / "brokers").glob("*.py")}
    for service, _, now in rows:
        named = set(re.findall(r"`([a-z]+)`", now))
        assert named <= shipped, service


def test_the_pictures_show_what_the_brokers_hand_over() -> None:
    written = {path.name: path.read_text() for path in write_pictures.FOLDER.iterdir()}
    assert written == write_pictures.pictures(), (
        "run python -m tests.project.write_pictures"
    )
    assert all(ET.fromstring(text).tag.endswith("}svg") for text in written.values())


@pytest.mark.parametrize("page", ["daemon", "hooks", "configuration", "trackers"])
def test_a_page_for_operators_names_no_test(page: str) -> None:
    assert not re.findall(
        r"\w*test_\w+(?:\.py|::)\S*", (DOCS / f"{page}.md").read_text()
    )
