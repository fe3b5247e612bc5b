"""docs/piston.md is true: its files make a project, its commands print what it says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.piston.servers import Server
from tests.support.ports import free_port

PAGE = Path(__file__).parents[2] / "docs" / "piston.md"
BLOCKS = re.findall(r"^## ([^\n]*)|^```(\w+)\n(.*?)^```", PAGE.read_text(), re.M | re.S)
#: Lines that make the environment the tests run in already.
SETUP = re.compile(r"python3 -m venv|\. \.venv|pip install")
pytestmark = pytest.mark.xdist_group("guide")


def _sections() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Heading, and its blocks as (language, text)."""
    found: dict[str, list[tuple[str, str]]] = {}
    heading = ""
    for title, language, text in BLOCKS:
        heading = title or heading
        found.setdefault(heading, [])
        if language:
            found[heading].append((language, text))
    return iter(found.items())


SECTIONS = {title: blocks for title, blocks in _sections() if blocks}
FIRST = "A first API in five minutes"


def _commands(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it prints."""
    steps = re.split(r"(?m)^\$ ", text)[1:]
    return [(line, said) for line, _, said in (step.partition("\n") for step in steps)]


class Site:
    """The project that the page makes, and the server that its reader starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {
            "PATH": tools,
            "HOME": str(folder),
            "PYTHONWARNINGS": "error",
            "PYTHONUNBUFFERED": "1",
        }
        (folder / ".curlrc").write_text("silent\nshow-error\n")
        #: What the shell was told before, by lines like `tag=...`.
        self.carried = ""

    def run(self, line: str) -> str:
        """What a command prints; the page's port is this one."""
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self.environment[name] = value
            return ""
        line = line.replace("localhost:8000", f"localhost:{self.port}")
        done = subprocess.run(
            ["bash", "-c", self.carried + line],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}"
        if re.match(r"\w+=", line):
            self.carried += line + "\n"
        return done.stdout.replace("\r", "")

    def write(self, text: str, name: str = "") -> None:
        """A file of the page, whose first line names it; else an example, served."""
        named = re.match(r"# (\S+\.py)(, at the end)?\n", text)
        if not named:
            (self.folder / "library" / f"{name}.py").write_text(text)
            urls = f"from library import {name}\nurlpatterns += {name}.urlpatterns\n"
            self._append("mysite/urls.py", urls)
        elif named[2]:
            self._append(named[1], text)
        else:
            (self.folder / named[1]).write_text(text)

    def _append(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The project after the first five minutes and with every example, running."""
    if not shutil.which("curl"):
        pytest.skip("the page's commands need curl")
    site = Site(tmp_path_factory.mktemp("guide"))
    for language, text in SECTIONS[FIRST]:
        if language == "python":
            site.write(text)
            continue
        for line, _ in _commands(text):
            if not SETUP.match(line) and "curl" not in line and "runserver" not in line:
                site.run(line)
    for title, blocks in SECTIONS.items():
        for language, text in blocks:
            if language == "python" and title != FIRST:
                site.write(text, "example_" + re.sub(r"\W+", "_", title.lower()))
    words = [sys.executable, "manage.py", "runserver", "--noreload", str(site.port)]
    with Server(words, site.port, site.folder, site.environment):
        yield site


@pytest.mark.parametrize("title", SECTIONS)
def test_what_the_page_says_is_what_happens(site: Site, title: str) -> None:
    """`...` in what a command prints stands for anything."""
    for language, text in SECTIONS[title]:
        if language != "console":
            continue
        for line, expected in _commands(text):
            if title == FIRST and not line.startswith("curl"):
                continue
            said = site.run(line)
            if expected.strip():
                pattern = re.escape(expected.strip()).replace(r"\.\.\.", ".*")
                assert re.fullmatch(pattern, said.strip(), re.S), f"$ {line}\n{said}"


def test_every_public_name_is_on_the_page() -> None:
    import oberonc.piston

    text = PAGE.read_text()
    missing = [name for name in oberonc.piston.__all__ if f"{name}" not in text]
    assert missing == []


def test_every_setting_is_on_the_page() -> None:
    from oberonc.piston.conf import DEFAULTS

    text = PAGE.read_text()
    assert [name for name in DEFAULTS if f"`{name}`" not in text] == []
