"""A merge's own message: the push, `send --dry-run`, `parse` and `parse --log` say the
same of it.
"""

from pathlib import Path

import pytest

from oberonc.issues.embedded import IssueFile
from tests.support.command import Command
from tests.support.repo import Repo

CLOSES = {
    "a pull request's title": "Fix #1 by trusting it (#9)",
    "a title after the word": "Merge: fix crash (fixes #1)",
    "a verb after the branch": "Merge branch 'side' closes #1",
    "the body": "Merge branch 'side'\n\nCloses #1",
    "a trailer": "Merge pull request #9 from ann/side\n\nMend the cart\n\nFixes: #1",
    "a plain title": "Mend the cart, fixes #1",
}
LEAVES = {
    "a branch of git's": "Merge branch 'fixes-#1'",
    "a branch and where it goes": "Merge branch 'fix/#1' into main",
    "a pull request of GitHub's": "Merge pull request #1 from ann/fixes-1",
    "a branch of another repository": "Merge remote-tracking branch 'origin/fix-#1'",
    "a pull request of Bitbucket's": "Merged in ann/side (pull request #1)",
    "a tag": "Merge tag 'v#1'",
    "a merge request of GitLab's": "Merge branch 'side' into 'main'\n\nMend the cart\n\nSee merge request web/shop!1",
}


@pytest.mark.parametrize(
    ("message", "closes"),
    [
        *((text, True) for text in CLOSES.values()),
        *((text, False) for text in LEAVES.values()),
    ],
    ids=[*CLOSES, *LEAVES],
)
def test_all_say_the_same_of_a_merge(
    bare: Repo,
    oberonc: Command,
    tmp_path: Path,
    state: Path,
    message: str,
    closes: bool,
    patient: None,
) -> None:
    tracker = IssueFile(state)
    tracker.new("shop", "issue")
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    work.git("checkout", "-q", "-b", "side")
    work.commit("work", "side.txt")
    work.git("checkout", "-q", "main")
    work.push("main")
    work.git("merge", "-q", "--no-ff", "--cleanup=verbatim", "-m", message, "side")
    work.push("main")
    parsed = oberonc("parse", "--rev", "HEAD", "--json", cwd=work.path).json
    summed = oberonc("parse", "--log", "HEAD~1..HEAD", "--json", cwd=work.path).json[
        "actions"
    ]
    planned = oberonc(
        "send", "--rev", "HEAD", "--dry-run", "--json", cwd=work.path
    ).json["services"]["issues"]["plan"]
    assert (tracker.state("shop", 1) == "closed") is closes
    assert (
        any(found["action"] == "close" and found["issue"] == "1" for found in parsed)
        is closes
    )
    assert ("close" in summed) is closes
    assert any(line.startswith("close #1") for line in planned) is closes
