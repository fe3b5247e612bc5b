"""What people say around a number: half a fix, an undone one, doubt, plans; and what
only looks like it.

Each kind has a table of what must change no state, and one of its neighbours, which
mean the close.
"""

import pytest

from oberonc.grammar.message import find_references, scan
from oberonc.grammar.words import words_for
from tests.grammar.brief import brief

CHANGING = {"close", "reopen", "wontfix", "invalid", "duplicate"}


def actions(text: str, kind: str = "local") -> set[str]:
    """What *text* asks for, without regard to which issue."""
    return {reference.action for reference in find_references(text, words_for(kind))}


HALF = [
    "Fix #31 (partial): catch new cases",
    "Closes #32 partially",
    "Closes #32 in part",
    "Fixes #12 (part 1/3)",
    "Fixes #12 (part 1 of 3)",
    "Fixes #12, part 1",
    "Fix #12 - part 2",
    "Partially: fixes #12",
    "Partial: fix #12",
    "(partial) fix #12",
    "[partial] fixes #12",
    "Fixes #12 [partial]",
    "Fixes #12 (partially)",
    "Fixes #12 (partly).",
    "fixes #12 only partially",
    "fixes #12, but only partially",
    "Fixes #12 (incomplete)",
    "fixes #12 (not completely)",
    "fixes #12, but not completely",
    "mostly fixes #12",
    "almost closes #12",
    "Fixes #12 (WIP)",
    "**Fixes #12** (partially)",
    "Fixes #12 (1/2)",
    "part 1: fixes #12",
    "Fixes: #12 (partial)",
    "Fixes #1 and #2 partially",
    "FIXES #12 PARTIALLY",
    "fixes #12 (first part)",
    "Closes #12 – partially",
    "Fixes #12 (partial fix)",
    "closes #12 to some extent",
    "fixes issue #12 (partially)",
    "Resolves #9 for the most part",
]

WHOLE = [
    "Fix issue #1076 - Partial issue refresh after closing via commit",
    "Fix issue #760 - Partial of wrapped text in markdown input",
    "Fix issue #1339 - Part of string is matched",
    "Fixes #12 (partial refresh of page)",
    "Fix #12: partial refresh",
    "Fixes #12 in part of the code",
    "fixes #12, party time",
    "Fix partial render, closes #12",
    "Partial render fixed, closes #12",
    "Closes #12 (half-width digits)",
    "Fixes #12 (apart from docs)",
    "Fix #12: almost no output",
    "Closes #12 completely",
    "fixes #12 fully",
    "fixes #12 once and for all",
    "Fix #12 step by step",
]

UNDONE = [
    "undo CL 7241\n\n««« original CL description\nfix crash\n\nFixes #12.\n»»»",
    "Backed out changeset 1234 (fixes #12)",
    "Backed out changeset 1a2b3c4d5e6f (fixes #12) for bustage",
    "Rollback fix #12",
    "Roll back fix #12",
    "rolled back fix #12",
    "Drop the hunk that fixes #12",
    "Remove the code which closes #12",
    "Undo fix #12",
    "undo: fixes #12",
    "Rollback: fix #12",
    'Rollback "fixes #12"',
    'Undo "fix #12"',
    "Revert 1234567 (fixes #12)",
    "Revert commit 1234567: fixes #12",
    "Revert r1234: closes #12",
    "Back out fix #12",
    "backout changeset deadbeef12 (closes #12)",
    "Take out the hunk that fixes #12",
    "Disable the code that fixes #12",
    'Reverting "fixes #12"',
    "Reverted: fixes #12",
    "revert!: fixes #12",
    'Revert "x"\n\nOriginal commit message:\n\n  Fix y. Fixes #12.',
    "Undo the patch that fixed #12",
    "Delete the workaround that fixes #12",
    "This reverts the change that fixes #12",
    "Get rid of the hack that fixes #12",
]

DONE = [
    'Revert "x"\n\nFixes #12',
    "Backed out changeset 1234, fixes #12",
    "Remove stale file to fix #12",
    "Drop support for X, fixes #12",
    "Undo manager: fixes #12",
    "Remove the check, which fixes #12",
    "undo CL 7241\n\n««« original CL description\nfoo\n»»»\nFixes #12.",
    "Fix rollback (fixes #12)",
    "Implement undo, closes #12",
    "Rollback on error, fixes #12",
    "Fix the original CL description, closes #12",
    "Cherry-pick\n\nOriginal commit message:\n\nFixes #12",
    "Revert 1234567. Fixes #12",
    "Add undo. Fixes #12",
    "Drop table when empty; closes #12",
]

