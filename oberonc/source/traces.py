"""What rebase, cherry-pick, `git am` and backports leave in a commit message: the change
stays the same without it.
"""

import re

#: How `git cherry-pick -x` and those who backport name the commit a change comes from.
_PICKED = re.compile(
    r"^[ \t]*\((?:cherry picked|backported) from commit ([0-9a-f]{40}(?:[0-9a-f]{24})?)\b",
    re.M,
)
#: What cherry-pick and backports add.
_ADDED_LINES = re.compile(
    r"""^(
    [([]?\ *(cherry[ -]?picked|back-?ported|backport\ of|upstream)\b.*\b[0-9a-f]{7,64}\b.* |
    commit\ [0-9a-f]{7,64}\ upstream\W*
    )$""",
    re.IGNORECASE | re.VERBOSE,
)
#: `[name: what I changed]`, also over several lines; the list of conflicts up to a
#: blank line; Mercurial's own lines.
_NOTES = re.compile(r"(?<=\n)\[[^\[\]\n]{1,80}: [^\[\]]*\][ \t]*$", re.MULTILINE)
_CONFLICTS = re.compile(
    r"(?<=\n)#?[ \t]*conflicts\b[^\n]*:[ \t]*$(?:\n[ \t]*\S[^\n]*)*",
    re.IGNORECASE | re.MULTILINE,
)
_MERCURIAL = re.compile(r"^--HG--[ \t]*$", re.MULTILINE)
#: `[PATCH 1/2]`, `[8.2.x]`: `git am` takes it off.
_PREFIX = re.compile(r"\s*(?:\[[^\[\]\n]{1,80}\]\s*)+(?=\S)")


def picked(message: str) -> list[str]:
    """The commits that *message* says its change was picked from."""
    return _PICKED.findall(message)


def removed(text: str) -> str:
    """*text*, whose lines end in newlines, without these traces."""
    text = _MERCURIAL.split(text, maxsplit=1)[0]
    if "[" in text or "onflicts" in text:
        text = _PREFIX.sub("", _CONFLICTS.sub("", _NOTES.sub("", text)), count=1)
    lines = text.splitlines()
    return "\n".join(line for line in lines if not _ADDED_LINES.match(line.rstrip()))
