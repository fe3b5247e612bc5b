"""Where a hook was run, and whether it has anything to tell. It loads no more than that
needs: what comes after is loaded while git is at work.
"""

from __future__ import annotations

import os

from oberonc.errors import UsageError
from oberonc.paths import absolute
from oberonc.source.git import Git
from oberonc.text import one_line

#: Tells of pushes from here; see `oberonc.source.pushed`.
PUSHED = "reference-transaction"
#: The hooks that oberonc has something to do in; whoever installs them reads it here.
HOOKS = (
    "post-receive",
    "post-commit",
    "post-merge",
    "post-rewrite",
    "post-applypatch",
    PUSHED,
)


def open_repository(name: str) -> Git | None:
    """The repository that git runs its hook *name* in; None where that has nothing to
    tell.

    Raises UsageError for a hook oberonc has no business in, and in quarantine, where
    the push may still be refused.
    """
    if os.environ.get("GIT_QUARANTINE_PATH"):
        raise UsageError(
            f"run from {name} before the push is accepted; install it as post-receive:"
            " oberonc hook install"
        )
    if name not in HOOKS:
        raise UsageError(
            f"there is nothing to do in {one_line(name, 40)}; it serves"
            f" {', '.join(HOOKS)}"
        )
    # GIT_DIR is relative in post-receive ("."), and unset in post-commit.
    named = os.environ.get("GIT_DIR")
    git_dir = absolute(named) if named else _here()
    if name in ("post-commit", "post-applypatch"):
        # Git runs them for every commit a rebase writes; post-rewrite tells of these
        # once, at its end. The folder rebase-apply is also there while `git am` applies
        # mails.
        applying = f"{git_dir}/rebase-apply"
        if os.path.isdir(f"{git_dir}/rebase-merge") or (
            os.path.isdir(applying) and not os.path.exists(f"{applying}/applying")
        ):
            return None
    return Git(git_dir)


def _here() -> str:
    from oberonc.source import repository  # git tells where a push is received

    return repository.find_git_dir()