DOUBTED = [
    "I don't think this fixes #12",
    "I doubt this fixes #12",
    "TODO: fix #12",
    "still have to fix #12",
    "blocked until upstream fixes #12",
    "prerequisite to fix #12",
    "Does this fix #12?",
    "if this fixes #12, close it",
    "Closing #12 was a mistake",
    "Users can close #12 by hand",
    "wasn't needed to resolve #9",
    "isn't a good way to fix #9",
    "makes fixing #9 harder",
    "was added in #1 to fix #2",
    "allows to implement #7",
    "progress to fix #7",
    "- [ ] fix #5",
    "~Fix #9~",
    "~~fix #9~~",
    "I do not believe that this commit really fixes #12",
    "I'm not sure this fixes #12",
    "Not sure if this fixes #12",
    "unsure whether this closes #12",
    "I am not convinced this fixes #12",
    "don't know if it fixes #12",
    "no idea whether it fixes #12",
    "doubtful that this fixes #12",
    "TODO fix #12",
    "FIXME: close #12",
    "Todo: fixes #12",
    "@todo fix #12",
    "TODO:\n- fix #12\n- close #13",
    "## TODO\n\n- fix #12\n- close #13",
    "Add foo. TODO: fix #12",
    "Add foo (TODO: fix #12)",
    "[WIP] fix #12",
    "WIP: fixes #12",
    "* [ ] closes #5",
    "1. [ ] fix #5",
    "☐ fix #5",
    "we still need to fix #12",
    "have yet to fix #12",
    "has yet to be fixed: #12",
    "needs to be fixed: #12",
    "yet to fix #12",
    "waiting for upstream to fix #12",
    "until mozilla fixes #12",
    "unless someone fixes #12",
    "once upstream fixes #12 we can drop it",
    "when upstream fixes #12",
    "preparation to fix #12",
    "Preparing to fix #12",
    "groundwork to fix #12",
    "necessary to fix #12",
    "a first step to fix #12",
    "helps to fix #12",
    "help fix #12",
    "makes it possible to fix #12",
    "makes it easier to close #12",
    "allows us to fix #12",
    "how to fix #12",
    "Can this close #12?",
    "Fixes #12?",
    "Would this fix #12",
    "Should we close #12",
    "did this fix #12?",
    "Maybe this fixes #12 too?",
    "Closing #12 is wrong",
    "Closing #1 and #2 was a mistake",
    "Fixing #9 requires a rewrite",
    "closed #12 by mistake",
    "accidentally closed #12",
    "Anyone can close #12",
    "You can close #12 manually",
    "someone should fix #12",
    "Upstream fixed #12",
    "they closed #12",
    "should have fixed #12",
    "would have closed #12",
    "was supposed to fix #12",
    "was meant to fix #12",
    "was added in 1234567 to fix #2",
    "introduced in #1 to fix #2",
    "Fix #12 later",
    "will fix #12 in a follow-up",
    "closes #12 in a separate commit",
    "fix #12 next week",
    "will not close or fix #9",
    "neither fixes nor closes #9",
    "nobody fixes #12",
    "hardly fixes #12",
    "Claims to fix #12",
    "claim to have fixed #12",
    "crash when trying to close #12",
    "trying to open T9",
    "consider closing #12",
    "requires fixing #12",
    "it was not meant to close #12",
    "it doesn’t look like this fixes #12",
    "This couldn't fix #12",
    "shouldn't close #12",
    "<del>fix #9</del>",
    "Fix #12 was wrong",
    "Fix #12 broke the build",
    "TODO(kim): fix #12",
    "Not yet: fix #12",
    "Next steps: fix #12",
    "what would fix #12",
    "Describe how this fixes #12",
    "before we fix #12",
    "after we fixed #12",
    "if you want to fix #12",
    "we want to fix #12",
    "planning to fix #12",
    "ask Kim to fix #12",
    "Fixes #12 (?)",
    "I can't say this fixes #12",
    "Kim thinks this does not fix #12",
    "not sure that it really fixes #12",
]

