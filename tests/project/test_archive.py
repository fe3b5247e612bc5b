"""An archive that holds oberonc is refused with a line."""

import os
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
_PLAIN = "from oberonc.cli import main; main()"
#: As shiv and pex begin: what is imported lies in a folder by then.
_UNPACKED = f"import sys; sys.path.insert(0, {str(TOP)!r}); {_PLAIN}"


@pytest.mark.parametrize(
    ("begins", "holds"), [(_PLAIN, True), (_UNPACKED, False)], ids=["zipapp", "shiv"]
)
@pytest.mark.parametrize("words", [["--version"], ["hook", "install"], ["brokers"]])
def test_an_archive_is_refused_with_a_line(
    tmp_path: Path, begins: str, holds: bool, words: list[str]
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    if holds:
        shutil.copytree(TOP / "oberonc", tree / "oberonc")
    (tree / "__main__.py").write_text(begins)
    archive = tmp_path / "oberonc.pyz"
    zipapp.create_archive(tree, archive)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [sys.executable, "-S", str(archive), *words],
        env=os.environ | {"PYTHONPATH": libraries},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78, done.stderr
    assert done.stderr.startswith(f"oberonc: {archive} is an archive, ")
    assert "pipx install oberonc" in done.stderr
    assert len(done.stderr.splitlines()) == 1
