"""Fixtures of the tests about the project itself."""

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def command_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`oberonc` on PATH, whatever environment the tests run in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "oberonc"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -m oberonc "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