MEANT = [
    "this should fix #1",
    "hopefully closes #1",
    "will fix #1",
    "I think this fixes #1",
    "I hope this fixes #1",
    "may fix #1",
    "might have fixed #1",
    "Probably fixes #12",
    "seems to fix #12",
    "appears to fix #12",
    "This ought to fix #12",
    "try to fix #12",
    "Attempt to fix #12",
    "this tries to fix #12",
    "I believe this fixes #12",
    "this is expected to fix #12",
    "in order to fix #12",
    "Use a lock to fix #12",
    "Refactor parser to fix #12",
    "we fixed #12",
    "I have fixed #12",
    "it finally fixes #12",
    "This commit fixes #12",
    "this PR will close #12",
    "- [x] fix #5",
    "- fix #5",
    "* [X] closes #5",
    "☑ fix #5",
    "fix TODO, closes #12",
    "Remove TODO: fixes #12",
    "feat(todo): fix #12",
    "todo-list: fix #12",
    "~5 files changed, fixes #9 ~",
    "~/bin: fixes #9",
    "Fixing #9",
    "Closing #12",
    "Fixes #12: why does it crash?",
    "Fix issue #988 - Excluding dependencies from Contributions?",
    "Check if file exists, fixes #12",
    "Don't crash if empty, fixes #12",
    "Fix crash when opening file fixes #12",
    "Do not wait until timeout, fixes #12",
    "Add users, fixes #12",
    "Show error to user fixes #12",
    "Allow users to upload, closes #12",
    "Allow to close window. Fixes #12",
    "Needed a lock. Fixes #12",
    "Fix #12: users can close it by hand",
    "Fix how to close (fixes #12)",
    "Prepare release, closes #12",
    "Fixing #12 by locking",
    "fix #12 (later versions too)",
    "Fix issue #12 - Later builds are not shown",
    "Fix issue #12 - Manually added users vanish",
    "Add next steps, closes #12",
    "which fixes #12",
    "and therefore closes #12",
    "now really fixes #12",
    "Please close #12",
    "let's fix #12",
    "could fix #12",
    "This hopefully will fix #12",
    "Does not crash, fixes #12",
    "Is fixed: #12",
    "fixes #12!",
    "Fixes #12. Is that ok?",
    "(should fix #12)",
    "So this fixes #12",
    "Fix #12: is empty",
    "Should fix #12",
    "Will fix #12",
    "May close #12",
    "needed: fixes #12",
    "Fixes #12 once and for all",
    "to close #12",
    "Enable by default to fix #12",
    "We can now close #12",
]

ENDED = [
    "the tab is closed.\n#12 next",
    "The door was finally closed\n#3 (Ann)",
    "are all resolved\n#12",
    "Tests completed\n#12",
    "it's now fixed\n#33 is next",
    "Login fixed\n#5 Logout",
    "Bug is fixed\n#12",
    "Crash when file is closed\n#12",
    "Crash on close\n#12",
    "Improve fix\n#12",
    "after close\n#12",
    "A complete\n#12",
    "doors get closed\n#1",
    "The issue has been closed\n#12",
    "Everything was fixed\n#12 reopened",
    "The window is closed\n#33 (Kim) asks for a door.",
    "all tabs are closed\n#12",
    "The work is complete\n#12",
    "various fixes\n#12",
    "The door stays closed\n#12",
    "window closed\n#12",
    "Kept it closed\n#12 asks",
    "too close\n#12",
    "Nothing is resolved\n#12",
    "bug fixes\n#12",
    "is closing\n#12",
    "All done and closed\n#12",
]

GOES_ON = [
    "fixes\n#12",
    "This change\nfixes\n#12",
    "this commit finally fixes\n#12",
    "which closes\n#12",
    "Fixed\n#12",
    "I have fixed\n#12",
    "closed:\n#12",
    "The window is closed:\n#12",
    "should fix\n#12",
    "to close\n#12",
    "also resolves\nissue #12",
    "by fixing\n#12",
]

