"""The page, as somebody sees and uses it who has no script, with the daemon behind it."""

import pytest

from oberonc.web.settings import ROLES
from tests.brokers_for_tests import source
from tests.support.browser import Browser
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.web import Face, Faces

#: A broker that does what the message says.
TEXT = source("keeper").replace("import BaseBroker", "import BaseBroker, Reject")
TEXT = TEXT.replace(
    "        row = {",
    '        said = payload["commits"][0]["message"]\n'
    '        if "fail" in said:\n'
    "            raise Reject(said)\n"
    '        print("printed " + said)\n'
    "        row = {",
    1,
)


@pytest.fixture
def site(site: Site) -> Site:
    """A site with a broker that fails where it is told to, and two services of it."""
    site.write("keeper", TEXT)
    services = site.services("keeper", "shop")
    services["shop"] |= {"broker": "keeper", "repositories": ["other/*"]}
    site.configure(services)
    return site


def dead(site: Site, count: int, message: str = "fail\n") -> None:
    """Give up *count* deliveries."""
    before = site.stats()["deliveries"]["dead"]
    for _ in range(count):
        site.submit(push(message=message))

    eventually(lambda: site.stats()["deliveries"]["dead"] == before + count, 60, "dead")


def test_who_is_not_logged_in_is_led_to_the_form_and_back(face: Face) -> None:
    browser = Browser(face.port)
    for path in ("/", "/pushes", "/letters?state=done", "/services", "/try"):
        answer = browser.send("GET", path)
        assert answer.status == 303, path
        assert answer.headers["location"].startswith("/login?next=%2F")
    form = browser.open("/letters?state=done")
    assert "Log in" in form.text
    page = browser.press(form, "Log in", token="read-token")
    assert "Deliveries" in page.text
    assert "read (read)" in page.text


def test_a_wrong_token_lets_nobody_in_and_many_have_to_wait(face: Face) -> None:
    browser = Browser(face.port)
    for wrong in ("", "wrong", "submit-token", "admin-token2", "ä\0"):
        page = browser.log_in(wrong)
        assert page.status == 401
        assert not browser.cookies
    for _ in range(10):
        page = browser.log_in("wrong")
    assert page.status == 429
    assert 0 < int(page.answer.headers["retry-after"]) <= 61
    assert Browser(face.port).log_in("admin-token").status == 429


def test_logging_out_ends_the_session(person: Browser) -> None:
    page = person.press(person.open("/"), "Log out")
    assert "You are logged out." in page.text
    assert person.send("GET", "/").status == 303


def test_what_the_next_page_says_waits_for_a_page_that_is_read(person: Browser) -> None:
    csrf = dict(person.open("/").forms[0].fields)["csrf"]
    fields = [("csrf", csrf), ("verb", "pause"), ("service", "keeper")]
    assert person.send("POST", "/services", fields).status == 303
    answer = person.send("GET", "/try", headers={"Sec-Fetch-Dest": "empty"})
    assert b"keeper is paused." not in answer.body
    assert "keeper is paused." in person.open("/try").text
    assert "keeper is paused." not in person.open("/try").text


def test_a_token_that_is_replaced_ends_its_sessions(
    site: Site, faces: Faces, person: Browser
) -> None:
    reader = Browser(faces.all[0].port)
    reader.log_in("read-token")
    for file in (site.folder / "secrets").iterdir():
        if file.read_text() == "admin-token":
            file.write_text("another-token")
    again = faces.start().port
    for browser, status in ((person, 303), (reader, 200)):
        moved = Browser(again)
        moved.cookies = browser.cookies
        assert moved.send("GET", "/").status == status


def test_now_shows_each_service_and_what_needs_a_person(
    site: Site, person: Browser
) -> None:
    assert "nothing needs a person" in person.open("/").text
    site.submit()
    site.settled(done=1)
    site.call("lane.pause", service="shop")
    dead(site, 2)
    page = person.open("/")
    assert "keeper: 2 dead letters." in page.text
    assert "shop is paused" in page.text
    charts = [own["aria-label"] for tag, own in page.tags if tag == "svg"]
    assert charts[0].startswith("Last hour: 1 done, 0 tried again, 2 given up")
    assert "/letters?service=keeper" in page.links


