"""What is installed: only `oberonc` is importable, and brokers and hooks travel inside
it.
"""

import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.project import write_commands, write_manuals
from tests.system.wheels import TOPMOST

TOP = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.xdist_group("wheel"),  # which is built once
    pytest.mark.timeout(600),  # pip asks the package index
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel in it; what it depends on
    is borrowed from this one.
    """
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: a build leaves things in the tree, and takes what an earlier one left
    # there.
    for name in ("oberonc", "brokers", "hooks", "docs", "contrib"):
        shutil.copytree(
            TOP / name,
            folder / "tree" / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for path in [*TOP.glob("*.md"), *map(TOP.joinpath, TOPMOST)]:
        shutil.copy(path, folder / "tree")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(folder / "tree"),
    ]
    made = subprocess.run(build, capture_output=True, text=True, check=False)
    if made.returncode != 0 and "Could not find" in made.stderr:
        pytest.skip("the package index is not reachable")
    assert made.returncode == 0, made.stderr
    venv.create(folder / "env")
    python = folder / "env" / "bin" / "python"
    wheel = next(folder.glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", str(wheel)], check=True)
    here = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    site = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        text=True,
    )
    for name in (
        "click",
        "git",
        "gitdb",
        "smmap",
        "requests",
        "urllib3",
        "idna",
        "certifi",
        "charset_normalizer",
    ):
        (Path(site.strip()) / name).symlink_to(here / name)
    return python


def _python(python: Path, *args: str) -> str:
    done = subprocess.run(
        [python, "-I", *args],
        capture_output=True,
        text=True,
        cwd=python.parent,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_only_oberonc_is_importable(installed: Path) -> None:
    look = "import importlib.util as f; print([n for n in ('brokers', 'hooks', 'tests', 'oberonc') if f.find_spec(n)])"
    assert _python(installed, "-c", look) == "['oberonc']\n"


def test_the_shipped_brokers_and_hooks_are_inside(installed: Path) -> None:
    listed = json.loads(_python(installed, "-m", "oberonc", "brokers", "--json"))
    assert listed["brokers"].keys() == {
        path.stem for path in (TOP / "brokers").glob("[!_]*.py")
    }
    script = (
        "from oberonc.admin.install import script; print(script.script('post-receive'))"
    )
    assert "oberonc hook 1." in _python(installed, "-c", script)


def test_the_queue_finds_its_schema_and_the_units_are_inside(installed: Path) -> None:
    look = (
        "import oberonc.queue.sqlite, oberonc.daemon, pathlib;"
        "print(sorted({p.suffix for m in (oberonc.queue.sqlite, oberonc.daemon)"
        " for p in pathlib.Path(m.__path__[0]).iterdir() if p.suffix in ('.sql', '.service', '.socket')}))"
    )
    assert _python(installed, "-c", look).strip() == "['.service', '.socket', '.sql']"


def test_the_version_is_told(installed: Path) -> None:
    assert _python(installed, "-m", "oberonc", "--version").startswith("oberonc 0.")


def test_the_manual_pages_travel_with_it(installed: Path) -> None:
    pages = {
        path.name
        for path in (installed.parents[1] / "share" / "man" / "man1").iterdir()
    }
    assert pages == set(write_manuals.pages())


def test_completions_and_licence_travel_with_it(installed: Path) -> None:
    top = installed.parents[1]
    share = top / "share"
    there = {
        "bash": share / "bash-completion" / "completions" / "oberonc",
        "zsh": share / "zsh" / "site-functions" / "_oberonc",
        "fish": share / "fish" / "vendor_completions.d" / "oberonc.fish",
    }
    for shell, file in there.items():
        assert file.read_text() == write_commands.COMPLETIONS[shell].read_text()
    [licence] = top.glob("lib/python*/site-packages/oberonc-*.dist-info/licenses/*")
    assert licence.read_text() == (TOP / "LICENSE").read_text()


def test_the_page_of_an_index_has_no_link_that_leads_nowhere(installed: Path) -> None:
    [made] = installed.parents[1].glob("lib/python*/site-packages/oberonc-*.dist-info")
    page = made.joinpath("METADATA").read_text()
    assert "Description-Content-Type: text/markdown\n" in page
    assert "*oberonc demo: a commit that says" in page
    assert "read docs/hooks.md." in page
    links = [target for _, target in re.findall(r"\[([^]]*)\]\(([^)]*)\)", page)]
    assert [target for target in links if not target.startswith("https://")] == []


def test_the_pages_travel_with_it_and_their_links_lead_somewhere(
    installed: Path,
) -> None:
    there = installed.parents[1] / "share" / "doc" / "oberonc"
    pages = sorted(there.rglob("*.md"))
    assert {"README.md", "CHANGELOG.md", "trackers.md"} <= {one.name for one in pages}
    for page in pages:
        prose = re.sub(r"`[^`\n]*`", "", page.read_text())
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", prose):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