MISREAD = [
    "/closes #9",
    "/Fixes: #9",
    "- /fix #9",
    "Closes/Fixes #9",
    "Fix / close #9",
    "Fixes or closes #9",
    "fix/resolve issue #9",
    "fixed or not, fixes #9",
    "whether closed or not fixes #9",
    "MR for fix #9",
    "commit for fix #9",
    "Patches for fix #9",
    "Pull request for fix #9",
    "The `foo call crashed, fixes #9",
    "it can`t work, fixes #9 with `x`",
    'She said "hello, fixes #9',
    '6" pipe and 7" pipe, fixes #9',
    '"a" and "b" and "c, fixes #9',
    "the parents' rule, fixes #9",
    "l'ordre, fixes #9, d'accord",
    "fixes #9#.",
    "fixes #9# (foo)",
    "`a` b` c, fixes #9",
    "Fixes: **#9**",
    "**Fix**: #9",
    "**FIXES** #9",
    "> quote\nfixes #9",
    "Merge feature x\n\nFixes #9",
    "Merge: closes #9",
    "Merged: fixes #9",
    "Merge pull request #7: Fix #9",
    "Merged in feature (pull request #7)\n\nfixes #9",
    "Merging x: closes #9",
    "Merge of x and y. Fixes #9",
    "Merge commit '1234567', fixes #9",
    "Merge branch 'a' into b (closes #9)",
    "Squash merge: fixes #9",
    "/fixes #9",
    "text\n/close #9",
    "Fixes/Closes/Resolves #9",
    "closed or not fixes #9",
    "PR for fix #9",
    "a ` stray, fixes #9 and `code` here",
    "don`t crash, fixes #9, see `foo`",
    'a 5" disk and "foo", fixes #9 on "bar"',
    'unbalanced " here, "x" y fixes #9 "z"',
    "fixes #9#",
    "fixes #9# and",
    "fixes/closes #9",
    "`foo is broken, fixes #9 and `bar`",
    "patch for fix #9",
    'it`s "ok, fixes #9',
]


#: The same kinds in other words.
SAID_OTHERWISE = [
    "Fix #31 (partly): x",
    "Fixes #4 (in part)",
    "Fix #4 - partially.",
    "fix #4 (partial implementation)",
    "Fix #4 (half of it)",
    "Closes #4 (only the first half)",
    "fixes #4 partially, see #5",
    "closes #4 (mostly)",
    "This only partially fixes #4",
    "It partially closes #4.",
    "Fix a part of #4",
    "fixes #4 (2 of 3)",
    "Fixes #4 [1/3]",
    "Fixes #4: part 2 of 3",
    "Fix #4 (incomplete fix)",
    "fixes #4 for the time being only partially",
    "Teilweise: fixes #4 partially",
    "fixes #4, at least partially",
    "Fixes #4 — partially",
    "Undo r1234: fixes #4",
    'Undo commit 1234567 ("fixes #4")',
    "Undoes fix #4",
    'unapply "fixes #4"',
    "This rolls back fix #4",
    'Rolled back "Fix #4"',
    "Revert [abc] Fix #4",
    "Back out r1234 (fix #4)",
    'back out "Fix #4"',
    "Backing out changeset 1234567 (fixes #4)",
    "Reverts 1234567 (fixes #4)",
    "Remove the workaround that closed #4",
    "delete the lines that fix #4",
    "drop the commit which fixed #4",
    "Kill the code that closes #4",
    "dropped the hunk that fixes #4",
    "I am not sure that this will fix #4",
    "We doubt that it fixes #4",
    "I don't believe this closes #4",
    "I do not think it really fixes #4",
    "it's unlikely that this fixes #4",
    "It is not clear whether this fixes #4",
    "Not convinced that this fixes #4",
    "Unsure this fixes #4",
    "hard to say if it fixes #4",
    "Let's see if this fixes #4",
    "To do: fix #4",
    "to-do: fix #4",
    "ToDo fix #4",
    "XXX: fix #4",
    "TBD: close #4",
    "Left to do: fix #4",
    "Still to do: fix #4",
    "still need to fix #4",
    "still needs to fix #4",
    "Still haven't fixed #4",
    "have still to fix #4",
    "blocked until someone fixes #4",
    "Blocked until libfoo closes #4",
    "on hold until the vendor fixes #4",
    "wait until upstream fixes #4",
    "requirement to fix #4",
    "needed to fix #4",
    "required to close #4",
    "prepares to fix #4",
    "first step to fix #4",
    "Lay the groundwork to fix #4",
    "Is #4 fixed?",
    "Has this fixed #4?",
    "Will this close #4?",
    "Doesn't this fix #4?",
    "Do we fix #4 with this?",
    "Isn't #3 enough to fix #4?",
    "When this fixes #4, close it",
    "Unless this closes #4",
    "If it fixes #4 we are done",
    "Whether this fixes #4 is unknown",
    "Closing #4 was wrong",
    "Closing #4 would be wrong",
    "Closing #4 has been a mistake",
    "Fixing #4 is hard",
    "Fixing #4 will take time",
    "Resolving #4 needs a new API",
    "Users may close #4 themselves",
    "Admins can close #4",
    "The user can close #4 by hand",
    "A maintainer should close #4",
    "Somebody has to fix #4",
    "Please let someone else fix #4",
    "weren't needed to fix #4",
    "isn't needed to fix #4",
    "not required to fix #4",
    "isn't the way to fix #4",
    "is no good way to fix #4",
    "is not the right place to fix #4",
    "makes closing #4 easier",
    "make fixing #4 possible",
    "made fixing #4 harder",
    "simplifies fixing #4",
    "was introduced in #3 to fix #4",
    "has been added in #3 to close #4",
    "allows to fix #4",
    "allow us to implement #4",
    "enables us to close #4",
    "lets us implement #4",
    "progress to close #4",
    "Progress towards fixing #4",
    "some progress to implement #4",
    "- [ ] closes #4",
    "* [ ] Fix #4",
    "+ [ ] fix #4",
    "~~fixes #4~~",
    "~closes #4~",
    "- ~~Fix #4~~",
    "<s>fix #4</s>",
    "trying to close #4",
    "tried to fix #4 but failed",
    "failing to fix #4",
    "did not manage to fix #4",
    "could not fix #4",
    "unable to resolve #4",
    "I wish this fixed #4",
    "This might have closed #4 by mistake",
    "mistakenly closes #4",
    "Wrongly closed #4",
    "I'm going to fix #4 later",
    "Will fix #4 soon",
    "fix #4 in the next release",
    "fix #4 in another PR",
    "close #4 tomorrow",
    "Never fix #4",
]

