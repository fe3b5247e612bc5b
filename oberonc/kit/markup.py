"""The markups of chats and trackers: foreign text made dead, and links of ours.

A *markup* is that of a chat, and has three functions. `dead` writes text so that
nothing in it acts: no mention, link, formatting, command or control. `strong` does so
and sets it off. `link` writes dead text that leads to an address that `safe_url` let
pass ("" for none).

A *flavour* is that of a tracker's comments, in which a commit message is quoted whole:
names lose everything but letters, digits and a little punctuation; both go where the
markup has no meaning, and what could end that place, mention a person or start a
command is broken up.

Text goes through `shown` first, so no markup has to know of controls, bidi marks, lone
surrogates, or marks that are heaped upon one letter.
"""

import html
import re
from collections.abc import Callable
from typing import NamedTuple

from oberonc.text import visible

#: Invisible, without meaning to any markup, and no part of a name.
BREAK = "\u200b"
#: Characters of a commit message that a comment quotes; every tracker takes this much.
QUOTE_LIMIT = 8000
_MARKS = (
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
)
#: More marks upon a letter than any language has: they cover the lines around it.
_HEAPED = re.compile(f"({_MARKS}{{4}}){_MARKS}+")


class Markup(NamedTuple):
    """How one chat writes; see the module's text."""

    dead: Callable[[str], str]
    strong: Callable[[str], str]
    link: Callable[[str, str], str]


def shown(text: str) -> str:
    """*text* in visible characters, which stay in their line."""
    return _HEAPED.sub(r"\1", visible(text))


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
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", quiet(shown(text)))


def _discord(text: str) -> str:
    """As Markdown; `<` begins mentions, `:` emoji, and Discord leaves a backslash
    before letters and most punctuation as it stands, so only what acts gets one.
    """
    return re.sub(r"([\\*_~|>#\[\]()`<:-])", r"\\\1", quiet(shown(text)))


def _slack(text: str) -> str:
    """Slack asks for these three as entities and nothing else; formatting is broken up
    by what cannot be seen, as Slack has no escape for it.
    Source: https://api.slack.com/reference/surfaces/formatting#escaping
    """
    broken = re.sub(r"([*_~`])", rf"{BREAK}\1{BREAK}", quiet(shown(text)))
    return html.escape(broken, quote=False)


def _html(text: str) -> str:
    return html.escape(quiet(shown(text)), quote=True)


def _quiet(text: str) -> str:
    """Text that is no markup, where people are notified and addresses become links."""
    return quiet(shown(text))


def _irc(text: str) -> str:
    """One line, without controls; names broken up, so that nobody is highlighted."""
    return quiet(shown(re.sub(r"\s+", " ", text)))


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
    broken = re.sub(r"([#$!])(?=\w)", rf"\1{BREAK}", quiet(shown(text)))
    return re.sub(r"(?<=\w)\.(?=[^\W\d_]{2})", f"{BREAK}.", broken)


def _anywhere(text: str) -> str:
    """What may be read as any markup: what begins a mention or a link of any of them is
    broken up; that words are set off does no harm.
    """
    return re.sub(r"([<\]])", rf"\1{BREAK}", _post(text))


def _beside(dead: Callable[[str], str]) -> Callable[[str, str], str]:
    """A link where there is no markup for one: the address stands beside the text."""
    return lambda text, url: f"{dead(text)} <{url}>" if url else dead(text)


def _brackets(dead: Callable[[str], str], form: str) -> Callable[[str, str], str]:
    def link(text: str, url: str) -> str:
        return form.format(text=dead(text), url=url) if url else dead(text)

    return link


MARKUPS = {
    "plain": Markup(shown, shown, _beside(shown)),
    "quiet": Markup(_quiet, _quiet, _beside(_quiet)),
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
    "anywhere": Markup(_anywhere, _anywhere, _beside(_anywhere)),
}


class Flavour(NamedTuple):
    """How comments of one tracker link, quote, and hide what they are found by."""

    link: Callable[[str, str], str]
    quote: Callable[[str], str]
    #: A name, already a `plain_name`, where it would be read as text.
    name: Callable[[str], str]
    hidden: str = ""


def plain_name(text: str) -> str:
    """*text* without whatever any markup, tracker or terminal could act on."""
    words = re.sub(
        r"[^\w ,.;:/'’-]|_|(?<!\w)/|[.:](?=\S)|/(?!\w)",
        " ",
        shown(" ".join(text[:200].split())),
    )
    return " ".join(words.split()) or "someone"


def plain_text(text: str, limit: int = QUOTE_LIMIT) -> str:
    """A commit message in visible characters, its lines ended by newlines, and of no
    more than *limit* characters: then it ends with how many there are more.
    """
    lines = shown("\n".join(text[: QUOTE_LIMIT * 2].splitlines())).strip("\n")
    if len(lines) <= limit:
        return lines
    more = max(len(lines), len(text)) - limit
    return f"{lines[:limit]}\n[...] {more} more characters".lstrip("\n")