def test_a_push_is_found_and_its_journey_told(site: Site, person: Browser) -> None:
    made = push(user="ann")
    name = site.submit(made)
    site.settled(done=1)
    commit = made["commits"][0]["raw_node"]
    for word in (name[:8], commit[:12], commit.upper(), "web/sh", "Ann", "#42", ""):
        page = person.press(person.open("/pushes"), "Search", q=word)
        assert f"/pushes/{name}" in page.links, word
    for word in ("f" * 40, "nobody", "other/", "#4", "key-42"):
        page = person.press(person.open("/pushes"), "Search", q=word)
        assert f"/pushes/{name}" not in page.links
        assert "No push that is kept" in page.text
    page = person.open(f"/pushes/{name}")
    assert "Done, by 1 service." in page.text
    assert "printed fixes #42" in page.text
    assert "It got nothing: repository web/shop is not in" in page.text
    for wrong in ("0" * 32, "x", "0" * 31 + "g"):
        assert person.open(f"/pushes/{wrong}").status == 404


def test_pushes_come_in_pages_and_of_one_repository(
    site: Site, person: Browser
) -> None:
    first = site.submit(push(user="zoe"))
    elsewhere = site.submit(push(repo="lib/money"))
    for _ in range(100):
        site.submit()
    page = person.open("/pushes")
    assert f"/pushes/{first}" not in page.links
    [older] = [link for link in page.links if "before=" in link]
    page = person.open(older)
    assert {f"/pushes/{first}", f"/pushes/{elsewhere}"} <= set(page.links)
    assert "Older ones" not in page.text
    assert "/pushes?repository=lib%2Fmoney" in page.links
    page = person.open("/pushes?repository=lib%2Fmoney")
    assert [link for link in page.links if link.startswith("/pushes/")] == [
        f"/pushes/{elsewhere}"
    ]
    assert f"/pushes/{first}" in person.open("/pushes?q=zoe").links
    assert person.open("/pushes?before=x&repository=a%0ab").status == 400


def test_why_nothing_happened_is_said_in_words(site: Site, person: Browser) -> None:
    site.call("lane.pause", service="keeper")
    waiting = site.submit()
    assert (
        "its service, or its repository there, is paused"
        in person.open(f"/pushes/{waiting}").text
    )
    unwanted = push(message="docs only\n")
    unwanted["push_options"] = ["oberonc.skip"]
    name = site.submit(unwanted)
    page = person.open(f"/pushes/{name}")
    assert "Nothing happened, because no service wanted it." in page.text
    assert "skipped by a push option" in page.text


def test_dead_letters_are_read_filtered_and_tried_again(
    site: Site, person: Browser
) -> None:
    dead(site, 3)
    page = person.open("/letters?service=keeper")
    numbers = [own["value"] for tag, own in page.tags if own.get("name") == "delivery"]
    assert len(numbers) == 3
    assert "fail" in page.text
    assert "There is none" in person.open("/letters?service=shop").text
    assert "There is none" in person.open("/letters?repository=x").text
    page = person.press(page, "Drop", delivery=numbers[:1], reason="by mistake")
    assert "1 delivery dropped." in page.text
    assert (
        site.stats()["deliveries"] | {"dead": 2, "cancelled": 1}
        == (site.stats()["deliveries"])
    )
    site.call("lane.pause", service="keeper")
    page = person.press(page, "Try again", all=1)
    assert "2 deliveries tried again." in page.text
    assert site.stats()["deliveries"]["ready"] == 2
    assert (
        "Nothing was chosen"
        in person.press(person.open("/letters?state=ready"), "Drop").text
    )
    assert person.open("/letters?state=odd&before=x").status == 200


def test_a_delivery_is_dropped_and_tried_again_where_its_push_is_shown(
    site: Site, person: Browser
) -> None:
    site.call("lane.pause", service="keeper")
    name = site.submit()
    page = person.press(person.open(f"/pushes/{name}"), "Drop")
    assert "1 delivery dropped." in page.text
    assert "Cancelled" in page.text
    page = person.press(page, "Try again")
    assert "1 delivery tried again." in page.text


def test_a_service_is_paused_and_resumed(site: Site, person: Browser) -> None:
    page = person.press(person.open("/services"), "Pause")
    assert "keeper is paused." in page.text
    assert site.stats()["services"]["keeper"]["paused"] is True
    page = person.press(page, "Resume")
    assert site.stats()["services"]["keeper"]["paused"] is False
    page = person.press(page, "Pause", repository="web/shop")
    assert "keeper is paused for web/shop." in page.text
    assert site.stats()["paused_lanes"] == 1
    assert "Paused for web/shop." in page.text
    assert person.press(page, "Pause", service="nobody").status == 404