MEANT_OTHERWISE = [
    "Fix #4: Parts of the page vanish",
    "Fix #4 (parts of page vanish)",
    "Fixes #4, which was partially broken",
    "Fixes #4 for part-time users",
    "Closes #4 (partial matches are shown)",
    "Fix partially filled form, fixes #4",
    "Fixes partial reads (fixes #4)",
    "Revert to old parser, fixes #4",
    "Rollback transaction on error (fixes #4)",
    "Undo button, closes #4",
    "Backing store fixed, closes #4",
    "Fix the undo of moves: closes #4",
    "Drop Python 2. Closes #4",
    "Remove the hunk. This fixes #4",
    "Remove dead code; fixes #4",
    "This might fix #4",
    "Should close #4",
    "Could close #4",
    "Maybe fixes #4",
    "Hopefully this fixes #4",
    "I think it fixes #4",
    "I'm sure this fixes #4",
    "I am confident this fixes #4",
    "This will close #4",
    "Will close #4",
    "will be fixed by this: fixes #4",
    "Doubtless fixes #4",
    "No doubt, this fixes #4",
    "Without a doubt fixes #4",
    "It now fixes #4",
    "Finally fix #4",
    "Fix TODO handling, fixes #4",
    "Implement TODO list. Closes #4",
    "Closes #4 (TODO list was empty)",
    "Fix users page, fixes #4",
    "Let users log in (fixes #4)",
    "Users can log in again, fixes #4",
    "Users can log in again (closes #4)",
    "so that users can log in, closes #4",
    "Fixes #4, users can close it",
    "Closes #4 if x is empty",
    "Fixes #4 when the file is empty",
    "Fixes #4. Why? Because.",
    "Do you like it? Fixes #4",
    "What a day! Fixes #4",
    "If empty, return. Fixes #4",
    "Fix crash if closed, fixes #4",
    "To fix #4, use a lock",
    "To fix #4: use a lock",
    "In order to close #4",
    "Added a lock to fix #4",
    "Was broken in 1.2, fixes #4",
    "This was added in 1.2. Fixes #4",
    "changed in 1.2; to fix #4 use a lock",
    "Allow to zoom, fixes #4",
    "Make it easier to zoom, fixes #4",
    "Progress bar, closes #4",
    "Some progress. Fixes #4",
    "- [x] closes #4",
    "- [X] Fix #4",
    "* [x] fix #4",
    "[fix] closes #4",
    "[core] fix #4",
    "[ui] Fixes #4",
    "~/.bashrc is read, fixes #4",
    "approx ~ 5 s, fixes #4",
    "Try to fix #4",
    "An attempt to fix #4",
    "Another way: fixes #4",
    "Closes #4 by hand-written parser",
    "Fixes #4 manually entered dates",
    "Close #4",
    "close #4, manually tested",
    "fix #4, later versions too",
    "Closes #4 - Next week view",
    "Fix issue #4 - Soon expiring certificates",
    "fixing #4",
    "Fixing #4: was null",
    "This also fixes #4",
    "And fixes #4",
    "Also fixes #4",
    "While at it fix #4",
    "then fixes #4",
    "This fixed #4",
    "We've fixed #4",
    "Now fixes #4",
    "Not only does this fix #4",
    "Merge foo and fix #4",
    "It fixes #4 too",
    "fixes #4 too!",
    "This should finally fix #4",
    "Fixes #4 in release 1.2",
    "Fixes #4 in version 2",
    "Fixes #4 with a patch by Kim",
    "closes #4 with PR 5",
    "Fixes #4 in the patch",
    "Fixes #4 by change of x",
    "closes #4 with this commit",
    "Fixes #4 in branch x",
    "this one should fix #4",
    "That one will close #4",
    "Supposedly fixes #4",
    "Allegedly fixes #4",
    "Check rights before upload fixes #4",
    "Fixes #4 as follows",
    "Fixes #4 in a different way",
    "Fixes #4 by using another lock",
    "Fixes #4 with the other lock",
    "Closes #4 for now",
    "Fixes #4 in the next line",
    "Fixes #4 in one go",
    "Fixes #4 - see the next patch",
    "Fixes #4 (follow-up of abc)",
    "fix #4 follow up to r12",
    "Fixes #4, more tests",
    "Fixes #4 only on Windows",
    "Fixes #4 once more",
    "Fixes #4 again",
    "Fixes #4 (again)",
    "Fixes #4 for good",
    "Fixes #4 (thanks, Kim!)",
    "Fixes #4 half-open ranges",
    "Fixes #4: step 1 was skipped",
    "Fixes #4 / part of #5",
    "Fix #4 and part of #5",
    "Fixes: #4 Signed-off-by: x",
    "Fixes #4 / 1 and 2",
    "This is the one that fixes #4",
    "which also fully fixes #4",
    "This makes it fast and fixes #4",
    "needs no lock, fixes #4",
    "Add option to close window fixes #4",
    "Upgrade lib to fix #4",
]


