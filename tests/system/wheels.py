"""oberonc as it is published: a wheel of this tree, one of a later version, what both
need, and pipx.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.system.machine import PYTHON

TOP = Path(__file__).parents[2]
#: What a build reads at the top of the tree, beside the pages.
TOPMOST = ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE")
#: The version of the upgrade.
LATER = "0.9.0"


def build(folder: Path) -> None:
    """Wheels for the machines' own Python into *folder*; the later version into `later`
    in it.
    """
    (folder / "later").mkdir(parents=True)
    tree = folder / "tree"
    for name in ("oberonc", "brokers", "hooks", "docs", "contrib"):
        shutil.copytree(
            TOP / name, tree / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for path in [*TOP.glob("*.md"), *map(TOP.joinpath, TOPMOST)]:
        shutil.copy(path, tree)
    _wheel(tree, folder)
    package = tree / "oberonc" / "__init__.py"
    package.write_text(
        re.sub(r'(?m)^(__version__) = ".*"', rf'\1 = "{LATER}"', package.read_text())
    )
    _wheel(tree, folder / "later")
    shutil.rmtree(tree)
    version = subprocess.check_output(
        [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True
    )
    (own,) = folder.glob("oberonc-*.whl")
    only = [
        "--only-binary=:all:",
        "--python-version",
        version.strip(),
        "--dest",
        str(folder),
    ]
    # pip, because pipx brings its own up to date.
    _pip("download", *only, f"{own}[web]", "pipx>=1.7,<2", "pip>=24")


def _wheel(tree: Path, folder: Path) -> None:
    shutil.rmtree(tree / "build", ignore_errors=True)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(tree))


def _pip(*args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *args, "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
