"""The repositories that are pushed to."""

from pathlib import Path

import pytest

from tests.support.admin import PATIENT, Admin
from tests.support.command import Command
from tests.support.pushes import Server, Shop
from tests.support.repo import Repo


@pytest.fixture
def server(home: Path, bare: Repo) -> Server:
    """A bare repository with the hook; what the hook makes of a push is caught."""
    return Server(home, bare)


@pytest.fixture
def shop(
    bare: Repo, oberonc: Command, admin: Admin, tmp_path: Path, state: Path
) -> Shop:
    """A bare repository with issues, and no hook yet."""
    admin.configure(PATIENT)
    return Shop(bare, oberonc, tmp_path, state)
