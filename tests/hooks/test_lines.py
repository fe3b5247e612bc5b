"""What is shown for the configuration of a hook manager fits what stands there; the
forms that no tool of ours is run with. The others: test_managers.
"""

from pathlib import Path

import pytest

from oberonc.admin.install.lines import added

OWN = "PostCommit:\n    Own: # ours\n        enabled: true\n"


@pytest.mark.parametrize(
    ("name", "file", "there", "where", "begins"),
    [
        (
            "overcommit",
            ".overcommit.yml",
            OWN,
            ', below "PostCommit:"',
            "    Oberonc:\n",
        ),
        ("overcommit", ".overcommit.yml", "", "", "PostCommit:\n  Oberonc:\n"),
        (
            "lefthook",
            "lefthook.yml",
            "",
            "",
            "post-commit:\n  commands:\n    oberonc:\n",
        ),
        (
            "lefthook",
            "lefthook.json",
            '{"post-commit": {"jobs": []}}',
            ', in "post-commit"',
            '"commands": {"oberonc": {"run": ',
        ),
        (
            "simple-git-hooks",
            ".simple-git-hooks.cjs",
            'module.exports = {"post-commit": "echo own"}',
            ', joined to the "post-commit" that is there',
            '"post-commit": "if ',
        ),
        (
            "simple-git-hooks",
            "package.json",
            '{"scripts": {"post-commit": "x"}, "simple-git-hooks": {}}',
            ', in "simple-git-hooks"',
            '"post-commit": "if ',
        ),
        (
            "husky 4",
            "package.json",
            '{"husky": {"hooks": {"post-commit": "echo own"}}}',
            ', in "hooks" of "husky", instead of the "post-commit" that is there',
            '"post-commit": "echo own; if ',
        ),
        (
            "pre-commit",
            ".pre-commit-config.yaml",
            "repos:\n# no list yet\nci: {}\n",
            ', below "repos:"',
            "  - repo: local\n",
        ),
        ("pre-commit", ".pre-commit-config.yaml", "", "", "repos:\n  - repo: local\n"),
    ],
)
def test_lines_fit_what_stands_there(
    name: str, file: str, there: str, where: str, begins: str
) -> None:
    found = added(name, "post-commit", Path(file), there)
    assert found.where == where
    assert found.text.startswith(begins)
