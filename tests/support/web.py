"""The HTTP face as a process of its own, and requests to it."""

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from tests.support.children import end
from tests.support.daemon_site import Site
from tests.support.eventually import eventually


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class Face:
    """`oberonc web` with the configuration of *site*, on a free port."""

    def __init__(self, site: Site, number: int) -> None:
        self.log_file = site.folder / f"web-{number}"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "oberonc", "--config", str(site.file), "web"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(os.environ),
                cwd="/",
            )
        self.port = int(eventually(self._ready, 60, f"not ready: {self.log}"))

    def _ready(self) -> str:
        assert self.process.poll() is None, self.log
        found = re.search(r"ready on (?:127\.0\.0\.1:(\d+)|/)", self.log)
        return (found[1] or "0") if found else ""

    @property
    def log(self) -> str:
        """What it logged."""
        return self.log_file.read_text(errors="replace")

    def send(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        method: str = "POST",
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())
        finally:
            connection.close()

    def stop(self) -> None:
        """SIGTERM; it ends well."""
        self.process.terminate()
        assert self.process.wait(60) == 0, self.log
        assert "Traceback" not in self.log, self.log


def tokens(site: Site, roles: Iterable[str]) -> None:
    """Add a token for each role, `NAME-token`, to the configuration of *site*."""
    lines = (
        [] if "[web]" in site.file.read_text() else ["[web]", 'listen = "127.0.0.1:0"']
    )
    for role in roles:
        lines.append(f"[web.tokens.{role}]")
        lines.append(f"token = {_kept(site, f'{role}-token')!r}")
        lines.append(f"role = {role!r}")
    site.file.write_text(site.file.read_text() + "\n".join(lines) + "\n")


def webhooks(site: Site, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Add `[webhooks.NAME]` to the configuration of *site*, with secrets in files."""
    lines = ["[web]", 'listen = "127.0.0.1:0"']
    for name, table in tables.items():
        lines.append(f"[webhooks.{name}]")
        for key, value in table.items():
            if key == "secret":
                value = [_kept(site, secret) for secret in value]
            lines.append(f"{key} = {value!r}")
    site.file.write_text(site.file.read_text() + "\n".join(lines) + "\n")


def _kept(site: Site, secret: str) -> str:
    folder = site.folder / "secrets"
    folder.mkdir(exist_ok=True)
    file = folder / f"{len(list(folder.iterdir()))}"
    file.touch(0o600)
    file.write_text(secret)
    return f"file:{file}"


class Faces:
    """Starts faces, and ends what is left of them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.all: list[Face] = []

    def start(self) -> Face:
        """One more."""
        made = Face(self._site, len(self.all))
        self.all.append(made)
        return made


@pytest.fixture
def faces(site: Site) -> Iterator[Faces]:
    """Faces of the site; afterwards each has ended well."""
    made = Faces(site)
    try:
        yield made
        for face in made.all:
            if face.process.poll() is None:
                face.stop()
    finally:
        for face in made.all:
            end(face.process)
