"""Writes the pictures of the page: `python -m tests.project.write_screens`.

They are of a real face and daemon in a real browser, after a few pushes, one of which
a service refuses.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support import chromium
from tests.support.chromium import NARROW, WIDE, Tab
from tests.support.daemon_site import Site, push
from tests.support.web import Faces, tokens

FOLDER: Final = Path(__file__).parents[2] / "docs" / "screens"
#: Each picture: what it is of, whether in the dark, and the window.
SCREENS: Final = {
    "now.png": ("/", False, WIDE),
    "now-dark.png": ("/", True, WIDE),
    "now-narrow.png": ("/", False, NARROW),
    "push.png": ("the push", False, WIDE),
    "try.png": ("a message", False, WIDE),
}
_TRIED: Final = """\
Take the cart's total from one place, fixes #42

It does not fix #37 yet, see #38. `fixes #9` is only an example.
"""
_BROKER: Final = '''
import re

from oberonc import BaseBroker, Reject


class Broker(BaseBroker):
    """{doc}"""

    def handle(self, payload):
        said = payload["commits"][0]["message"]
        {work}
'''
_WORK: Final = {
    "tracker": (
        "Closes issues.",
        'found = re.findall("#[0-9]+", said)\n'
        '        return "closed " + ", ".join(found) if found else "nothing: no issue is named"',
    ),
    "chat": (
        "Tells a channel.",
        'if "#38" in said:\n            raise Reject("the channel #shop is archived")\n'
        '        return "told #shop"',
    ),
    "builds": ("Starts a build.", 'return "started build 118"'),
}
_PUSHES: Final = (
    ("web/shop", "ann", "Round the total as the invoice does, fixes #31\n"),
    ("web/shop", "bo", "Say what is missing from an order, fixes #35\n"),
    ("lib/money", "ann", "Add the currencies of 2026\n"),
    ("web/shop", "cem", "Show the cart's total, fixes #38\n"),
    ("web/docs", "bo", "Mention the new address\n"),
)


@contextmanager
def shop() -> Iterator[tuple[Tab, str]]:
    """Somebody who is logged in, and the id of the push that a service refused."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        faces = Faces(site)
        try:
            for name, (doc, work) in _WORK.items():
                site.write(name, _BROKER.format(doc=doc, work=work))
            services: dict[str, dict[str, Any]] = {
                name: {"broker": name} for name in _WORK
            }
            services["builds"]["repositories"] = ["web/*"]
            site.configure(services)
            tokens(site, ["admin"])
            site.start()
            face = faces.start()
            site.call("lane.pause", service="builds", reason="the builders move")
            made = [push(repo, text, user=user) for repo, user, text in _PUSHES]
            for one in made:
                del one["commits"][1:]
                site.submit(one)
            site.settled(ready=4, dead=1)
            with chromium.running() as browser:
                tab = Tab(browser, face.port)
                tab.log_in()
                yield tab, made[3]["id"]
                tab.close()
            for each in faces.all:
                each.stop()
        finally:
            for each in faces.all:
                each.process.kill()
                each.process.wait()
            site.close()


def screens() -> dict[str, bytes]:
    """{name of a file: its PNG}."""
    found = {}
    with shop() as (tab, refused):
        for name, (what, dark, size) in SCREENS.items():
            tab.look(dark=dark, size=size)
            if what == "a message":
                tab.open("/try")
                tab.fill("message", _TRIED)
                tab.press("Read it")
            else:
                tab.open(f"/pushes/{refused}" if what == "the push" else what)
            found[name] = tab.picture()
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, picture in screens().items():
        (FOLDER / file).write_bytes(picture)
