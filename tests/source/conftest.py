"""The repository whose pushes are looked at."""

from pathlib import Path

import pytest

from tests.support.pushes import Server
from tests.support.repo import Repo


@pytest.fixture
def server(home: Path, bare: Repo) -> Server:
    """A bare repository with the hook; what the hook makes of a push is caught."""
    return Server(home, bare)
