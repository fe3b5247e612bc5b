"""Open pages are told that something changed."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oberonc.web.server import GRACE
from tests.support.browser import Browser
from tests.support.daemon_site import Site
from tests.support.web import Face


@pytest.fixture
def person(face: Face) -> Browser:
    made = Browser(face.port)
    made.log_in("read-token")
    return made


class Stream:
    """What a page that is open hears."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.id = ""

    def next(self) -> str:
        """The next event; empty where the stream has ended."""
        event = ""
        while line := self._answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                self.id = value
            elif not line.strip() and event:
                return event
        return ""

    def until(self, wanted: str, within: float = 60) -> None:
        """Skip events until *wanted* comes."""
        end = time.monotonic() + within
        while self.next() != wanted:
            assert time.monotonic() < end, f"no {wanted!r} came"


@contextmanager
def listening(person: Browser, told: str = "") -> Iterator[Stream]:
    connection = http.client.HTTPConnection("127.0.0.1", person.port, timeout=60)
    cookies = "; ".join(f"{k}={v}" for k, v in person.cookies.items())
    headers = {"Cookie": cookies} | ({"Last-Event-ID": told} if told else {})
    try:
        connection.request("GET", "/live", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "text/event-stream"
        yield Stream(answer)
    finally:
        connection.close()


def test_what_happens_is_told_and_where_the_daemon_is_too(
    site: Site, person: Browser
) -> None:
    with listening(person) as stream:
        assert stream.next() == "changed"
        before = stream.id
        site.call("lane.pause", service="keeper")
        assert stream.next() == "changed"
        assert stream.id != before
        site.daemons[0].stop()
        stream.until("gone")
        site.start()
        stream.until("changed")


def test_nobody_is_told_again_what_they_know(site: Site, person: Browser) -> None:
    with listening(person) as stream:
        assert stream.next() == "changed"
        told = stream.id
        with listening(person, told) as again:
            site.call("lane.pause", service="keeper")
            assert again.next() == "changed"
            assert again.id != told


def test_many_pages_hear_of_one_change(site: Site, person: Browser) -> None:
    with listening(person) as one, listening(person) as two, listening(person) as three:
        streams = (one, two, three)
        for stream in streams:
            assert stream.next() == "changed"
        site.call("lane.pause", service="keeper")
        for stream in streams:
            assert stream.next() == "changed"


def test_only_who_may_read_is_told(face: Face) -> None:
    browser = Browser(face.port)
    assert browser.send("GET", "/live").status == 403
    browser.cookies["oberonc"] = "a:b:c"
    assert browser.send("GET", "/live").status == 403
    browser.log_in("read-token")
    assert browser.send("POST", "/live", []).status == 405


def test_a_face_that_stops_does_not_wait_for_open_pages(
    face: Face, person: Browser
) -> None:
    with listening(person) as stream:
        assert stream.next() == "changed"
        began = time.monotonic()
        face.stop()
        assert time.monotonic() - began < GRACE
        stream.until("")
