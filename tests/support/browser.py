"""A person with a browser that has no script: reads pages, follows links, sends forms."""

import http.client
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import urlencode, urljoin

from tests.support.web import Answer


class Form(NamedTuple):
    """A form as it stands in a page: fields with their values, and buttons."""

    method: str
    action: str
    fields: list[tuple[str, str]]
    buttons: list[tuple[str, str, str]]


class Page(HTMLParser):
    """What is in a page."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.status = answer.status
        self.html = answer.body.decode()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._texts: list[str] = []
        self._button: tuple[str, str] | None = None
        self._select: tuple[str, list[tuple[bool, str]]] | None = None
        self.feed(self.html)
        self.close()

    @property
    def text(self) -> str:
        """All that is read in it, in one line."""
        return " ".join("".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes links and forms."""
        own = {name: value or "" for name, value in attrs}
        self.tags.append((tag, own))
        if tag == "a":
            self.links.append(own.get("href", ""))
        elif tag == "form":
            method = own.get("method", "get").upper()
            self.forms.append(Form(method, own.get("action", ""), [], []))
        elif tag == "select":
            self._select = own["name"], []
        elif tag == "option" and self._select:
            self._select[1].append(("selected" in own, ""))
        elif self.forms and tag in ("input", "textarea") and "name" in own:
            if own.get("type") != "checkbox":
                self.forms[-1].fields.append((own["name"], own.get("value", "")))
        elif self.forms and tag == "button":
            self._button = own.get("name", ""), own.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """A button has ended, or a choice: the first one, where none is made."""
        if tag == "button":
            self._button = None
        elif tag == "select" and self._select:
            name, options = self._select
            chosen = [text for is_chosen, text in options if is_chosen]
            self.forms[-1].fields.append((name, chosen[0] if chosen else options[0][1]))
            self._select = None

    def handle_data(self, data: str) -> None:
        """Text of the page, or of a button."""
        self._texts.append(data)
        if self._button:
            self.forms[-1].buttons.append((data.strip(), *self._button))
        if self._select and data.strip() and self._select[1]:
            options = self._select[1]
            options[-1] = options[-1][0], data.strip()


class Browser:
    """Keeps cookies, and goes where it is sent."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.port = port
        self.headers = dict(headers or {})
        self.cookies: dict[str, str] = {}

    def send(
        self,
        method: str,
        path: str,
        fields: Sequence[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request and its answer, wherever that sends it."""
        sent = self.headers | dict(headers or {})
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        body = None
        if fields is not None:
            body = urlencode(fields)
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection = self._connection()
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie") or []:
                self._keep(line)
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def _keep(self, line: str) -> None:
        for name, morsel in SimpleCookie(line).items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value

    def open(self, path: str) -> Page:
        """The page at *path*."""
        return self._follow(path, self.send("GET", path))

    def press(self, page: Page, button: str, **fields: Any) -> Page:
        """Press the button of that name in the first form of *page* that has it, with
        *fields* filled in; a list is a field that is there several times.
        """
        for form in page.forms:
            for label, name, value in form.buttons:
                if label == button:
                    found = [pair for pair in form.fields if pair[0] not in fields]
                    for key, said in fields.items():
                        several = said if isinstance(said, list) else [said]
                        found += [(key, str(one)) for one in several]
                    if name:
                        found.append((name, value))
                    return self._send(form, found)
        raise AssertionError(f"no button {button!r}: {page.forms}")

    def _send(self, form: Form, fields: list[tuple[str, str]]) -> Page:
        if form.method == "GET":
            return self.open(f"{form.action}?{urlencode(fields)}")
        return self._follow(form.action, self.send("POST", form.action, fields))

    def _follow(self, path: str, answer: Answer) -> Page:
        for _ in range(3):
            if answer.status != 303:
                break
            path = urljoin(path, answer.headers["location"]).partition("#")[0]
            answer = self.send("GET", path)
        return Page(answer)

    def log_in(self, token: str) -> Page:
        """The page that comes after *token* was given."""
        return self.press(self.open("/login"), "Log in", token=token)
