"""Tell the followers of an account on X."""

import re
from typing import Any

from oberonc import BaseBroker, Check, Reject, Secret
from oberonc.kit import event
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message, post_size

#: Characters of a post, and those of which each counts as one; of others as two.
#: Source: docs.x.com, "Counting characters".
LIMIT = 280
_NARROW = re.compile("[\0-\u10ff\u2000-\u200d\u2010-\u201f\u2032-\u2037]")
#: The problems that X names where the app may not post, whatever it says.
_APP = re.compile("oauth1-permissions|client-forbidden|unsupported-authentication")


class Twitter(BaseBroker):
    """Posts a push to X, as the Twitter broker of 2009 did."""

    class Settings:
        key: Secret  # of the app, and its secret
        key_secret: Secret
        token: Secret  # of the account, and its secret
        token_secret: Secret
        # the form of 2009; "" is the summary
        format: str = "${repository.name} - ${commit.author} - ${commit.message|first}"
        most: int = 3  # commits that are named
        url: str = "https://api.x.com"
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)
        self._auth()

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return self._text(payload).splitlines()

    def check(self) -> list[Check]:
        who = self.http(auth=self._auth()).call("GET", f"{self._api()}/users/me")
        return [Check(True, f"the account is {who.json()['data']['username']}")]

    def handle(self, payload: dict[str, Any]) -> str:
        text = self._text(payload)
        if not text:
            return NOTHING
        client = self.http(auth=self._auth())
        answer = client.call(
            "POST", f"{self._api()}/tweets", json={"text": text}, errors=(402, 403)
        )
        if answer.status not in (402, 403):
            return f"posted {answer.json()['data']['id']}"
        if answer.status == 402 or _APP.search(answer.text):
            event.unwelcome(
                f"X wants credits or rights for the app: {answer.text[:200]}"
            )
        # X takes no text twice; after a try whose answer was lost that is a success.
        if "duplicate" in answer.text.lower():
            return "posted before" if payload["attempt"] > 1 else "nothing: said before"
        raise Reject(f"X refuses the post: {answer.text[:200]}")

    def _text(self, payload: dict[str, Any]) -> str:
        return message(payload, self.settings, MARKUPS["post"], LIMIT, _size)

    def _api(self) -> str:
        return f"{self.settings.url.rstrip('/')}/2"

    def _auth(self) -> Any:
        """OAuth 1.0a, in which a body of JSON has no part (RFC 5849, 3.4.1.3)."""
        given = self.settings
        secrets = given.key, given.key_secret, given.token, given.token_secret
        signer = event.library("requests_oauthlib", "twitter")
        return signer.OAuth1(*map(str, secrets))


def _size(text: str) -> int:
    return post_size(text) + len(_NARROW.sub("", text))