def _unmentioned(text: str, *openers: str) -> str:
    """*text* with mentions, and each of *openers*, broken up."""
    for opener in ("@", *openers):
        text = text.replace(opener, opener[0] + BREAK + opener[1:])
    return text


def _apart(text: str) -> str:
    """*text* without two of one kind of brace side by side."""
    return re.sub(r"(?<=\{)(?=\{)|(?<=\})(?=\})", BREAK, text)


def _markdown_quote(text: str) -> str:
    """Indented code in a block quote: what every parser has, and no line can end. Fences
    are ended by three backticks in some (Redcarpet, Parsedown), however long they are,
    and are none in a block quote in others (Python-Markdown). Runs of what makes a
    fence are broken up all the same, for parsers that look for them first.
    """
    broken = re.sub(r"``(?=`)|~~(?=~)", lambda run: run[0] + BREAK, _unmentioned(text))
    return "\n".join(f">     {line}".rstrip() for line in broken.split("\n"))


def _textile_quote(text: str) -> str:
    return f"<pre>\n{_apart(_unmentioned(text, '<'))}\n</pre>"


def _trac_quote(text: str) -> str:
    # Without a processor of ours the text could name its own in its first line: #!html
    return f"{{{{{{\n#!text\n{_apart(_unmentioned(text))}\n}}}}}}"


def _jira_quote(text: str) -> str:
    return f"{{noformat}}\n{_unmentioned(text, '{', '[~')}\n{{noformat}}"


def _remarkup_quote(text: str) -> str:
    # Without an option of ours the text could have its own in its first line: name=x
    broken = re.sub(r"`(?=`)", f"`{BREAK}", _unmentioned(text))
    return f"```lang=text\n{broken}\n```"


def _verbatim(form: str) -> Callable[[str], str]:
    """A name of simple words stays as it is; one in which may be a number, a link or
    markup to the tracker (`r1`, `CamelCase`, `-x-`, `PROJ-1`) is written verbatim.
    """

    def name(text: str) -> str:
        return text if all(map(_is_simple, text.split(" "))) else form % text

    return name


def _is_simple(word: str) -> bool:
    """Letters, of which only the first is a capital, or a number; `owner/name` too."""
    if re.fullmatch("[0-9]+[hm]?[,;:]?", word):
        return True
    # no stop: blocks of textile (`bq. `) and lists of Trac (`J. `) begin so
    bare = word.rstrip(",;:")
    return all(
        part.isalpha() and part[1:] == part[1:].lower() for part in bare.split("/")
    )


def _jira_name(text: str) -> str:
    """A hyphen that neither strikes words out nor makes keys of them, and no number
    that is a word's end: there is no verbatim text in a line.
    """
    return _plain_name(text.replace("-", "\u2011").replace("'", "\u2019"))


def _plain_name(text: str) -> str:
    """Trackers without markup still make links of `issue1` and `bug 1`, and Jira a
    heading of `h1. `.
    """
    return re.sub(r"(?<=[^\W\d])(\s*)(?=\d)|(?<=\d)(?=\.)", rf"\1{BREAK}", text)


def _plain_quote(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.split("\n"))


def _mantis_quote(text: str) -> str:
    """A quote as in Markdown, which MantisBT reads where that is switched on; numbers
    of issues (`#`) and notes (`~`), and some tags, act in every place of a note.
    """
    return _markdown_quote(re.sub("([#~<])", rf"\1{BREAK}", text))


def _html_quote(text: str) -> str:
    # what looks like a mention, a work item or a pull request stays text, too
    return f"<pre>{html.escape(_unmentioned(text, '#', '!'))}</pre>"


def _html_name(text: str) -> str:
    return html.escape(_plain_name(text))


def _after(text: str, url: str) -> str:
    return f"{text} <{url}>" if url else text


_MARKDOWN = Flavour(
    lambda text, url: f"[{text}]({url})" if url else text,
    _markdown_quote,
    _verbatim("`%s`"),
)
#: What a tracker speaks, by the name that the setting `markup` has for it.
FLAVOURS = {
    "markdown": _MARKDOWN._replace(hidden="\n\n<!-- %s -->"),
    "markdown-visible": _MARKDOWN,
    "textile": Flavour(
        lambda text, url: f'"{text}":{url}' if url else text,
        _textile_quote,
        _verbatim("<code>%s</code>"),
        "\n\n<!-- %s -->",
    ),
    "trac": Flavour(
        lambda text, url: f"[{url} {text}]" if url else text,
        _trac_quote,
        _verbatim("`%s`"),
        "\n\n{{{#!comment\n%s\n}}}",
    ),
    "jira": Flavour(
        lambda text, url: f"[{text}|{url}]" if url else text, _jira_quote, _jira_name
    ),
    "remarkup": Flavour(
        lambda text, url: f"[[ {url} | {text} ]]" if url else text,
        _remarkup_quote,
        _verbatim("`%s`"),
    ),
    "mantis": Flavour(
        lambda text, url: f"{text} {url}" if url else text, _mantis_quote, _jira_name
    ),
    "html": Flavour(MARKUPS["html"].link, _html_quote, _html_name),
    "plain": Flavour(_after, _plain_quote, _plain_name),
}
