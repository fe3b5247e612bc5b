"""Tell a project of Basecamp 4, and complete the to-dos that commits fix."""

import json
import os
import time
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from oberonc import BaseBroker, Check, Secret
from oberonc.grammar.reference import Reference
from oberonc.grammar.words import words_for
from oberonc.issues.plan import Rules, make_plan
from oberonc.issues.tasks import RESOLUTIONS, Issue
from oberonc.kit import event
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message
from oberonc.kit.summary import headline

#: Characters of a text, and seconds before its end at which a token is renewed.
LIMIT, EARLY = 8000, 3600
#: Where people find a to-do: ADDRESS/ACCOUNT/buckets/PROJECT/todos/TODO.
SITES = ("https://3.basecamp.com", "https://app.basecamp.com")
_KEPT = ("access_token", "refresh_token")


class Basecamp(BaseBroker):
    """Tells a project of Basecamp of a push, and completes the to-dos it fixes."""

    class Settings:
        url: Secret | None = None  # of a chatbot's lines: a line in the chat; or
        board: str = ""  # the number of a message board: a message
        account: str = ""  # the first number in the project's address
        project: str = ""  # the second one
        client_id: str = ""  # of the app that is registered with 37signals
        client_secret: Secret | None = None
        refresh_token: Secret | None = None
        format: str = ""  # instead of the summary
        most: int = 10  # commits that are named
        api: str = "https://3.basecampapi.com"
        login: str = "https://launchpad.37signals.com"
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)
        given = self.settings
        if given.url and given.board:
            raise ValueError("give either 'url' or 'board'")
        if not given.url and not given.refresh_token:
            raise ValueError("setting 'url' or 'refresh_token' is missing")
        if given.refresh_token or given.board:
            for name in ("account", "project", "client_id", "client_secret"):
                if not getattr(given, name):
                    raise ValueError(f"setting '{name}' is missing")
        for name in ("board", "account", "project"):
            if not (getattr(given, name) or "0").isdecimal():
                raise ValueError(f"setting '{name}' must be a number")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        lines = [f"complete the to-do {number}" for number in self._todos(payload)]
        if self.settings.url or self.settings.board:
            text = message(payload, self.settings, MARKUPS["plain"], LIMIT)
            lines += text.splitlines()
        return lines

    def check(self) -> list[Check]:
        checks = []
        if self.settings.refresh_token:
            project = self._call("GET", f"projects/{self.settings.project}.json")
            name = project.json().get("name")
            checks.append(Check(True, f"the project is {name}"))
        if self.settings.url:
            checks.append(Check(True, "only a line proves the chatbot's address"))
        return checks

    def handle(self, payload: dict[str, Any]) -> str:
        done = []
        # First what may be done twice.
        for number in self._todos(payload):
            path = f"todos/{number}/completion.json"
            answer = self._call("POST", self._in_project(path), {}, errors=(404,))
            done.append(
                f"completed {number}"
                if answer.status != 404
                else f"no to-do {number} in the project"
            )
        if self.settings.url or self.settings.board:
            text = message(payload, self.settings, MARKUPS["html"], LIMIT)
            if text:
                done.append(self._tell(payload, text.replace("\n", "<br>")))
        return ", ".join(done) or NOTHING

    def _tell(self, payload: dict[str, Any], content: str) -> str:
        if self.settings.url:
            address = self.settings.url.removesuffix(".json") + ".json"
            self.http().call("POST", address, json={"content": content})
            return "said a line"
        said = {
            "subject": headline(payload),
            "content": content,
            "status": "active",
            "subscriptions": [],  # or all of the project get a mail
        }
        path = f"message_boards/{self.settings.board}/messages.json"
        answer = self._call("POST", self._in_project(path), said)
        return f"posted {answer.json().get('id')}"

    def _todos(self, payload: dict[str, Any]) -> list[str]:
        """The numbers of the project's to-dos that published commits fix."""
        given = self.settings
        if not given.refresh_token:
            return []
        urls = [f"{site}/{given.account}" for site in SITES]
        words = words_for("github", {"urls": urls, "url_paths": ["todos"]})

        def resolve(found: Reference) -> Issue | None:
            ours = found.repository == f"buckets/{given.project}"
            return Issue(given.project, found.issue, found.issue) if ours else None

        tasks = make_plan(payload, Rules(words=words, resolve=resolve)).tasks
        fixed = (each.issue.number for each in tasks if each.action in RESOLUTIONS)
        return list(dict.fromkeys(fixed))

    def _in_project(self, path: str) -> str:
        # Without the project an address leads to what is anywhere in the account.
        return f"buckets/{self.settings.project}/{path}"

    def _call(
        self, method: str, path: str, body: Any = None, errors: tuple[int, ...] = ()
    ) -> Any:
        """An answer of the API; a token that ended too early is renewed once."""
        address = f"{self.settings.api}/{self.settings.account}/{path}"
        for renewed in (False, True):
            bearer = {"Authorization": f"Bearer {self._token(anew=renewed)}"}
            allowed = errors if renewed else (*errors, 401)
            client = self.http(bearer)
            answer = client.call(method, address, json=body, errors=allowed)
            if answer.status != 401:
                break
        return answer

    def _token(self, anew: bool) -> str:
        """The access token that is kept, or a new one: it lasts two weeks."""
        given, file = self.settings, self.state / "token"
        first = sha256(str(given.refresh_token).encode()).hexdigest()
        try:
            kept: dict[str, Any] = json.loads(file.read_text())
        except (OSError, ValueError):
            kept = {}
        if kept.get("first") != first:  # another one is configured now
            kept = {"refresh_token": str(given.refresh_token)}
        if anew or kept.get("until", 0) < time.time() + EARLY:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": kept["refresh_token"],
                "client_id": given.client_id,
                "client_secret": str(given.client_secret),
            }
            answer = self.http().call(
                "POST",
                f"{given.login}/authorization/token",
                data=urlencode(form),  # in the body, which stands in no server's log
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                errors=(400,),
            )
            said = answer.json()
            if answer.status == 400:
                event.unwelcome(f"the token is not renewed: {said.get('error')}")
            kept |= {name: said[name] for name in _KEPT if name in said}
            until = time.time() + float(said.get("expires_in") or 0)
            kept |= {"first": first, "until": until}
            aside = self.state / f"token.{os.getpid()}"
            aside.touch(0o600)
            aside.write_text(json.dumps(kept))
            aside.replace(file)
        return str(kept["access_token"])