@pytest.mark.parametrize("text", HALF)
def test_half_a_fix_closes_nothing(text: str) -> None:
    assert actions(text) == {"reference"}


@pytest.mark.parametrize(
    "text", [*WHOLE, *DONE, *MEANT, *GOES_ON, *MISREAD, *MEANT_OTHERWISE]
)
def test_what_only_looks_like_it_closes(text: str) -> None:
    assert "close" in actions(text)


@pytest.mark.parametrize("text", UNDONE)
def test_what_is_undone_closes_nothing(text: str) -> None:
    assert actions(text) == {"reference"}


@pytest.mark.parametrize("text", [*DOUBTED, *SAID_OTHERWISE])
def test_what_is_doubted_planned_or_told_of_changes_nothing(text: str) -> None:
    assert not actions(text) & CHANGING


@pytest.mark.parametrize(
    "text",
    [
        "trying to open T9",
        "allows users to open T9",
        "how to open T9",
        "may you open T9?",
    ],
)
def test_opening_is_guarded_as_closing_is(text: str) -> None:
    assert actions(text, "phabricator") == {"reference"}
    assert actions("opens T9", "phabricator") == {"reopen"}


@pytest.mark.parametrize("text", ENDED)
def test_a_sentence_that_ends_with_its_line_does_not_reach_into_the_next(
    text: str,
) -> None:
    assert actions(text) == {"mention"}


WRAPPED = [
    "fixes #1, #2\nand #3",
    "Closes issue #1\nand issue #2",
    "fixes #1,\n#2",
    "fixes #1 and\n#2",
    "fixes #1\n, #2",
    "fixes #1,\nand #2",
    "fixes #1\n  and #2",
    "closes #1, #2,\n and #3",
    "fixes #1\n& #2",
    "fixes #1\nand bug #2\nand #3",
    "Fixes owner/name#1\nand owner/name#2.",
]


@pytest.mark.parametrize("text", WRAPPED)
def test_a_list_may_be_wrapped_before_or_after_what_separates_its_items(
    text: str,
) -> None:
    for written in (text, text.replace("\n", "\r\n")):
        assert actions(written) == {"close"}


NOT_WRAPPED = [
    *(
        "fixes #1\n#2",
        "fixes #1\n\nand #2",
        "fixes #1\nand then #2",
        "fixes #1\nor #2",
        "fixes #1.\nand #2",
    ),
    *(
        "fixes #1\n- #2",
        "fixes #1\n+ #2",
        "fixes #1\nand #2 is still open",
        "fixes #1\nAnd #2 needs more",
    ),
]


@pytest.mark.parametrize("text", NOT_WRAPPED)
def test_a_new_line_alone_goes_on_with_no_list(text: str) -> None:
    assert brief(text) == "close #1; mention #2"


