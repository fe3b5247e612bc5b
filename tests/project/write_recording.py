"""Writes the recording of the demonstration: `python -m tests.project.write_recording`.

It runs `oberonc demo` and writes what came as an SVG whose lines appear one after the
other, once; where nothing moves, all of it is there at once.
"""

import os
import re
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parents[2] / "docs" / "demo.svg"
#: Pixels of a character and of a line, and around the text.
_CHARACTER, _LINE, _AROUND = 7.83, 18, 16
#: The longest line, in characters.
_WIDE: Final = 96
#: Seconds until the line after one that begins so.
_PAUSES: Final = {"# ": 0.6, "$ ": 0.9}
_STYLE: Final = """\
text { font: 13px ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace; fill: #e6edf3; white-space: pre }
.c { fill: #8b949e } .d { font-weight: bold } .r { fill: #7ee787 }
@media (prefers-reduced-motion: no-preference) { text { animation: a .01s backwards } }
@keyframes a { from { opacity: 0 } to { opacity: 1 } }"""


def demonstration() -> str:
    """What `oberonc demo` prints in an empty home, without names of this machine."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "oberonc", "demo"],
            env={"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        )
    said = re.sub(r"\S+/oberonc-demo-\w+/", "", done.stdout.strip())
    return re.sub(r", from \S+ \(uid \d+\)", "", said)


def masked(text: str) -> str:
    """*text* without what is another each time: ids, times and durations."""
    times = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z|\d+\sms", "T", text)
    return re.sub(
        r"\b(?=\w*\d)[0-9a-f]{8,40}\b|\b[a-f]{8,40}\b|delay:[\d.]+", "X", times
    )


def picture(said: str) -> str:
    """The SVG of *said*."""
    lines = said.splitlines()
    width = round(_WIDE * _CHARACTER) + 2 * _AROUND
    height = len(lines) * _LINE + 2 * _AROUND
    rows, when = [], 0.0
    for number, line in enumerate(lines):
        kind = {"# ": "c", "$ ": "d", "re": "r"}.get(line[:2], "")
        cut = line if len(line) <= _WIDE else line[: _WIDE - 1] + "…"
        # Renderers differ in what they make of blanks; not of these.
        shown = escape(cut.replace(" ", "\u00a0"))
        if shown:
            rows.append(
                f'<text x="{_AROUND}" y="{_AROUND + number * _LINE + 13}" class="{kind}"'
                f' style="animation-delay:{when:.1f}s">{shown}</text>'
            )
        when += _PAUSES.get(line[:2], 0.1)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        ' aria-label="oberonc demo: two commits are pushed, one issue is closed, one gets a comment">'
    )
    frame = f'<rect width="{width}" height="{height}" rx="6" fill="#0d1117"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", frame, *rows, "</svg>", ""])


if __name__ == "__main__":
    FILE.write_text(picture(demonstration()))