def test_a_service_is_tested(site: Site, person: Browser) -> None:
    page = person.press(person.open("/services"), "Test")
    assert "Test of keeper" in page.text
    assert "loads and takes the settings" in page.text
    assert person.press(person.open("/services"), "Test", service="no").status == 404
    assert site.call("actions")["actions"][0]["action"] == "test"


def test_brokers_are_checked_and_reloaded_with_a_report(
    site: Site, person: Browser
) -> None:
    site.write("keeper", "this is no Python")
    page = person.press(person.open("/services"), "Check what a reload would do")
    assert "A reload would be refused." in page.text
    page = person.press(person.open("/services"), "Reload")
    assert "Nothing changed, generation 1 serves." in page.text
    assert "invalid syntax" in page.text
    site.write("keeper", TEXT)
    page = person.press(person.open("/services"), "Reload")
    assert "Generation" in page.text
    assert "serves." in page.text


def test_a_message_is_tried_and_each_place_explained(person: Browser) -> None:
    page = person.open("/try")
    assert "fixes #42" in page.text
    page = person.press(
        page,
        "Read it",
        message="great, fixes #42\r\nand `fixes #9`, refs #7 \u202e<b>",
        words="github",
    )
    assert page.status == 200
    marked = [own["class"] for tag, own in page.tags if tag == "mark"]
    assert marked == ["close", "missed", "reference"]
    assert "dead" in page.text
    assert "<b>" not in page.html.partition("<mark")[2].partition("</pre>")[0]
    page = person.press(
        page, "Read it", message="fixes PROJ-1", words="jira", keys="PROJ"
    )
    assert "PROJ-1" in page.text
    page = person.press(page, "Read it", message="nothing")
    assert "No reference is in it" in page.text
    assert person.press(page, "Read it", message="x", words="odd").status == 422
    assert person.press(page, "Read it", message="x", keys="lower").status == 422
    assert person.press(page, "Read it", message="x" * 70_000).status == 422


def test_everybody_may_try_a_message_where_the_configuration_says_so(
    site: Site, face: Face, faces: Faces
) -> None:
    assert Browser(face.port).send("POST", "/try", [("message", "x")]).status == 403
    text = site.file.read_text()
    site.file.write_text(text.replace("[web]\n", "[web]\npublic_try = true\n"))
    browser = Browser(faces.start().port)
    page = browser.press(browser.open("/try"), "Read it", message="fixes #4")
    assert [own["class"] for tag, own in page.tags if tag == "mark"] == ["close"]
    page = browser.press(page, "Read it", message="`fixes #9`\n" * 5000)
    assert "And 4700 more." in page.text
    assert browser.send("GET", "/pushes").status == 303


def test_a_role_sees_the_buttons_that_it_may_press_and_no_others(
    site: Site, face: Face
) -> None:
    dead(site, 1)
    expected: dict[str, set[str]] = {
        "read": set(),
        "operate": {"Pause", "Drop"},
        "admin": {"Reload"},
    }
    for role, wanted in expected.items():
        browser = Browser(face.port)
        browser.log_in(f"{role}-token")
        buttons = {
            label
            for path in ("/letters", "/services")
            for form in browser.open(path).forms
            for label, _, _ in form.buttons
        }
        assert wanted <= buttons
        assert ("Reload" in buttons) == (role == "admin")
        assert ("Drop" in buttons) == (role != "read")
        csrf = dict(browser.open("/").forms[0].fields)["csrf"]
        for path, needed in (("/letters", "operate"), ("/reload", "admin")):
            answer = browser.send("POST", path, [("csrf", csrf)])
            assert (answer.status == 403) == (needed not in ROLES[role])


def test_a_daemon_that_does_not_answer_is_said_and_comes_back(
    site: Site, person: Browser
) -> None:
    site.daemons[0].stop()
    for path in ("/", "/pushes", "/letters", "/services"):
        page = person.open(path)
        assert page.status == 503
        assert page.answer.headers["retry-after"] == "5"
        assert page.answer.headers["refresh"] == "5"
        assert "The daemon does not answer." in page.text
    assert person.open("/try").status == 200
    site.start()
    assert person.open("/").status == 200
