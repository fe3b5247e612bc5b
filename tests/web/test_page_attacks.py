"""What strangers and other sites try on the page."""

import http.client
import re
import socket
import time
from pathlib import Path

import pytest
from django.core import signing

from oberonc.web.page.sessions import SESSION, key_of
from oberonc.web.settings import ROLES, Token
from tests.brokers_for_tests import source
from tests.support.browser import Browser
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.web import Face, Faces, tokens

#: What steers a page, a terminal or a line of text where it is not shown as what it is.
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> {{ 7|add:7 }} \u202egpj\u2066 \x1b[31mred\x07"
TEXT = (
    source("keeper")
    .replace("import BaseBroker", "import BaseBroker, Reject")
    .replace(
        "        row = {",
        '        print(payload["commits"][0]["message"])\n'
        '        raise Reject(payload["commits"][0]["message"])\n        row = {',
        1,
    )
)
PAGES = ("/", "/pushes", "/letters", "/services", "/try", "/login", "/nothing/here")


@pytest.fixture
def site(site: Site) -> Site:
    """A site whose broker rejects each push in its own words."""
    site.write("keeper", TEXT)
    return site


def hostile_push() -> dict[str, object]:
    made = push(repo=f"web/{HOSTILE}", message=HOSTILE, user=HOSTILE)
    made["repository"]["full_name"] = "web/<script>alert(1)</script>\"'><img src=x>"
    made["updates"][0]["ref"] = "refs/heads/<script>alert(1)</script>"
    commit = made["commits"][0]
    commit["author"] = commit["raw_author"] = HOSTILE
    commit["url"] = "javascript:alert(1)"
    return made


def test_hostile_text_is_shown_and_never_obeyed(site: Site, person: Browser) -> None:
    name = site.submit(hostile_push())
    eventually(lambda: site.stats()["deliveries"]["dead"], 60, "dead")
    paths = ["/", "/pushes", f"/pushes/{name}", "/letters", "/services"]
    paths += ["/pushes?q=%3Cscript%3E%22%1B%E2%80%AE", "/letters?service=%22%3E%3Cb%3E"]
    pages = [person.open(path) for path in paths]
    pages.append(
        person.press(person.open("/try"), "Read it", message=f"fixes #1 {HOSTILE}")
    )
    for page in pages:
        assert page.status == 200
        scripts = [own for tag, own in page.tags if tag == "script"]
        assert len(scripts) == 1
        assert scripts[0]["src"].startswith("/static/")
        assert not [own for tag, own in page.tags if own.get("src") == "x"]
        assert not [key for _, own in page.tags for key in own if key.startswith("on")]
        assert not [link for link in page.links if link.startswith("javascript")]
        shown = re.sub("<textarea.*?</textarea>", "", page.html, flags=re.DOTALL)
        assert not re.search("[\x00-\x08\x0e-\x1f\u202a-\u202e\u2066-\u2069]", shown)
    shown = pages[2].text
    assert "{{ 7|add:7 }}" in shown
    assert "<script>alert(1)</script>" in shown
    assert "\\u202egpj" in shown
    assert "\\x1b[31mred" in shown


def test_every_answer_has_what_keeps_a_browser_in_bounds(person: Browser) -> None:
    for path in PAGES:
        answer = person.send("GET", path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        if answer.status == 200:
            assert answer.headers["cache-control"] == "no-store"
            page = person.open(path)
            assert not [own for _, own in page.tags if "style" in own]
            assert not [tag for tag, _ in page.tags if tag in ("style", "base")]
            assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", page.html)


def test_the_pages_own_files_are_kept_for_ever_under_their_names(
    person: Browser,
) -> None:
    page = person.open("/")
    names = [own["href"] for tag, own in page.tags if tag == "link"]
    names += [own["src"] for tag, own in page.tags if tag == "script"]
    assert len(names) == 3
    for name in names:
        answer = Browser(person.port).send("GET", name)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    for wrong in ("page.css", "../routes.py", "%2e%2e%2froutes.py", "page-0.css"):
        assert person.send("GET", f"/static/{wrong}").status == 404


FORMS: tuple[tuple[str, list[tuple[str, str]]], ...] = (
    ("/letters", [("verb", "drop"), ("all", "1"), ("state", "ready")]),
    ("/services", [("verb", "resume"), ("service", "keeper")]),
    ("/reload", [("how", "reload")]),
    ("/logout", []),
)


def test_a_form_of_another_site_does_nothing(site: Site, person: Browser) -> None:
    site.call("lane.pause", service="keeper")
    site.submit()
    csrf = dict(person.open("/").forms[0].fields)["csrf"]
    other = Browser(person.port)
    other.log_in("operate-token")
    others = dict(other.open("/").forms[0].fields)["csrf"]
    good = ("csrf", csrf)
    evil = {"Origin": "https://evil.example"}
    sent = [
        ([], {}),
        ([("csrf", "")], {}),
        ([("csrf", others)], {}),
        ([good], {"Sec-Fetch-Site": "cross-site"}),
        ([good], {"Sec-Fetch-Site": "same-site"}),
        ([good], evil),
        ([good], {"Origin": "null"}),
        ([good], {"Origin": "http://["}),
        ([good], evil | {"X-Forwarded-Host": "evil.example"}),
    ]
    for path, fields in FORMS:
        for more, headers in sent:
            answer = person.send("POST", path, [*fields, *more], headers)
            assert answer.status == 403, (path, more, headers)
    assert site.stats()["services"]["keeper"]["paused"] is True
    assert site.stats()["deliveries"]["ready"] == 1
    assert site.stats()["generation"] == 1
    login = [("token", "admin-token"), ("next", "/")]
    fresh = Browser(person.port)
    assert fresh.send("POST", "/login", login, evil).status == 403
    assert not fresh.cookies
    own = {"Origin": f"http://127.0.0.1:{person.port}"}
    assert fresh.send("POST", "/login", login, own).status == 303


def test_logging_in_leads_to_our_pages_alone(face: Face) -> None:
    for where in (
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "///evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        " //evil.example",
        "/\r\nSet-Cookie: a=b",
        "/x\nLocation: https://evil.example",
        "/ä",
        "",
    ):
        fields = [("token", "admin-token"), ("next", where)]
        answer = Browser(face.port).send("POST", "/login", fields)
        assert answer.status == 303, where
        assert answer.headers["location"] == "/", where
        assert answer.headers["set-cookie"].startswith("oberonc="), where


def test_a_forged_host_is_believed_in_nothing(person: Browser) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    for path in PAGES:
        answer = person.send("GET", path, headers=forged)
        assert b"evil.example" not in answer.body
        assert "evil.example" not in str(answer.headers)
    login = [("token", "admin-token"), ("next", "/pushes")]
    answer = Browser(person.port).send("POST", "/login", login, forged)
    assert answer.headers["location"] == "/pushes"


def test_a_cookie_that_was_changed_is_nobodys(person: Browser) -> None:
    good = person.cookies["oberonc"]
    nonce, stamp, mark = good.rsplit(":", 2)
    reader = Browser(person.port)
    reader.log_in("read-token")
    theirs = reader.cookies["oberonc"].rsplit(":", 1)[1]
    for wrong in (
        f"{nonce}:{stamp}:{mark[:-2]}AA",
        f"{nonce}:zzzzzz:{mark}",
        f"x{nonce}:{stamp}:{mark}",
        f"{nonce}:{stamp}:{theirs}",
        f"{nonce}:{stamp}",
        "x",
        "admin",
    ):
        person.cookies["oberonc"] = wrong
        assert person.send("GET", "/").status == 303, wrong
    person.cookies["oberonc"] = good
    assert person.send("GET", "/").status == 200


class Earlier(signing.TimestampSigner):  # type: ignore[misc]
    """Signs as the page did *age* seconds ago."""

    age = 0.0

    def timestamp(self) -> str:
        """When that was."""
        made: str = signing.b62_encode(int(time.time() - self.age))
        return made


def test_a_session_ends_after_its_time(person: Browser) -> None:
    key = key_of(Token("admin", "admin-token", "admin"))
    signer = Earlier(key=key, salt="oberonc.page", fallback_keys=())
    for signer.age, status in ((SESSION - 600, 200), (SESSION + 60, 303)):
        person.cookies["oberonc"] = signer.sign("nonce")
        assert person.send("GET", "/try").status == status


def test_what_no_form_of_ours_sends_is_refused(person: Browser) -> None:
    csrf = ("csrf", dict(person.open("/").forms[0].fields)["csrf"])
    many = [csrf, *(("delivery", "1") for _ in range(2000))]
    assert person.send("POST", "/letters", many).status == 400
    large = [csrf, ("message", "x" * (1 << 20))]
    assert person.send("POST", "/try", large).status == 413
    for kind in ("multipart/form-data; boundary=x", "application/json", ""):
        sent = {"Content-Type": kind}
        assert person.send("POST", "/letters", [csrf], sent).status == 415
    for path in PAGES[:-1]:
        assert person.send("PUT", path).status == 405
        assert person.send("DELETE", path).status == 405
    assert person.send("GET", "/logout").status == 405
    assert person.send("POST", "/letters", [csrf, ("verb", "burn")]).status == 400
    assert person.send("POST", "/services", [csrf, ("verb", "burn")]).status == 400
    assert person.send("POST", "/reload", [csrf, ("how", "burn")]).status == 400
    odd = [csrf, ("verb", "pause"), ("service", "keeper"), ("repository", "a\r\nb")]
    assert person.send("POST", "/services", odd).status == 404


class Unix(Browser):
    """A browser whose proxy speaks to the socket at *path*."""

    def __init__(self, path: Path, user: str) -> None:
        super().__init__(0, {"X-Remote-User": user} if user else {})
        self._path = path

    def _connection(self) -> http.client.HTTPConnection:
        made = http.client.HTTPConnection("localhost", timeout=60)
        made.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.sock.connect(str(self._path))
        return made


def test_a_proxy_says_who_it_is_and_forms_are_still_asked_for_theirs(
    site: Site, faces: Faces
) -> None:
    path = site.folder / "web.sock"
    tokens(site, ROLES)
    text = site.file.read_text().replace(
        'listen = "127.0.0.1:0"',
        f'listen = "{path}"\nbehind_proxy = true\nuser_header = "X-Remote-User"\n'
        'users = { ann = "operate", "*" = "read" }',
    )
    site.file.write_text(text)
    site.start()
    faces.start()
    ann = Unix(path, "ann")
    page = ann.open("/services")
    assert "ann (operate)" in page.text
    assert "Log out" not in page.text
    assert "keeper is paused." in ann.press(page, "Pause").text
    assert "bob (read)" in Unix(path, "bob").open("/").text
    fields = [("verb", "resume"), ("service", "keeper")]
    assert ann.send("POST", "/services", fields).status == 403
    csrf = dict(page.forms[0].fields)["csrf"]
    assert (
        Unix(path, "bob").send("POST", "/services", [*fields, ("csrf", csrf)]).status
        == 403
    )
    nobody = Unix(path, "")
    assert nobody.send("GET", "/").status == 303
    answer = nobody.send("POST", "/login", [("token", "read-token"), ("next", "/")])
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-oberonc=")
    for flag in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert flag in cookie


def test_a_header_of_whoever_opens_a_port_names_nobody(
    site: Site, faces: Faces, face: Face
) -> None:
    forged = Browser(face.port, {"X-Remote-User": "admin", "Remote-User": "admin"})
    assert forged.send("GET", "/").status == 303
    text = site.file.read_text().replace(
        "[web]\n", '[web]\nbehind_proxy = true\nuser_header = "X-Remote-User"\n'
    )
    site.file.write_text(text)
    with pytest.raises(AssertionError, match="needs a Unix socket"):
        faces.start()
