"""The demonstration of the HTTP face: daemon, page and a push, until somebody has seen
enough.
"""

import re
import secrets
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

from oberonc import paths
from oberonc.admin.demo import Demo
from oberonc.admin.demo_daemon import Daemon
from oberonc.errors import Failed

CONFIG = """
[web]
listen = "127.0.0.1:0"

[web.tokens.demo]
token = "file:{folder}/token"
role = "admin"
"""


def job(demo: Demo) -> None:
    """Start both, push, say where the page is, and wait for Ctrl-C."""
    if find_spec("uvicorn") is None or find_spec("django") is None:
        raise Failed(f"`oberonc demo --web` needs the HTTP face: {paths.adding('web')}")
    token = secrets.token_urlsafe(12)
    file = demo.folder / "token"
    file.touch(0o600)
    file.write_text(token)
    daemon = Daemon(demo)
    daemon.prepare(CONFIG)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    demo.repositories()
    demo.run("oberonc issues new 'crash on start' --repository shop")
    demo.run("oberonc issues new 'slow search' --repository shop")
    face: subprocess.Popen[bytes] | None = None
    try:
        demo.step("The daemon, and beside it the HTTP face")
        daemon.start()
        log = demo.folder / "web.log"
        face = daemon.spawn("oberonc web", log)
        daemon.wait(lambda: bool(_address(log)), "the page")
        demo.push("start.txt", "great, all done, fixes #1")
        demo.push("search.txt", "hm, needs more work, references #2")
        daemon.wait(
            lambda: "closed" in demo.quietly("oberonc issues list --repository shop"),
            "the issue to be closed",
        )
        demo.step(f"Look at {_address(log)} - the token is {token}")
        demo.say("Ctrl-C ends it.")
        face.wait()
        raise Failed(f"the HTTP face ended: {log.read_text(errors='replace')[-500:]}")
    except KeyboardInterrupt:
        demo.say("")
    finally:
        # A second Ctrl-C must not leave one of them behind.
        signal.signal(signal.SIGINT, lambda *_: None)
        if face is not None:
            daemon.end(face)
        daemon.stop()


def _end(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _address(log: Path) -> str:
    found = re.search(r"ready on (\S+)", log.read_text(errors="replace"))
    return f"http://{found[1]}/" if found else ""
