"""The page in a real browser: wide and narrow, light and dark, with scripts and without."""

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.brokers_for_tests import source
from tests.project import write_screens
from tests.support import chromium
from tests.support.chromium import NARROW, WIDE, Chromium, Tab
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.web import Face, Faces

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("browser")]

TEXT = (
    source("keeper")
    .replace("import BaseBroker", "import BaseBroker, Reject")
    .replace(
        "        row = {",
        '        if "fail" in payload["commits"][0]["message"]:\n'
        '            raise Reject("the tracker says no")\n'
        "        row = {",
        1,
    )
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium.running() as made:
        yield made


@pytest.fixture
def site(site: Site) -> Site:
    """A site whose broker fails where it is told to."""
    site.write("keeper", TEXT)
    site.configure(site.services("keeper"))
    return site


@pytest.fixture
def tab(browser: Chromium, face: Face) -> Iterator[Tab]:
    made = Tab(browser, face.port)
    try:
        yield made
    finally:
        made.close()


def one_of_each(site: Site) -> list[str]:
    """Something on every page; the addresses of all of them."""
    name = site.submit()
    site.submit(push(message="fail\n"))
    eventually(lambda: site.stats()["deliveries"]["dead"], 60, "dead")
    site.call("lane.pause", service="keeper", repository="web/other", reason="a test")
    pages = ["/", "/pushes", f"/pushes/{name}", "/letters", "/services"]
    return [*pages, "/actions", "/try", "/pushes?q=nothing", "/nowhere"]


def test_every_page_is_fit_for_everybody_and_as_wide_as_its_window(
    site: Site, tab: Tab
) -> None:
    tab.look()
    tab.open("/login")
    assert tab.unfit() == []
    tab.log_in()
    for path in one_of_each(site):
        tab.open(path)
        for dark, size in ((False, WIDE), (True, NARROW)):
            tab.look(dark=dark, size=size)
            assert tab.unfit() == [], (path, dark)
            too_wide = "document.documentElement.scrollWidth > innerWidth"
            assert not tab.is_true(too_wide), (path, size)
        # Its colours are those of the dark.
        back = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == "rgb(18, 24, 27)"
    assert [fault for fault in tab.faults() if "404" not in fault] == []


def choose(tab: Tab, count: int) -> None:
    """Tick so many of the deliveries that are listed."""
    boxes = "document.getElementsByName('delivery')"
    tab.evaluate(f"[...{boxes}].slice(0, {count}).forEach(box => box.click())")


def on_services(site: Site, tab: Tab) -> None:
    """Pause, resume and test, all of it and one repository."""

    def paused() -> bool:
        return bool(site.stats()["services"]["keeper"]["paused"])

    tab.open("/services")
    tab.fill("reason", "it rests")
    tab.press("Pause")
    tab.until("keeper is paused.")
    assert paused()
    tab.press("Resume")
    tab.until("keeper is resumed.")
    assert not paused()
    tab.fill("repository", "web/shop")
    tab.press("Pause")
    tab.until("keeper is paused for web/shop.")
    tab.fill("repository", "web/shop")
    tab.press("Resume")
    tab.until("keeper is resumed for web/shop.")
    tab.press("Test")
    tab.until("It could do its work.")
    fit(tab)


def on_generations(site: Site, tab: Tab) -> None:
    """Check a reload, have one, one that is refused, and what is good of that."""

    def press(button: str, said: str) -> None:
        # While the one before drains there is no other.
        eventually(lambda: site.stats()["draining"] is None, 60, "it drains")
        tab.open("/services")
        tab.press(button)
        tab.until(said)
        fit(tab)

    number = site.stats()["generation"]
    press("Check what a reload would do", "A reload would be taken.")
    site.write("keeper", TEXT + "# changed\n")
    press("Reload", f"Generation {number + 1} serves.")
    site.write("keeper", "no Python")
    press("Check what a reload would do", "A reload would be refused.")
    press("Reload", f"Nothing changed, generation {number + 1} serves.")
    # What was refused had a number, too.
    press("Reload what is good of it", f"Generation {number + 3} serves.")
    site.write("keeper", TEXT)
    press("Reload", f"Generation {number + 4} serves.")


def on_letters(site: Site, tab: Tab) -> None:
    """Some and all of them, filtered, again and never."""
    for _ in range(2):
        site.submit(push(message="fail\n"))
    site.settled(dead=3)
    tab.open("/letters")
    tab.press("Try again")
    tab.until("Nothing was chosen.")
    choose(tab, 2)
    tab.press("Try again")
    tab.until("2 deliveries tried again.")
    site.settled(dead=3)
    tab.open("/letters")
    tab.fill("service", "nobody")
    tab.press("Show")
    tab.until("There is none.")
    tab.fill("service", "keeper")
    tab.press("Show")
    choose(tab, 1)
    tab.fill("reason", "too old")
    tab.press("Drop")
    tab.until("1 delivery dropped.")
    tab.evaluate("document.getElementsByName('all')[0].click()")
    tab.press("Drop")
    tab.until("2 deliveries dropped.")
    tab.until("There is none.")
    tab.fill("state", "cancelled")
    tab.press("Show")
    assert tab.evaluate("document.querySelectorAll('tbody tr').length") == 3


def on_pushes(site: Site, tab: Tab, done: str) -> None:
    """Find them, have one done again, drop one."""
    name = site.submit(push(message="fail\n"))
    site.settled(dead=1)
    tab.open(f"/pushes/{name}")
    tab.press("Drop")
    tab.until("1 delivery dropped.")
    tab.open(done)
    tab.press("Try again")
    tab.until("1 delivery tried again.")
    tab.open("/pushes")
    tab.fill("q", "web/shop")
    tab.press("Search")
    assert tab.evaluate("document.querySelectorAll('tbody tr').length") == 5
    tab.fill("q", name[:8])
    tab.press("Search")
    assert tab.evaluate("document.querySelectorAll('tbody tr').length") == 1


def fit(tab: Tab) -> None:
    """What an action led to is for everybody, too."""
    if tab.has_scripts:  # which the checker is
        assert tab.unfit() == []
    assert not tab.is_true("document.documentElement.scrollWidth > innerWidth")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
@pytest.mark.parametrize("look", [(False, WIDE), (True, NARROW)], ids=["wide", "dark"])
def test_everything_is_done_with_scripts_and_without(
    site: Site, tab: Tab, scripts: bool, look: tuple[bool, tuple[int, int]]
) -> None:
    if not scripts:
        tab.without_scripts()
    tab.look(dark=look[0], size=look[1])
    tab.open("/login")
    tab.fill("token", "a wrong one")
    tab.press("Log in")
    tab.until("This is no token")
    fit(tab)
    assert ["401" in fault for fault in tab.faults()] == [True]
    tab.log_in()
    done = one_of_each(site)[2]
    on_services(site, tab)
    on_generations(site, tab)
    on_letters(site, tab)
    on_pushes(site, tab, done)
    tab.open("/try")
    tab.fill("message", "great, fixes #42")
    tab.fill("words", "github")
    tab.press("Read it")
    assert tab.evaluate("document.querySelector('mark').className") == "close"
    fit(tab)
    tab.open("/actions")
    for reason in ("it rests", "too old"):
        tab.until(reason)
    tab.press("Log out")
    tab.until("You are logged out.")
    assert tab.faults() == []


def test_an_open_page_follows_what_happens_and_says_when_the_daemon_is_away(
    site: Site, tab: Tab
) -> None:
    tab.log_in()
    tab.until("nothing needs a person")
    site.call("lane.pause", service="keeper")
    tab.until("keeper is paused")
    site.daemons[0].stop()
    tab.until("This page tries again by itself.")
    site.start()
    away = "document.getElementById('gone').hidden"
    eventually(lambda: tab.is_true(away), 60, "it did not come back")
    site.call("lane.resume", service="keeper")
    tab.until("nothing needs a person")


@contextmanager
def refusing(port: int) -> Iterator[list[str]]:
    """A proxy that nobody is behind; what it was asked for."""
    asked: list[str] = []

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def test_many_open_pages_leave_room_for_one_more(
    browser: Chromium, face: Face, tab: Tab
) -> None:
    # A browser opens six connections to a server; a stream takes one.
    tab.log_in()
    for _ in range(8):
        other = Tab(browser, face.port, tab)
        other.open("/")
        other.until("nothing needs a person")
    assert tab.is_true("document.hidden")


def test_an_open_page_says_when_the_face_is_away_and_comes_back_with_it(
    site: Site, faces: Faces, tab: Tab
) -> None:
    tab.log_in()
    tab.until("nothing needs a person")
    [face] = faces.all
    face.stop()
    tab.until("oberonc web does not answer")
    text = site.file.read_text().replace("127.0.0.1:0", f"127.0.0.1:{face.port}")
    site.file.write_text(text)
    # As a proxy does while nobody is behind it: a browser asks no second time then.
    with refusing(face.port) as asked:
        eventually(lambda: "/live" in asked, 60, "no stream was asked for")
    faces.start()
    away = "document.getElementById('away').hidden"
    eventually(lambda: tab.is_true(away), 60, "it did not come back")
    site.call("lane.pause", service="keeper")
    tab.until("keeper is paused")


def test_what_was_to_be_done_is_not_repeated_without_being_asked(
    site: Site, tab: Tab
) -> None:
    tab.log_in()
    for path, button in (("/services", "Pause"), ("/services", "Reload")):
        tab.open(path)
        site.daemons[-1].stop()
        tab.press(button)
        tab.until("The daemon does not answer.")
        tab.until("may not have been done")
        assert not tab.is_true("document.body.innerText.includes('by itself')")
        site.start()
        tab.evaluate("window.isOld = true; document.querySelector('main a').click()")
        tab.until("Services")
    assert not site.stats()["services"]["keeper"]["paused"]


def test_a_page_that_came_without_a_daemon_comes_back_with_it(
    site: Site, tab: Tab
) -> None:
    tab.log_in()
    site.daemons[0].stop()
    tab.open("/letters")
    tab.until("The daemon does not answer.")
    site.start()
    tab.until("There is none.")


def test_what_is_being_filled_in_stays_when_the_page_is_read_again(
    site: Site, tab: Tab
) -> None:
    tab.log_in()
    tab.open("/services")
    tab.evaluate("document.getElementsByName('reason')[0].focus()")
    tab.fill("reason", "half a rea")
    site.submit()
    site.settled(done=1)
    value = "document.getElementsByName('reason')[0].value"
    # Another part of the page is renewed meanwhile.
    site.reload()
    eventually(
        lambda: tab.is_true(
            "document.querySelectorAll('#generations tbody tr').length > 1"
        ),
        60,
        "no generation",
    )
    assert tab.evaluate(value) == "half a rea"


def test_the_keyboard_reaches_all_of_it(tab: Tab) -> None:
    tab.open("/login")
    for letter in "admin-token":
        tab.key(letter, ord(letter.upper()), letter)
    tab.key("Enter", 13, "\r")
    tab.until("nothing needs a person")
    tab.key("Tab", 9)
    where = "document.activeElement.textContent.trim()"
    assert tab.evaluate(where) == "To the content"
    tab.key("Enter", 13, "\r")
    assert tab.evaluate("document.activeElement.id") == "main"
    seen = set()
    for _ in range(12):
        tab.key("Tab", 9)
        seen.add(tab.evaluate(where))
    assert {"keeper", "For programs"} <= seen


def test_the_pictures_in_the_documentation_can_be_made_anew() -> None:
    made = write_screens.screens()
    assert set(made) == {file.name for file in write_screens.FOLDER.iterdir()}
    for name, (_, _, size) in write_screens.SCREENS.items():
        kept = (write_screens.FOLDER / name).read_bytes()
        for raw in (made[name], kept):
            assert raw.startswith(b"\x89PNG")
            assert struct.unpack(">II", raw[16:24]) == size
