"""What a configuration said when it was parsed before: used where it is the same text,
and believed where nobody else can have written it.
"""

import marshal
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oberonc import parsed
from oberonc.parsed import toml

TEXT = 'a = 1\n[services.x]\nbroker = "é"\nlist = [1.5, true, "b"]\n'
SAYS = {"a": 1, "services": {"x": {"broker": "é", "list": [1.5, True, "b"]}}}
MAGIC = b"oberonc parsed 1\n"


@pytest.fixture
def file(home: Path) -> Path:
    """Where it is kept."""
    return home / ".cache" / "oberonc" / "parsed"


def plant(file: Path, values: object = "planted") -> None:
    """Write a file that says something else of the text."""
    toml(TEXT, keep=True)
    file.write_bytes(MAGIC + marshal.dumps({TEXT: {"a": values}}, 4))


def test_what_was_parsed_is_looked_up_the_next_time(file: Path) -> None:
    assert toml(TEXT, keep=True) == SAYS
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (
        0o600,
        0o700,
    )
    assert os.listdir(file.parent) == ["parsed"]
    plant(file)
    assert toml(TEXT, keep=True) == {"a": "planted"}
    assert toml(TEXT + "\n", keep=True) == SAYS, "another text is parsed"
    assert toml(TEXT, keep=False) == SAYS, "who does not keep it does not look"


def test_it_is_looked_up_without_the_parser(file: Path) -> None:
    toml(TEXT, keep=True)
    script = """
import sys
from oberonc import parsed
parsed.toml(sys.argv[1], keep=True)
print("tomllib" in sys.modules)
"""
    for text, loads in ((TEXT, "False"), (TEXT + "#", "True"), (TEXT + "#", "False")):
        done = subprocess.run(
            [sys.executable, "-c", script, text],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == loads


def test_the_latest_texts_are_kept(file: Path) -> None:
    for number in range(20):
        toml(f"n = {number}", keep=True)
    known = marshal.loads(file.read_bytes().removeprefix(MAGIC))
    assert list(known) == [f"n = {number}" for number in range(12, 20)]


@pytest.mark.parametrize(
    "how",
    [
        lambda file: file.chmod(0o620),
        lambda file: file.chmod(0o602),
        lambda file: file.parent.chmod(0o770),
        lambda file: file.parent.chmod(0o707),
        lambda file: os.link(file, file.with_name("other")),
        lambda file: file.rename(file.with_name("o")) and file.symlink_to("o"),
        lambda file: file.write_bytes(file.read_bytes()[:-3]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"1\n", b"0\n", 1)),
        lambda file: file.write_bytes(MAGIC + marshal.dumps([TEXT], 4)),
        lambda file: file.write_bytes(MAGIC + bytes(100)),
        lambda file: file.write_bytes(b""),
        lambda file: (file.unlink(), os.mkfifo(file)),  # type: ignore[func-returns-value]
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=[
        "its group may write it",
        "everybody may write it",
        "others may write its folder",
        "everybody may write its folder",
        "it has another name",
        "it is a link",
        "it was cut",
        "another form",
        "no table",
        "zeros",
        "empty",
        "a pipe",
        "a folder",
    ],
)
def test_what_somebody_else_may_have_written_or_is_broken_is_not_believed(
    file: Path, how: Callable[[Path], object]
) -> None:
    plant(file)
    how(file)
    assert toml(TEXT, keep=True) == SAYS


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_what_belongs_to_somebody_else_is_not_believed_and_nothing_is_put_there(
    file: Path, home: Path
) -> None:
    plant(file)
    os.chown(file, 54321, -1)
    assert toml(TEXT, keep=True) == SAYS
    file.unlink()
    file.parent.rmdir()
    file.parent.parent.rmdir()
    os.chown(home, 54321, -1)
    assert toml(TEXT, keep=True) == SAYS
    assert not file.parent.parent.exists()


def test_a_home_that_is_not_there_is_not_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    assert toml(TEXT, keep=True) == SAYS
    assert not (tmp_path / "nobody").exists()


def test_what_is_wrong_and_what_is_large_is_not_kept(file: Path) -> None:
    with pytest.raises(ValueError):
        toml("a = ", keep=True)
    assert "d" in toml("d = 2026-01-01", keep=True)
    large = f'a = "{"x" * parsed._LONGEST}"'
    assert toml(large, keep=True)
    assert not file.exists()
