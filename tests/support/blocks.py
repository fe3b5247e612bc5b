"""The commands that a page tells its reader to type: its fenced `sh` blocks. Other
fences only show something.
"""

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
_HEADING_OR_BLOCK = re.compile(
    r"(?m)^(?P<level>#+) (?P<title>.*)$|^```(?P<kind>\w*)\n(?P<text>[\s\S]*?)^```$"
)


class Block(NamedTuple):
    """One fenced block; *section* is the heading above it."""

    page: str
    section: str
    kind: str
    text: str


def blocks(page: str, section: str = "") -> list[Block]:
    """The blocks of `docs/PAGE`, in order; of one section alone where it is named.
    Fails where there are none.
    """
    found, title = [], ""
    for match in _HEADING_OR_BLOCK.finditer((DOCS / page).read_text()):
        if match["level"]:
            title = match["title"]
        elif section in ("", title):
            found.append(Block(page, title, match["kind"], match["text"]))
    assert found or not section, f"docs/{page} has no commands under {section!r}"
    return found


def commands(page: str, section: str = "") -> list[str]:
    """The scripts of the `sh` blocks."""
    return [block.text for block in blocks(page, section) if block.kind == "sh"]