LEFT = [
    *(
        "#36 more on the way",
        "#36 to follow",
        "#36 still open",
        "#36: later",
        "#36 (pending)",
        "#36 needs more",
    ),
    *(
        "#36 is next",
        "#36 - todo",
        "#36 next week",
        "#36 in a follow-up",
        "#36 coming soon",
        "#36 will follow",
    ),
    *(
        "#36 describes the rest",
        "#36 also needs work",
        "#36 already closed",
        "#36 (still open)",
        "#36 separately",
    ),
]


@pytest.mark.parametrize("rest", LEFT)
def test_an_item_of_which_the_sentence_says_more_leaves_the_list(rest: str) -> None:
    assert brief(f"Fixed #35, {rest}") == "close #35; mention #36"


STAYED = [
    *(
        "#36 in the parser",
        "#36 too",
        "#36 as well",
        "#36 by locking",
        "#36.",
        "#36 (crash on start)",
        "#36 - crash",
    ),
    *(
        "#36 with one lock",
        "#36 when empty",
        "#36: moreover it is fast",
        "#36 (openly)",
    ),
]


@pytest.mark.parametrize("rest", STAYED)
def test_an_item_with_a_remark_stays_in_the_list(rest: str) -> None:
    assert brief(f"Fixed #35, {rest}") == "close #35; close #36"


NOT_MISREAD = [
    *(
        "does not fix/close #9",
        "a/fixes #9",
        "fixes #9#8",
        "fixes #9##",
        "fixes #9#a",
        '"it fixes #9"',
    ),
    *(
        "use `git fixes #9` here",
        "test for fix #9",
        "http://example.org/fixes #9",
        "closed or not closed? not fixes #9",
    ),
    *("see `foo` and `fixes #9`", 'it prints "x" and "fixes #9"'),
]


@pytest.mark.parametrize("text", NOT_MISREAD)
def test_what_is_rightly_refused(text: str) -> None:
    assert not actions(text) & CHANGING


BOLD = [
    *(
        "**Fixes** #12",
        "**Closes:** #12",
        "**Fixes**: #12",
        "__Fixes__ #12",
        "__Closes:__ #12",
        "*Fixes* #12",
    ),
    *(
        "_Fixes_ #12",
        "**Fixes #12**",
        "**Fixes:** **#12**",
        "Fixes **#12**",
        "***Fixes*** #12",
        "_Fixes #12_",
    ),
    *(
        "* **Fixes** #12",
        "**Closes:**\n* #12",
        "**Fixes issue** #12",
        "### **Closes** #12",
        "**Closes-Bug:** #12",
    ),
]


@pytest.mark.parametrize("text", BOLD)
def test_emphasis_around_a_verb_or_a_number_changes_nothing(text: str) -> None:
    assert brief(text) == "close #12"


NOT_BOLD = [
    *(
        "fixes * #12",
        "fixes*#12",
        "**Fixes** the #12",
        "**prefix** #12",
        "`**Fixes** #12`",
        "**fixes**#12",
    ),
    *(
        "**does not fix** #12",
        "**not** fixes #12",
        "** fixes ** #12",
        "fixes #12_x",
        "fixes #12_",
    ),
]


@pytest.mark.parametrize("text", NOT_BOLD)
def test_stars_that_emphasise_nothing_join_nothing(text: str) -> None:
    assert not actions(text) & CHANGING


def test_emphasised_lists_are_lists() -> None:
    assert brief("**Fixes:** #1, **#2** and *#3*") == "close #1; close #2; close #3"
    assert brief("**Fixes:**\n- #1\n- **#2**") == "close #1; close #2"


MERGES = {
    "Fix #1 by trusting it (#9)": "close #1; mention #9",
    "Merge: fix crash (fixes #3)": "close #3",
    "Merge branch 'x' closes #908": "close #908",
    "Merge branch 'x' into main, closes #908 (see #9)": "close #908; reference #9",
    "Merge of two lists loses #3, fixes #4": "mention #3; close #4",
    "Merge branch 'a' (fixes #1)": "close #1",
    "Merge pull request #7 from a/b: fixes #8, #9": "close #8; close #9",
    "Merge tag 'v1' fixes #2 (#3)": "close #2; mention #3",
    "Merge fixes #7 from x": "close #7",
    "Merge #12: fix #3": "close #3",
    "Merged PR 12: fixes #3": "close #3",
    "Merge branch 'fixes #7'": "",
    "Merge branches 'fixes #7' and 'closes #8'": "",
    "Merge pull request #7 from a/fixes-#8": "",
    'Merge "Fix #1" into main': "",
    "Merge pull requests #7 and #8": "",
    "Merge branch 'x' does not fix #3": "",
    "Merge branch 'x' (see #3)": "",
    "Merge remote-tracking branch 'origin/fix-#2' into main": "",
    "Auto merge of #12 - a:b, r=c": "",
    "Rollup merge of #12 - a:b, r=c": "",
}


