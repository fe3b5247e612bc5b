"""What a chat is told of a push: the summary, or the administrator's `format`."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from oberonc.kit.markup import MARKUPS, Markup
from oberonc.kit.summary import render, summary
from oberonc.kit.template import Template
from oberonc.text import counted

#: Commits that a message names at most, whatever the setting `most` says.
MOST = 100
#: Characters below which a value of `format` is not cut.
LEAST = 8
#: Characters that social networks count for an address, however short it is.
URL_SIZE = 23
_URL = re.compile(r"https?://[^\s<>]+")
#: What a broker notes where there is no message.
NOTHING = "nothing: the push has nothing that 'format' speaks of"


def check_settings(settings: Any) -> None:
    """Raise ValueError where `format` names what there is not, or `most` is no count."""
    Template(settings.format)
    if not 1 <= settings.most <= MOST:
        raise ValueError(f"setting 'most' must be from 1 to {MOST}")


def message(
    payload: Mapping[str, Any],
    settings: Any,
    markup: Markup,
    limit: int,
    size: Callable[[str], int] = len,
) -> str:
    """The text for *payload* in *markup*, whose *size* is at most *limit*; "" where the
    push has nothing that `format` speaks of.

    What is too long names fewer commits, and then has less of each value of `format`: a
    text that is cut itself may end within its markup.
    """

    def written(most: int, cut: int) -> str | None:
        shorter = markup._replace(dead=partial(_dead, markup, cut))
        text = _written(payload, settings.format, most, shorter)
        return text if size(text) <= limit else None

    text = written(settings.most, limit)
    if text is None:
        text = _largest(1, settings.most - 1, lambda most: written(most, limit))
    if text is None and settings.format:
        text = _largest(LEAST, limit, lambda cut: written(1, cut))
    if text is not None:
        return text
    # One commit and one ref are too much: names that are escaped to many times their
    # length. Their number is true in any case.
    count = payload["commits_total"]
    return markup.dead(
        f"a push with {counted(count, 'commit')} and names too long to show"
    )


def planned(limit: int, size: Callable[[str], int] = len) -> Callable[..., list[str]]:
    """The method `plan` of a broker that posts one message: its lines, without markup."""

    def plan(self: Any, payload: dict[str, Any]) -> list[str]:
        return message(
            payload, self.settings, MARKUPS["plain"], limit, size
        ).splitlines()

    return plan


def _largest(low: int, high: int, make: Callable[[int], str | None]) -> str | None:
    """What *make* gives for the largest number from *low* to *high* for which it gives
    anything: few tries, as each goes through all of the text.
    """
    best = None
    while low <= high:
        middle = (low + high) // 2
        text = make(middle)
        if text is None:
            high = middle - 1
        else:
            best, low = text, middle + 1
    return best


def _dead(markup: Markup, limit: int, value: str) -> str:
    return markup.dead(value if len(value) <= limit else value[: limit - 1] + "…")


def post_size(text: str) -> int:
    """The most that *text* may count to a social network, to which no address is
    shorter than `URL_SIZE`. Source: docs.x.com, "Counting characters"
    """
    return len(_URL.sub(lambda url: url[0].ljust(URL_SIZE), text))


def _written(payload: Mapping[str, Any], form: str, most: int, markup: Markup) -> str:
    if not form or payload["event"] in ("dead", "test"):
        return render(summary(payload, most), markup)
    template = Template(form)
    if not template.per_commit:
        return template.fill(payload, dead=markup.dead)
    commits = payload["commits"] or payload["merged"]
    lines = [template.fill(payload, each, markup.dead) for each in commits[:most]]
    if len(commits) > most:
        lines.append(markup.dead(f"and {len(commits) - most} more"))
    return "\n".join(lines)
