"""Comments as the parsers of trackers show them: nothing of a commit's text acts."""

import random
from typing import Any

import markdown_it
import pytest

from oberonc.issues.comment import TEMPLATE, make_comment, make_parts
from oberonc.issues.tasks import Issue, Task
from oberonc.kit.markup import FLAVOURS
from oberonc.testing.world import commit, payload
from tests.support.trackers.parsers import Page, rendered

PARSERS = {
    "markdown-it": "markdown",
    "markdown-it for MantisBT": "mantis",
    "itself": "html",
    **dict.fromkeys(
        ("redcarpet", "commonmarker", "parsedown", "python-markdown"), "markdown"
    ),
    "textile": "textile",
    "trac": "trac",
}
#: Lines that begin or end what holds a quote, in some markup, or act outside of it.
LINES = (
    *("```", "````", "`````", "~~~", "~~~~", "  ```", "   ~~~", "\t```", "    ```"),
    *("```ruby", "``` ```", "> ```", "> > ```", ">```", "- ```", "1. ```", "```~~~"),
    *("", " ", ">", "---", "===", "</pre>", "</code></pre>", "<pre>", "</blockquote>"),
    *(
        "<notextile>",
        "</notextile>",
        "notextile. x",
        "bc.. x",
        "p. x",
        "bq. x",
        "@",
        "@@",
    ),
    *(
        "}}}",
        "{{{",
        "{{{#!html",
        "}}}}}}",
        "{{{{{{",
        "#!html",
        "`",
        "``",
        "-->",
        "<!--",
    ),
    *(
        "<![CDATA[",
        "]]>",
        "<?php",
        "$$",
        "\u2028```",
        "\x0b```",
        "\u200b```",
        "\ufeff```",
    ),
)
EVIL = (
    "Zq ![i](http://evil.example/i.png) [x](http://evil.example/) <img src=http://evil.example/>",
    "Zq '''bold''' **bold** *bold* _it_ -x- CamelCase r1 [1] #1 http://evil.example/ a@evil.example",
    '# Zq <b>bold</b> <script>alert(1)</script> "x":http://evil.example/ !http://evil.example/i!',
    "|Zq|_. b|\n|---|---|\n* Zq\n1. Zq\nh1. Zq\n= Zq =",
    "[[Image(http://evil.example/i)]] {{macro}} [wiki:Zq] ticket:1 !CamelCase",
)
NAMES = (
    *("'''b'''", "''i''", "CamelCase", "McDonald", "r1", "r1:2", "-x-", "-x y-", "_x_"),
    *(
        "issue1",
        "bug 1",
        "deadbeefcafe1",
        "PROJ-1",
        "GH-1",
        "- x",
        "1. x",
        "h1. x",
        "bq. x",
    ),
    *(
        "*x*",
        "`x`",
        "@x@",
        "{{{x}}}",
        "{{x}}",
        "[x](http://evil.example/)",
        "+x+",
        "~~x~~",
    ),
    *(
        "WikiStart",
        "ticket:1",
        "log:x",
        "#1",
        "--- x",
        "== x ==",
        "x--y",
        "a -b c- d",
        "\u00c4pfel\u00d6l",
    ),
    *(
        "feature/CamelCase-1",
        "v1.2.3",
        "x''y",
        "' '' ''' x",
        "it's",
        "2x2",
        "p. x",
        "J. R. Doe",
    ),
    *(
        "fn1. x",
        "-",
        "--",
        "'",
        "a/b",
        "x:y",
        "Zo\u00eb O\u2019Neill-J\u00f8rgensen",
        "notextile. x",
    ),
)
TEMPLATES = (
    TEMPLATE,
    "${author}\n${message}",
    "by ${author} on ${branch}: ${message} (${remark})",
)


def hostile_comments(flavour: str) -> list[str]:
    """Comments of commits whose message, author and branch are as hostile as it gets,
    the same in each run.
    """
    chance = random.Random(15)
    comments = []
    for number in range(400):
        lines = [chance.choice(LINES + EVIL) for _ in range(chance.randint(1, 8))]
        name = NAMES[number % len(NAMES)] if number < 2 * len(NAMES) else ""
        author = name or " ".join(chance.choice(NAMES) for _ in range(2))
        entry = commit("\n".join(lines), author=author, branch=chance.choice(NAMES))
        task = Task(Issue("", "1", "#1"), entry, "close", 0, "")
        parts = make_parts(task, payload(entry), chance.choice(TEMPLATES))
        comments.append(make_comment(parts, task, FLAVOURS[flavour], "0" * 32).text)
    return comments


def parsed(parser: str, texts: list[str]) -> list[str]:
    if parser == "itself":
        return texts
    if not parser.startswith("markdown-it"):
        return rendered(parser, texts)
    made: Any = markdown_it.MarkdownIt("commonmark", {"html": True, "linkify": False})
    made.enable(["table", "strikethrough"])
    return [made.render(text) for text in texts]


@pytest.mark.parametrize(
    "parser",
    [
        pytest.param(
            name,
            marks=[]
            if name.startswith(("markdown-it", "itself"))
            else pytest.mark.server,
            id=name,
        )
        for name in PARSERS
    ],
)
def test_nothing_of_a_commit_leaves_the_quote_or_acts(parser: str) -> None:
    comments = hostile_comments(PARSERS[parser])
    for comment, html in zip(comments, parsed(parser, comments), strict=True):
        page = Page(html)
        about = f"{comment}\n\n{html}"
        assert set(page.elements) <= {"p", "br", "a", "blockquote", "div", "span"}, (
            about
        )
        assert "Zq" not in page.outside, about
        assert page.inside.count("Zq") == comment.count("Zq"), about
        ours = "https://git.example.org/octo/hello/commit/"
        assert all(link.startswith(ours) for link in page.links), about
