"""Writes the pictures of what arrives: `python -m tests.project.write_pictures`.

Each shows, as a reader would, the very text that a broker handed over for the sample
push: a mail, a message in a Matrix room, an entry of a feed.
"""

import json
import tempfile
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import feedparser

from brokers.feed import Feed
from brokers.mail import Mail
from brokers.matrix import Matrix
from oberonc import testing

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
#: Pixels: of a character, of a line, around the text, and of the bar with the title.
_CHARACTER, _LINE, _AROUND, _BAR = 8.43, 20, 16, 34
_WIDE: Final = 86
_STYLES: Final = {
    "": "",
    "strong": ' font-weight="bold"',
    "link": ' fill="#0550ae" text-decoration="underline"',
    "aside": ' fill="#656d76"',
}

#: (style, text): a part of a line.
Part = tuple[str, str]


def pictures() -> dict[str, str]:
    """{name of a file: its SVG}."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        return {
            "mail.svg": _picture("A mail", _mail(state)),
            "matrix.svg": _picture("A Matrix room", _matrix(state)),
            "feed.svg": _picture("A feed", _feed(state)),
        }


def _mail(state: Path) -> list[list[Part]]:
    box = state / "box"
    program = ["/bin/sh", "-c", f"cat > {box}"]
    _deliver(
        Mail,
        state,
        sender="Git <git@example.org>",
        to=["devs@example.org"],
        sendmail=program,
        kind="summary",
    )
    mail = message_from_bytes(box.read_bytes(), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    shown = ("From", "To", "Date", "Subject")
    lines: list[list[Part]] = [
        [("aside", f"{name + ':':<9}"), ("strong" if name == "Subject" else "", text)]
        for name in shown
        if (text := str(mail[name]))
    ]
    return [*lines, [], *([("", line)] for line in mail.get_content().splitlines())]


def _matrix(state: Path) -> list[list[Part]]:
    answer = testing.Answer(200, '{"event_id": "$1"}')
    with testing.Server(answer) as server:
        _deliver(Matrix, state, url=server.url, token="t", room="!r:example.org")
    event = json.loads(server.requests[0].body)
    return [[("aside", "git-bot")], *_lines_of(event["formatted_body"])]


def _feed(state: Path) -> list[list[Part]]:
    _deliver(Feed, state, folder=str(state))
    found = feedparser.parse(str(state / "web%2Fshop.atom"))
    [entry] = found.entries
    return [
        [("aside", found.feed.title)],
        [("strong", entry.title)],
        [("aside", f"{entry.author}, {entry.updated}")],
        [],
        *_lines_of(entry.content[0].value),
    ]


def _deliver(broker: Any, state: Path, **settings: Any) -> None:
    done = testing.deliver(broker, testing.payload("push"), state, **settings)
    assert done.kind == "done", done.note


class _Reader(HTMLParser):
    """HTML as lines of parts."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[list[Part]] = [[]]
        self._styles: list[str] = [""]

    def handle_starttag(self, tag: str, _attrs: Any) -> None:
        if tag == "br":
            self.lines.append([])
        else:
            known = {"strong": "strong", "b": "strong", "a": "link"}
            self._styles.append(known.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag != "br":
            self._styles.pop()

    def handle_data(self, data: str) -> None:
        text = data.replace("\n", "").replace("\u200b", "")
        if text:
            self.lines[-1].append((self._styles[-1], text))


def _lines_of(html: str) -> list[list[Part]]:
    reader = _Reader()
    reader.feed(html)
    return reader.lines


def _picture(title: str, lines: list[list[Part]]) -> str:
    """An SVG of *lines*, in a frame; what is wider than it is cut."""
    width = round(_WIDE * _CHARACTER) + 2 * _AROUND
    height = _BAR + len(lines) * _LINE + 2 * _AROUND
    rows = []
    for number, line in enumerate(lines):
        left, spans = _WIDE, []
        for style, text in line:
            cut = text if len(text) <= left else text[: max(0, left - 1)] + "…"
            # Renderers differ in what they make of blanks; not of these.
            shown = escape(cut.replace(" ", "\u00a0"))
            spans.append(f"<tspan{_STYLES[style]}>{shown}</tspan>")
            left -= len(cut)
        y = _BAR + _AROUND + number * _LINE + 14
        if spans:
            rows.append(f'<text x="{_AROUND}" y="{y}">{"".join(spans)}</text>')
    frame = 'fill="#ffffff" stroke="#d0d7de"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" role="img" aria-label="{title}">',
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="6" {frame}/>',
            f'<path d="M0.5 {_BAR}H{width - 0.5}" stroke="#d0d7de"/>',
            '<g font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"'
            ' font-size="14" fill="#1f2328">',
            f'<text x="{_AROUND}" y="22" font-weight="bold">{title}</text>',
            *rows,
            "</g>",
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pictures().items():
        (FOLDER / file).write_text(text)
