"""A forge: bare repositories served by git's own `http-backend` over HTTP, and the
webhooks that it would send.
"""

import base64
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.repo import Repo
from tests.support.webhooks import Example, signed_like_github


class _Handler(BaseHTTPRequestHandler):
    """One request to git."""

    forge: "Forge"

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        """Refs."""
        self._answer()

    def do_POST(self) -> None:
        """What git asks for."""
        self._answer()

    def _answer(self) -> None:
        forge = self.forge
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = self.headers.get("Authorization", "")
        forge.asked.append((self.path, said))
        forge.slow.wait()
        if forge.elsewhere:
            self._say(302, ("Location", forge.elsewhere + self.path))
        elif forge.down:
            self._say(503)
        elif forge.password and said != _basic(forge.user, forge.password):
            self._say(401, ("WWW-Authenticate", 'Basic realm="forge"'))
        else:
            self._git(body)

    def _say(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", "0")):
            self.send_header(name, value)
        self.end_headers()

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        env = {
            "PATH": "/usr/bin:/bin",
            "GIT_PROJECT_ROOT": str(self.forge.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=env,
            capture_output=True,
            check=True,
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        rows = [line.partition(": ") for line in head.decode().split("\r\n")]
        headers = {name: value for name, _, value in rows}
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Forge:
    """Repositories below *folder*; `password`, where there is one, is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user, self.password = "x-access-token", ""
        self.down, self.elsewhere = False, ""
        #: Clear it, and nothing is answered until it is set.
        self.slow = threading.Event()
        self.slow.set()
        #: (path, authorization) of each request.
        self.asked: list[tuple[str, str]] = []
        handler = type("Handler", (_Handler,), {"forge": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self._thread.start()
        self._count = 0

    @property
    def url(self) -> str:
        """What a webhook's `url` is."""
        return f"{self.address}/{{repository}}.git"

    def make(self, name: str) -> Repo:
        """The repository *name*, and the clone that is pushed from."""
        bare = Repo.init(self.folder / f"{name}.git", bare=True)
        return bare.clone(self.folder / "clones" / name)

    def told(
        self, clone: Repo, old: str, new: str, ref: str = "refs/heads/main", **more: Any
    ) -> Example:
        """GitHub's webhook of a push of *clone*, without any commit in it."""
        name = str(clone.path.relative_to(self.folder / "clones"))
        self._count += 1
        value = {
            "ref": ref,
            "before": old or "0" * 40,
            "after": new or "0" * 40,
            "commits": [],
            "pusher": {"name": "ann"},
            "repository": {
                "full_name": name,
                "default_branch": "main",
                "html_url": f"https://github.com/{name}",
            },
        }
        return signed_like_github(value | more, f"delivery {self._count}")

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
