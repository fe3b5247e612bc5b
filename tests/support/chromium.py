"""Debian's Chromium without a window, driven by its DevTools protocol over a pipe."""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.children import end
from tests.support.eventually import eventually
from tests.support.trackers.servers import SERVERS, need

PROGRAM: Final = shutil.which("chromium") or ""
#: The checker of accessibility, as `.ci/servers` installs it.
AXE: Final = SERVERS / "axe" / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = (1280, 800), (375, 700)
#: Chromium reads at 3 and writes at 4.
_EXEC: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    " os.execvp(sys.argv[3], sys.argv[3:])"
)
_OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)


class Failed(Exception):
    """Chromium refused a command."""


class Chromium:
    """The program. One thread uses it."""

    def __init__(self, folder: Path) -> None:
        read_here, write_there = _pipe()
        read_there, write_here = _pipe()
        there = (read_there, write_there)
        command = [sys.executable, "-c", _EXEC, *map(str, there), PROGRAM, *_OPTIONS]
        with (folder / "chromium.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, f"--user-data-dir={folder / 'profile'}"],
                pass_fds=there,
                env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for handle in there:
            os.close(handle)
        self._read, self._write = read_here, write_here
        self._number = 0
        self._unread = bytearray()
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """The answer to one command; what happens meanwhile is kept in `events`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method}
        message["params"] = params
        if session:
            message["sessionId"] = session
        raw = json.dumps(message).encode() + b"\0"
        while raw:
            raw = raw[os.write(self._write, raw) :]
        while True:
            said = self._receive()
            if said.get("id") != self._number:
                self.events.append(said)
            elif "error" in said:
                raise Failed(said["error"]["message"])
            else:
                found: dict[str, Any] = said["result"]
                return found

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            part = os.read(self._read, 1 << 20)
            assert part, "Chromium has ended"
            self._unread += part
        one, _, rest = self._unread.partition(b"\0")
        self._unread = rest
        said: dict[str, Any] = json.loads(bytes(one))
        return said

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(Failed, OSError, AssertionError):
            self.call("Browser.close")
        end(self.process)
        with contextlib.suppress(ProcessLookupError):  # those that still write
            os.killpg(self.process.pid, signal.SIGKILL)
        os.close(self._read)
        os.close(self._write)


def _pipe() -> tuple[int, int]:
    """A pipe whose numbers are in nobody's way."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in low)
    for one in low:
        os.close(one)
    return high[0], high[1]


@contextmanager
def running() -> Iterator[Chromium]:
    """Chromium, and afterwards nothing of it; skips where it is missing."""
    need(bool(PROGRAM) and AXE.exists(), "Chromium, or axe-core,")
    folder = Path(tempfile.mkdtemp())
    made = Chromium(folder)
    try:
        yield made
    finally:
        made.close()
        eventually(lambda: _is_removed(folder), 30, f"{folder} stays")


def _is_removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


class Tab:
    """One page: of somebody whom nobody knows yet, or of whoever has *other* open."""

    def __init__(
        self, chromium: Chromium, port: int, other: "Tab | None" = None
    ) -> None:
        self._chromium = chromium
        self._base = f"http://127.0.0.1:{port}"
        self._person: str = (
            other._person
            if other
            else self._call("Target.createBrowserContext")["browserContextId"]
        )
        target = self._call(
            "Target.createTarget", url="about:blank", browserContextId=self._person
        )["targetId"]
        self.has_scripts = True
        self._session = ""
        self._session = self._call(
            "Target.attachToTarget", targetId=target, flatten=True
        )["sessionId"]
        chromium.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        session = getattr(self, "_session", "")
        return self._chromium.call(method, session, **params)

    def look(self, *, dark: bool = False, size: tuple[int, int] = WIDE) -> None:
        """In the light or in the dark, in a window of that many pixels."""
        scheme = "dark" if dark else "light"
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self._call("Emulation.setEmulatedMedia", features=features)
        width, height = size
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def without_scripts(self) -> None:
        """As with JavaScript switched off."""
        self.has_scripts = False
        self._call("Emulation.setScriptExecutionDisabled", value=True)

    def open(self, path: str) -> None:
        """Go to *path*, and wait until all of it is there."""
        self.evaluate("window.isOld = true")
        self._call("Page.navigate", url=self._base + path)
        self._arrive()

    def _arrive(self) -> None:
        there = "!window.isOld && document.readyState === 'complete'"
        eventually(lambda: self.is_true(there), 60, "the page did not come")

    def evaluate(self, expression: str) -> Any:
        """The value of *expression*, awaited. Raises Failed."""
        found = self._call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in found:
            raise Failed(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def is_true(self, expression: str) -> bool:
        """Whether it is; False while a page goes and another one comes."""
        try:
            return bool(self.evaluate(expression))
        except Failed:
            return False

    def until(self, text: str) -> None:
        """Until *text* is to be read."""
        wanted = f"document.body.innerText.includes({json.dumps(text)})"
        try:
            eventually(lambda: self.is_true(wanted), 60, f"no {text!r}")
        except AssertionError as error:
            there = self.evaluate("document.body.innerText")
            raise AssertionError(f"{error}: {there}") from None

    def fill(self, name: str, value: str) -> None:
        """Write *value* into the first field of that name."""
        field = f"document.getElementsByName({json.dumps(name)})[0]"
        self.evaluate(f"{field}.value = {json.dumps(value)}")

    def press(self, button: str) -> None:
        """Press the first button of that name, and wait for what comes."""
        found = f"[...document.querySelectorAll('button')].find(b => b.textContent.trim() === {json.dumps(button)})"
        assert self.is_true(f"Boolean({found})"), f"no button {button!r}"
        self.evaluate(f"window.isOld = true; {found}.click()")
        self._arrive()

    def key(self, name: str, code: int, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=name,
                code=name,
                windowsVirtualKeyCode=code,
                **({"text": text} if kind == "keyDown" and text else {}),
            )

    def log_in(self, token: str = "admin-token") -> None:
        """With the form."""
        self.open("/login")
        self.fill("token", token)
        self.press("Log in")

    def faults(self) -> list[str]:
        """What the browser complained of, of its policies above all."""
        events, self._chromium.events = self._chromium.events, []
        found = []
        for event in events:
            entry = event.get("params", {}).get("entry", {})
            if event.get("method") == "Log.entryAdded" and entry["level"] == "error":
                found.append(f"{entry['text']} {entry.get('url', '')}")
            elif event.get("method") == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
        return found

    def unfit(self) -> list[str]:
        """What axe finds that shuts somebody out: its rule, and where."""
        self.evaluate(AXE.read_text() + "; 0")
        found = self.evaluate(
            "axe.run({resultTypes: ['violations']}).then(r => r.violations.map(v =>"
            " ({id: v.id, impact: v.impact, at: v.nodes.map(n => n.html).slice(0, 3)})))"
        )
        return [
            f"{one['id']} ({one['impact']}): {one['at']}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def picture(self) -> bytes:
        """The window, as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def close(self) -> None:
        """Forget this person."""
        self._chromium.call(
            "Target.disposeBrowserContext", browserContextId=self._person
        )
