"""Beside tools that write hook files anew whenever they run: theirs and ours both run,
and `hook status` knows. The real tools.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oberonc.admin.install.script import read_ours
from tests.support.command import Command
from tests.support.repo import Repo
from tests.support.trackers.servers import SERVERS, need

MANAGERS = SERVERS / "managers"
OWN = "echo own >> .git/own"
PRE_COMMIT = (
    "repos:\n  - repo: local\n    hooks:\n      - {id: own, name: own, "
    f"entry: sh -c '{OWN}', language: system, stages: [post-commit], always_run: true}}\n"
)
#: Of each tool: its configuration, with a post-commit of the user's own, and the
#: command that installs its hooks.
TOOLS = {
    "husky": (
        {".husky/post-commit": f"{OWN}\n"},
        f"node {MANAGERS}/node_modules/husky/bin.js",
    ),
    "lefthook": (
        {"lefthook.yml": f"post-commit:\n  jobs:\n    - run: {OWN}\n"},
        "lefthook install",
    ),
    "lefthook of commands": (
        {
            "lefthook.yml": f"# ours\npost-commit:\n    commands:\n        own:\n            run: {OWN}\n"
        },
        "lefthook install",
    ),
    "lefthook in TOML": (
        {"lefthook.toml": f'[post-commit.commands.own]\nrun = "{OWN}"\n'},
        "lefthook install",
    ),
    "lefthook in JSON": (
        {
            "lefthook.json": '{"post-commit": {"commands": {"own": {"run": "'
            + OWN
            + '"}}}}'
        },
        "lefthook install",
    ),
    "simple-git-hooks": (
        {"package.json": '{"simple-git-hooks": {\n"post-commit": "' + OWN + '"\n}}'},
        "simple-git-hooks",
    ),
    "pre-commit": (
        {".pre-commit-config.yaml": PRE_COMMIT},
        "pre-commit install -t post-commit",
    ),
    # As `pre-commit sample-config` writes it: the list is not indented.
    "pre-commit's sample": (
        {".pre-commit-config.yaml": PRE_COMMIT.replace("\n  ", "\n")},
        "pre-commit install -t post-commit",
    ),
    "pre-commit elsewhere": (
        {"of ours/hooks.yaml": PRE_COMMIT},
        "pre-commit install -t post-commit -c 'of ours/hooks.yaml'",
    ),
    "prek": ({".pre-commit-config.yaml": PRE_COMMIT}, "prek install -t post-commit"),
    "prek in TOML": (
        {
            "prek.toml": '[[repos]]\nrepo = "local"\n\n[[repos.hooks]]\nid = "own"\nname = "own"\n'
            f'entry = "sh -c \'{OWN}\'"\nlanguage = "system"\nstages = ["post-commit"]\nalways_run = true\n'
        },
        "prek install -t post-commit",
    ),
    # Its hooks are programs that git itself runs.
    "husky 8": (
        {".husky/post-commit": f"#!/bin/sh\n{OWN}\n"},
        f"node {MANAGERS}/node_modules/husky8/lib/bin.js install",
    ),
}
pytestmark = [pytest.mark.server, pytest.mark.usefixtures("patient")]
#: Of these each has only another form of its configuration than one above.
FORMS = [
    "lefthook of commands",
    "lefthook in TOML",
    "lefthook in JSON",
    "pre-commit's sample",
    "pre-commit elsewhere",
    "prek in TOML",
]


class Site:
    """A repository whose hooks *tool* manages, and a PATH that has it and oberonc."""

    def __init__(self, repo: Repo, tool: str, bin_dir: Path) -> None:
        self.repo = repo
        self.config, self.again = TOOLS[tool]
        bin_dir.mkdir()
        (bin_dir / "oberonc").write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I -m oberonc "$@"\n'
        )
        (bin_dir / "oberonc").chmod(0o755)
        places = (
            bin_dir,
            MANAGERS / "node_modules" / ".bin",
            MANAGERS / "venv" / "bin",
        )
        self.path = ":".join([*map(str, places), os.environ["PATH"]])

    def run(self, line: str) -> str:
        """Run *line* in the repository, as people do."""
        return self.repo.sh(line, PATH=self.path, SKIP_INSTALL_SIMPLE_GIT_HOOKS="")

    def set_up(self) -> None:
        """What the tool's user does."""
        for name, text in self.config.items():
            file = self.repo.path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        self.run(self.again)

    def commit(self, message: str) -> str:
        """Commit; what was printed."""
        return self.run(f"echo more >> file; git add .; git commit -q -m '{message}'")

    def own(self) -> int:
        """How often the user's own hook ran."""
        file = self.repo.path / ".git" / "own"
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def managed(repo: Repo, tmp_path: Path) -> Callable[[str], Site]:
    newest = MANAGERS / "venv" / "bin" / "prek"
    need(newest.exists(), f"the tools below {MANAGERS}")
    return lambda tool: Site(repo, tool, tmp_path / "bin")


