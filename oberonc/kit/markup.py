"""The markups of chats: foreign text made dead, and links of ours.

A *markup* has three functions. `dead` writes text so that nothing in it acts: no
mention, link, formatting, command or control. `strong` does so and sets it off. `link`
writes dead text that leads to an address that `safe_url` let pass ("" for none).

Text goes through `visible` first, so no markup has to know of controls, bidi marks or
lone surrogates.
"""

import html
import re
from collections.abc import Callable
from typing import NamedTuple

from oberonc.text import visible

#: Invisible, without meaning to any markup, and no part of a name.
BREAK = "\u200b"


class Markup(NamedTuple):
    """How one chat writes; see the module's text."""

    dead: Callable[[str], str]
    strong: Callable[[str], str]
    link: Callable[[str, str], str]


def safe_url(url: str) -> str:
    """*url* when it can stand in any markup, else nothing."""
    fits = re.fullmatch(r"https?://[\w.~:/?#@!&+,;=%-]{1,1000}", url, re.ASCII)
    return url if fits else ""


def quiet(text: str) -> str:
    """*text* with `@` and the beginnings of addresses broken up, for places that turn
    them into mentions and links whatever the markup says.
    """
    broken = re.sub(r"@", "@" + BREAK, text)
    broken = re.sub(r"(?i)\b([a-z][a-z0-9+.-]{0,20}):(?=\S)", rf"\1{BREAK}:", broken)
    return re.sub(r"(?i)\b(www)\.", rf"\1{BREAK}.", broken)


def _markdown(text: str) -> str:
    """CommonMark 2.4: a backslash before any ASCII punctuation makes it a character."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", quiet(visible(text)))


def _discord(text: str) -> str:
    """As Markdown; `<` begins mentions, `:` emoji, and Discord leaves a backslash
    before letters and most punctuation as it stands, so only what acts gets one.
    """
    return re.sub(r"([\\*_~|>#\[\]()`<:-])", r"\\\1", quiet(visible(text)))


def _slack(text: str) -> str:
    """Slack asks for these three as entities and nothing else; formatting is broken up
    by what cannot be seen, as Slack has no escape for it.
    Source: https://api.slack.com/reference/surfaces/formatting#escaping
    """
    broken = re.sub(r"([*_~`])", rf"{BREAK}\1{BREAK}", quiet(visible(text)))
    return html.escape(broken, quote=False)


def _html(text: str) -> str:
    return html.escape(quiet(visible(text)), quote=True)


def _irc(text: str) -> str:
    """One line, without controls; names broken up, so that nobody is highlighted."""
    return quiet(visible(" ".join(text.split())))


def _irc_strong(text: str) -> str:
    dead = _irc(text)
    return dead[:1] + BREAK + dead[1:]


def _around(mark: str, dead: Callable[[str], str]) -> Callable[[str], str]:
    def strong(text: str) -> str:
        written = dead(text.strip())
        return f"{mark}{written}{mark}" if written else ""

    return strong


def _post(text: str) -> str:
    """What social networks take: no markup, but names, tags and addresses act, those
    without a scheme too.
    """
    broken = re.sub(r"([#$!])(?=\w)", rf"\1{BREAK}", quiet(visible(text)))
    return re.sub(r"(?<=\w)\.(?=[^\W\d_]{2})", f"{BREAK}.", broken)


def _beside(dead: Callable[[str], str]) -> Callable[[str, str], str]:
    """A link where there is no markup for one: the address stands beside the text."""
    return lambda text, url: f"{dead(text)} <{url}>" if url else dead(text)


def _brackets(dead: Callable[[str], str], form: str) -> Callable[[str, str], str]:
    def link(text: str, url: str) -> str:
        return form.format(text=dead(text), url=url) if url else dead(text)

    return link


MARKUPS = {
    "plain": Markup(visible, visible, _beside(visible)),
    "markdown": Markup(
        _markdown, _around("**", _markdown), _brackets(_markdown, "[{text}](<{url}>)")
    ),
    "discord": Markup(
        _discord, _around("**", _discord), _brackets(_discord, "[{text}](<{url}>)")
    ),
    "slack": Markup(_slack, _around("*", _slack), _brackets(_slack, "<{url}|{text}>")),
    "html": Markup(
        _html,
        lambda text: f"<strong>{_html(text)}</strong>",
        lambda text, url: (
            f'<a href="{html.escape(url)}">{_html(text)}</a>' if url else _html(text)
        ),
    ),
    "irc": Markup(_irc, _irc_strong, _beside(_irc)),
    "post": Markup(_post, _post, _beside(_post)),
}
