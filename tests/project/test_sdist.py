"""The sdist: everything that is in the tree, and the same bytes each time."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.project import write_commands

TOP = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("sdist")  # which is built once
#: 2026-01-02 03:04:05 UTC.
WHEN = 1767323045
_BUILD = (
    "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
)
#: What builds and tools leave in a tree.
_LEFT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "__pycache__", "*.egg-info", ".*_cache", ".hypo*"
)


def _built(folder: Path, touched: int, umask: int) -> Path:
    """An sdist of a copy of this tree whose files are of the time *touched*."""
    tree = folder / "tree"
    shutil.copytree(TOP, tree, ignore=_LEFT, symlinks=True)
    for path in tree.rglob("*"):
        os.utime(path, (touched, touched), follow_symlinks=False)
    return _packed(tree, "sdist", folder, umask)


def _packed(tree: Path, kind: str, folder: Path, umask: int) -> Path:
    """The sdist or wheel of *tree*, built into *folder*."""
    done = subprocess.run(
        [sys.executable, "-c", _BUILD.format(kind), str(folder)],
        cwd=tree,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(WHEN)},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [made] = folder.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(tmp_path_factory.mktemp("first"), 1_000_000_000, 0o022)


def _names(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as tar:
        return {
            one.name.partition("/")[2] for one in tar.getmembers() if not one.isdir()
        }


def test_it_holds_all_that_is_in_the_tree(sdist: Path) -> None:
    tracked = subprocess.run(
        ["git", "-C", str(TOP), "ls-files"], capture_output=True, text=True, check=False
    )
    names = _names(sdist)
    assert {"CHANGELOG.md", "tests/conftest.py", "docs/design.md", ".ci/run"} <= names
    assert set(tracked.stdout.splitlines()) - names == set()
    assert not [name for name in names if "__pycache__" in name]


def test_built_twice_it_is_the_same_bytes(sdist: Path, tmp_path: Path) -> None:
    again = _built(tmp_path, 1_500_000_000, 0o077)
    assert again.read_bytes() == sdist.read_bytes()
    with tarfile.open(again) as tar:
        members = tar.getmembers()
    assert {(one.mtime, one.uid, one.uname) for one in members} == {(WHEN, 0, "")}
    hook = next(one for one in members if one.name.endswith(".ci/run"))
    assert hook.mode == 0o755


def test_whoever_builds_from_the_sdist_gets_the_same_bytes(
    sdist: Path, tmp_path: Path
) -> None:
    for umask in (0o022, 0o077):
        folder = tmp_path / f"{umask:o}"
        folder.mkdir(mode=0o700)
        unpack = ["tar", "-xf", str(sdist), "-C", str(folder), "--no-same-permissions"]
        subprocess.run(unpack, umask=umask, check=True)
        [tree] = folder.iterdir()
        for kind in ("sdist", "wheel"):
            _packed(tree, kind, folder, umask)
    wheels = {made.read_bytes() for made in tmp_path.glob("*/*.whl")}
    assert len(wheels) == 1
    sdists = {made.read_bytes() for made in tmp_path.glob("*/*.tar.gz")}
    assert sdists == {sdist.read_bytes()}


@pytest.mark.parametrize("shell", list(write_commands.COMPLETIONS))
def test_what_is_shipped_for_a_shell_is_what_it_can_load(shell: str) -> None:
    file = write_commands.COMPLETIONS[shell]
    if not shutil.which(shell):
        pytest.skip(f"no {shell} is here")
    subprocess.run([shell, "-n", str(file)], check=True)


def test_the_completion_for_bash_completes(command_on_path: None) -> None:
    file = write_commands.COMPLETIONS["bash"]
    script = f'. {file}; COMP_WORDS=(oberonc que); COMP_CWORD=1; _oberonc_completion oberonc; echo "${{COMPREPLY[@]}}"'
    said = subprocess.check_output(["bash", "-c", script], text=True)
    assert said == "queue\n"