def _name(tool: str) -> str:
    return tool.partition(" ")[0].removesuffix("'s")


def _follow(site: Site, said: str) -> None:
    """Do what `hook install` said: the lines into the files, and the command."""
    for part in said.split("add to ")[1:]:
        head, _, rest = part.partition(":\n\n")
        lines = rest.partition("\n\nadd to ")[0].partition("\n\nthen run")[0]
        lines = lines.partition("\n\noberonc: ")[0].rstrip("\n")
        name, _, where = head.partition(", ")
        file = Path(name)
        text = file.read_text() if file.exists() else ""
        if file.suffix == ".json":
            whole = place = json.loads(text)
            for key in reversed(re.findall('"(.*?)"', where.partition(", ")[0])):
                place = place[key]
            new = json.loads(f"{{{lines}}}")
            assert "instead of" in where or not new.keys() & place.keys()
            place.update(new)
            file.write_text(json.dumps(whole))
        else:
            file.write_text(f"{text}{lines}\n")
    for line in said.splitlines():
        if line.startswith("then run: "):
            site.run(line.removeprefix("then run: ").replace("npx ", ""))


def _states(site: Site, oberonc: Command, code: int = 0) -> dict[str, str]:
    rows = oberonc("hook", "status", "--json", site.repo.path, code=code).json
    return {row["hook"]: row["state"] for row in rows}


@pytest.mark.parametrize("tool", TOOLS)
def test_where_the_tool_was_first_its_configuration_runs_ours_and_the_users_hook_goes_on(
    managed: Callable[[str], Site], oberonc: Command, tool: str
) -> None:
    site = managed(tool)
    site.set_up()
    oberonc("issues", "new", "one", cwd=site.repo.path)
    done = oberonc("hook", "install", site.repo.path, code=77)
    assert "oberonc hook status" in done.err
    site.commit("the hook of the user goes on")
    assert site.own() == 1
    _follow(site, done.out)
    site.run(site.again)
    assert "closed #1" in site.commit("fixes #1")
    assert site.own() == 2
    states = _states(site, oberonc)
    assert states["post-commit"].startswith("run by"), states
    assert f"{_name(tool)} runs it" in oberonc("hook", "install", site.repo.path).out


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool not in FORMS])
def test_where_the_tool_comes_later_status_says_what_became_of_ours(
    managed: Callable[[str], Site], oberonc: Command, tool: str
) -> None:
    site = managed(tool)
    oberonc("issues", "new", "one", cwd=site.repo.path)
    oberonc("hook", "install", site.repo.path)
    site.commit("before")
    site.set_up()
    if _name(tool) in ("pre-commit", "prek"):  # they run what was there before
        assert _states(site, oberonc)["post-commit"] == "installed"
    else:
        assert _states(site, oberonc, 1)["post-commit"].startswith("broken: ")
        assert _name(tool) in _states(site, oberonc, 1)["post-commit"]
        said = oberonc("hook", "install", site.repo.path, code=77).out
        _follow(site, said)
        assert _states(site, oberonc)["post-commit"].startswith("run by ")
    assert "closed #1" in site.commit("fixes #1")
    assert site.own() == 1
    oberonc("hook", "uninstall", site.repo.path)
    hooks = site.repo.path / ".git" / "hooks"
    assert not [path for path in hooks.iterdir() if read_ours(path)]
    site.commit("ours is gone")
    assert site.own() == 2


@pytest.mark.parametrize("tool", ["lefthook"])
def test_a_dry_run_shows_the_lines_and_writes_nothing(
    managed: Callable[[str], Site], oberonc: Command, tool: str
) -> None:
    site = managed(tool)
    site.set_up()
    said = oberonc("hook", "install", "--dry-run", site.repo.path).out
    assert "oberonc hook run post-commit" in said
    hooks = site.repo.path / ".git" / "hooks"
    assert not [path for path in hooks.iterdir() if read_ours(path)]
