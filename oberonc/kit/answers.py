"""What an HTTP answer means for a delivery: done, again later, never. Pure functions,
without a network.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from oberonc.errors import Reject, Retry
from oberonc.redaction import without_userinfo
from oberonc.text import one_line

#: Seconds until the next try when the credentials were refused: a person has to mend
#: them.
CREDENTIALS_AFTER = 600.0
#: The same where a 403 is a limit and does not say for how long: GitHub, whose way that
#: is, asks for a minute at least.
LIMIT_AFTER = 60.0
#: The longest wait believed, in seconds.
LONGEST_WAIT = 86_400.0

_RESETS = (
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-requests-remaining", "x-ratelimit-requests-reset"),
    ("x-ratelimit-complexity-remaining", "x-ratelimit-complexity-reset"),
    ("x-rate-limit-remaining", "x-rate-limit-reset"),  # X
    ("x-user-limit-24hour-remaining", "x-user-limit-24hour-reset"),  # X
)
_EXPIRED = (
    "invalid_token",
    "invalid_grant",
    "expired_token",
    "token_expired",
    "ExpiredToken",
    "InvalidToken",
)


class NotDone(Retry):
    """Again later, and the server certainly did nothing this time."""


class Forbidden(NotDone):
    """These credentials may not do this; what else there is to do may still be allowed.

    `told` is what the server said, without a guess whose fault it is.
    """

    def __init__(self, told: str) -> None:
        mend = "check the token and its permissions"
        super().__init__(
            f"CREDENTIALS refused: {told}; {mend}", after=CREDENTIALS_AFTER
        )
        self.told = told


class Moved(NotDone):
    """What was asked has another address now; nobody follows there by themselves.

    Following would take the credentials along to a place that no configuration names,
    and turn a POST into a GET, as all clients do after a 301.
    """

    def __init__(self, reason: str, answer: "Answer") -> None:
        super().__init__(reason)
        self.answer = answer


class Page(Retry):
    """A success with a page for people: the server that was meant has not answered, but
    what stands before it (a login, a notice of maintenance), or another one.
    """


class Answer(NamedTuple):
    """A server's answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """The body as JSON; Retry when it is none:
        a proxy's page, or an answer cut short.
        """
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            raise Retry(
                f"the server answered {self.status} with something that is not JSON"
            ) from None


class Refused(Reject):
    """The server will never do this;
    `status` is its HTTP status, or 0 where it said so in a 200; `answer` is all it
    said, where that was an HTTP refusal.
    """

    def __init__(
        self, reason: str, status: int = 0, answer: Answer | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.answer = answer


#: How a 403 says that it is a limit.
_LIMIT = re.compile("rate.?limit|abuse detection|too many requests", re.IGNORECASE)
#: How servers say that a text is longer than they take.
_TOO_LONG = re.compile(
    r"too (?:long|large|big)|(?:longer|shorter) than|exceed|max\w* (?:length|size)"
    r"|maximum is [0-9]|limit_exceeded",
    re.IGNORECASE,
)


def expect_no_page(answer: Answer, what: str) -> Answer:
    """*answer*, which is that of an interface; Page where it is one for people."""
    if 200 <= answer.status < 300 and answer.text[:200].lstrip().startswith("<"):
        said = f"{what}: {answer.status} with a page: {_excerpt(answer) or 'empty'}"
        raise Page(f"{said}; check the address, and what stands before the server")
    return answer


def is_too_long(error: Refused) -> bool:
    """Whether the server refused what it was sent for its length, and may take less."""
    said = f"{error} {error.answer.text[:2000] if error.answer else ''}"
    return error.status == 413 or (
        error.status in (0, 400, 422) and bool(_TOO_LONG.search(said))
    )


def check(answer: Answer, what: str, now: float) -> Answer:
    """*answer* when it is a success; else raises what it means. *what* names the
    request in the message.
    """
    status = answer.status
    if 200 <= status < 300:
        return answer
    message = f"{what}: {status} {_excerpt(answer)}".rstrip()
    wait = wait_hint(answer, now)
    if status == 429 or (status == 403 and _is_rate_limit(answer, wait)):
        after = LIMIT_AFTER if wait is None and status == 403 else wait
        raise NotDone(f"rate limit: {message}", after=after)
    if status == 403 and not _lacks_scope(answer):
        raise Forbidden(message)
    if status in (401, 403, 407) or (status == 400 and _is_expired(answer)):
        raise NotDone(
            f"CREDENTIALS refused: {message}; check the token and its permissions",
            after=CREDENTIALS_AFTER,
        )
    if status in (408, 425) or status >= 500:
        raise Retry(message, after=wait)
    if 300 <= status < 400:
        said = f"{what}: {status}, moved to {_host(answer)}; no redirect is followed: {_MEND}"
        # a page that took a form answers with the others, too
        raise (
            Moved(said, answer)
            if status in (301, 307, 308)
            else Refused(said, status, answer)
        )
    raise Refused(message, status, answer)


#: What mends a redirect.
_MEND = "set the address it has now, or look at what stands before the server"


def _host(answer: Answer) -> str:
    """Where a redirect leads, without the path: that may be the secret (a webhook's)."""
    target = without_userinfo(answer.headers.get("location", ""))
    try:
        parts = urlsplit(target)
    except ValueError:
        return "nowhere"
    host = one_line(f"{parts.scheme or 'the same scheme'}://{parts.netloc}", 100)
    return host if parts.netloc else "another place on the same server"


def _is_expired(answer: Answer) -> bool:
    """Whether a 400 says that the token is none any more (RFC 6750, 6749; Bluesky)."""
    try:
        said = json.loads(answer.text)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("error") in _EXPIRED


def _lacks_scope(answer: Answer) -> bool:
    """Whether the token may do nothing of this kind anywhere: as RFC 6750 has it in
    header or body (GitLab), or in Gitea's words.
    """
    said = answer.headers.get("www-authenticate", "") + answer.text[:2000]
    return "insufficient_scope" in said or "of required scope" in said


def _is_rate_limit(answer: Answer, wait: float | None) -> bool:
    return wait is not None or bool(_LIMIT.search(answer.text[:2000]))


def _excerpt(answer: Answer) -> str:
    """What the server says, without the markup of an error page."""
    return one_line(re.sub(r"<[^<>]*>", " ", answer.text[:2000]), 200)


def wait_hint(answer: Answer, now: float) -> float | None:
    """The seconds the server asks to wait, by `Retry-After`, a used-up limit's reset
    time, or its JSON.
    """
    after = _moment(answer.headers.get("retry-after", ""), now)
    if after is None:
        after = reset_wait(answer.headers, now)
    if after is None and answer.status == 429:
        after = _reset_alone(answer.headers, now)
    if after is None and answer.status == 429:
        after = _body_wait(answer.text)
    return None if after is None else min(max(after, 1.0), LONGEST_WAIT)


def reset_wait(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds until a limit of which nothing remains is renewed."""
    for remaining, reset in _RESETS:
        if headers.get(remaining, "").strip() in ("0", "0.0"):
            wait = _moment(headers.get(reset, ""), now)
            if wait is not None:
                return min(max(wait, 1.0), LONGEST_WAIT)
    return None


def _reset_alone(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds until a limit is renewed, of a server that does not say what remains."""
    for remaining, reset in (*_RESETS, ("", "x-ratelimit-reset-after")):
        if remaining not in headers and reset in headers:
            return _moment(headers[reset], now)
    return None


def _moment(text: str, now: float) -> float | None:
    """Seconds from *now* to a moment: given as seconds, epoch seconds, epoch
    milliseconds, an HTTP or an ISO date.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        number = float(text)
        if number > 1e11:
            number /= 1000
        return number - now if number > 1e8 else number
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            when = parse(text)
        except ValueError:
            continue
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    return None


def _body_wait(text: str) -> float | None:
    """Matrix, Discord and Telegram say it in the body."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    if isinstance(body.get("parameters"), dict):  # Telegram
        body = body["parameters"]
    for key, unit in (("retry_after_ms", 1000), ("retry_after", 1)):
        try:
            wait = float(body[key]) / unit
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if not math.isnan(wait):
            return wait
    return None
