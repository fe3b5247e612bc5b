"""What is to be added to the configuration of a tool that writes hook files, and where
in it: so that nothing which stands there is doubled, lost or broken.
"""

import contextlib
import json
import re
from itertools import takewhile
from pathlib import Path
from textwrap import indent
from typing import NamedTuple

#: Runs oberonc where it is installed; others who share the configuration may not have
#: it.
_RUN = "if command -v oberonc >/dev/null; then oberonc hook run {hook} {args}; fi"
#: pre-commit gives what git said in variables instead of arguments.
_VARIABLES = {
    "post-rewrite": '"$PRE_COMMIT_REWRITE_COMMAND"',
    "post-merge": '"$PRE_COMMIT_IS_SQUASH_MERGE"',
}


class Lines(NamedTuple):
    """*text* goes to the place *where*, which begins with a comma or is empty."""

    where: str
    text: str


def added(name: str, hook: str, file: Path, there: str) -> Lines:
    """What makes the tool *name* run ours for *hook*; the text *there* is what its
    configuration *file* has.
    """
    end = file.suffix
    if name in ("pre-commit", "prek"):
        return _pre_commit(hook, end, there)
    if name == "lefthook":
        return _lefthook(hook, end, there)
    if name == "overcommit":
        kind = "".join(word.capitalize() for word in hook.split("-"))
        entry = (
            "Oberonc:\n  enabled: true\n  required_executable: oberonc\n"
            f"  command: ['oberonc', 'hook', 'run', '{hook}']"
        )
        return _yaml(there, (kind,), entry)
    if name == "simple-git-hooks":
        keys = ("simple-git-hooks",) if file.name == "package.json" else ()
        return _command(there, keys, hook, _run(hook, '"$@"'))
    if name == "husky 4":
        outer = ("husky",) if file.name == "package.json" else ()
        return _command(there, (*outer, "hooks"), hook, _run(hook, "$HUSKY_GIT_PARAMS"))
    return Lines("", _run(hook, '"$@"'))


def _run(hook: str, args: str) -> str:
    return _RUN.format(hook=hook, args=args).replace(" ;", ";")


def _command(there: str, section: tuple[str, ...], hook: str, run: str) -> Lines:
    """A hook has one command in the JSON that is *there*: ours goes behind it."""
    place = _in(section)
    _, old = _below(there, (*section, hook))
    if isinstance(old, str):
        place += f', instead of the "{hook}" that is there'
        run = f"{old}; {run}"
    elif there[:1] != "{" and re.search(rf"(?<![\w-]){re.escape(hook)}\W", there):
        place += f', joined to the "{hook}" that is there'  # of a program
    return Lines(place, f"{json.dumps(hook)}: {json.dumps(run)}")


def _lefthook(hook: str, end: str, there: str) -> Lines:
    run = _run(hook, "{0}")
    if end == ".toml":
        table = f"[{hook}.commands.oberonc]"
        return Lines(", at its end", f"{table}\nrun = {json.dumps(run)}")
    path = (hook, "commands")  # `jobs` came with 1.10, and both may stand together
    if end not in (".json", ".jsonc"):
        return _yaml(there, path, f"oberonc:\n  run: {run}")
    found, _ = _below(there, path)
    text = f'"oberonc": {{"run": {json.dumps(run)}}}'
    for key in reversed(path[found:]):
        text = f'"{key}": {{{text}}}'
    return Lines(_in(path[:found]), text)


def _pre_commit(hook: str, end: str, there: str) -> Lines:
    run = f"sh -c '{_run(hook, _VARIABLES.get(hook, ''))}'"
    if end == ".toml":
        entry = (
            f'[[repos]]\nrepo = "local"\n\n[[repos.hooks]]\nid = "oberonc-{hook}"\nname = "oberonc"\n'
            f'entry = {json.dumps(run)}\nlanguage = "system"\nstages = ["{hook}"]\n'
            "always_run = true\npass_filenames = false\nverbose = true"
        )
        return Lines(", at its end", entry)
    entry = (
        f"- repo: local\n  hooks:\n    - id: oberonc-{hook}\n      name: oberonc\n"
        f"      entry: {run}\n      language: system\n      stages: [{hook}]\n"
        "      always_run: true\n      pass_filenames: false\n      verbose: true"
    )
    return _yaml(there, ("repos",), entry)


def _in(keys: tuple[str, ...]) -> str:
    return f", in {' of '.join(map(json.dumps, reversed(keys)))}" if keys else ""


def _below(text: str, path: tuple[str, ...]) -> tuple[int, object]:
    """How many keys of *path* the JSON *text* has, and what stands below these."""
    value: object = {}
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
    for found, key in enumerate(path):
        if not isinstance(value, dict) or key not in value:
            return found, None
        value = value[key]
    return len(path), value


def _yaml(there: str, path: tuple[str, ...], entry: str) -> Lines:
    """*entry* below the keys *path*, of which those that are *there* are not written
    again; with the indentation that its neighbours have.
    """
    rows, found, left = there.splitlines(), 0, ""
    for key in path:
        line = re.compile(rf"{left}([\"']?){re.escape(key)}\1:\s*(#.*)?")
        at = next((n for n, row in enumerate(rows) if line.fullmatch(row)), None)
        if at is None:
            break
        inside = re.compile(rf"\s*(#.*)?$|{left}(\s|- )")
        rows = list(takewhile(inside.match, rows[at + 1 :]))
        full = (row for row in rows if row.strip() and row.strip()[0] != "#")
        first = next(full, f"{left}  -")
        left = first[: len(first) - len(first.lstrip())]
        found += 1
    for key in reversed(path[found:]):
        entry = f"{key}:\n{indent(entry, '  ')}"
    keys = " of ".join(f'"{key}:"' for key in reversed(path[:found]))
    return Lines(f", below {keys}" if keys else "", indent(entry, left))