@pytest.mark.parametrize(("text", "expected"), MERGES.items())
def test_of_a_merge_only_what_is_generated_is_dead(text: str, expected: str) -> None:
    assert brief(text) == expected
    assert brief(f"{text}\n\nfixes #99") == "; ".join(
        filter(None, [expected, "close #99"])
    )


WIDE = {
    "Fixes：#1": "close #1",
    "Fixes #1，#2、#3；#4": "close #1; close #2; close #3; close #4",
    "（fixes #1）": "close #1",
    "fixes ＃1。": "close #1",
    "fixes #1（partial）": "reference #1",
    "Does this fix #1？": "reference #1",
    "fixes #1？": "reference #1",
    "TODO：fix #1": "reference #1",
    "不要 #1，fixes #2": "mention #1; close #2",
}


@pytest.mark.parametrize(("text", "expected"), WIDE.items())
def test_punctuation_may_be_wide(text: str, expected: str) -> None:
    assert brief(text) == expected


YOUTRACK = words_for("youtrack", {"keys": ["PROJ"]})
HASHED_KEYS = {
    "fixes #PROJ-12": "close PROJ-12",
    "Fixes: #PROJ-12": "close PROJ-12",
    "fixes #PROJ-1, #PROJ-2 and #PROJ-3": "close PROJ-1; close PROJ-2; close PROJ-3",
    "(fixes #PROJ-12).": "close PROJ-12",
    "fixes **#PROJ-12**": "close PROJ-12",
    "does not fix #PROJ-12": "reference PROJ-12",
    "see #PROJ-12": "reference PROJ-12",
    "[#PROJ-12] x": "mention PROJ-12",
    "#PROJ-12 Done": "mention PROJ-12",
    "fixes #PROJ-12a #PROJ-0 #PROJ-12-3 #PROJ-12_ #NOPE-12 #proj-12 #PROJ": "",
    "x#PROJ-12 ##PROJ-12 .#PROJ-12 fixes#PROJ-12": "",
}


@pytest.mark.parametrize(("text", "expected"), HASHED_KEYS.items())
def test_a_key_may_have_a_hash(text: str, expected: str) -> None:
    assert brief(text, YOUTRACK) == expected


def test_a_key_with_a_hash_is_no_smart_command() -> None:
    words = words_for("youtrack", {"keys": ["PROJ"], "smart": ["comment"]})
    found = scan("#PROJ-1 #PROJ-2 #comment hello", words)
    assert [(each.action, each.issue, each.argument) for each in found.references] == [
        *(("comment", "1", "hello"), ("comment", "2", "hello"))
    ]
    assert found.warnings == []


DEBIAN = {
    "Closes: 771234": "close #771234",
    "closes: #771234, 771235": "close #771234; close #771235",
    "Closes: bug771234": "close #771234",
    "  * New release. (Closes: 771234, 771235)": "close #771234; close #771235",
    "Closes: bug#771234, bug 771235": "close #771234; close #771235",
    "closes: Bug#1234, Bug#1235": "close #1234; close #1235",
    "Closes:771234": "close #771234",
    "closes:\n  771234": "close #771234",
    "Closes: # 771234": "close #771234",
    "Closes: 771234 and 771235": "close #771234; close #771235",
    "CLOSES: BUG771234": "close #771234",
    "does not Closes: 771234": "reference #771234",
    "closes 771234": "",
    "Fixes: 771234": "",
    "Closes: 3 bugs": "",
    "Closes: 1.2.3": "",
    "Closes: 2024-01-02": "",
    "see 771234": "",
    "Encloses: 771234": "",
    "Closes: x86_64": "",
}


@pytest.mark.parametrize(("text", "expected"), DEBIAN.items())
def test_debians_closes_needs_no_hash(text: str, expected: str) -> None:
    assert brief(text, words_for("debian")) == expected
    if (
        expected.startswith("close #771234")
        and "ug" not in text.lower()
        and "#" not in text
    ):
        assert "close" not in brief(text)
