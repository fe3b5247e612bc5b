"""Puts the hooks in place, finds them again, takes them away.

Only inside the repository that was named: where git looks for hooks elsewhere (core.hooksPath, gitolite's
common folder), nothing is written and the way that works there is said.
"""

import configparser
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from oberonc import paths, repository
from oberonc.config import Config
from oberonc.errors import BadInput, ConfigError, Failed, NotAllowed
from oberonc.git import Git, environment
from oberonc.spool import file_mode, make_private
from oberonc.text import one_line

#: Stands in every file we write, and in no other.
SIGNATURE = "# oberonc hook 1."
CHAINED = ".before-oberonc"
#: The folder that oberonc is imported from, and the line the hooks run with it.
ROOT = str(Path(paths.__file__).parents[1])
BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from oberonc.hook import main; main()"
_SETS = re.compile("(python|flags|root)=").match
SERVER_HOOKS = ("post-receive",)
LOCAL_HOOKS = ("post-commit", "post-merge", "post-rewrite")


class Target(NamedTuple):
    """One hook file: git's name for it, where it goes, and what is there now."""

    hook: str
    file: Path
    there: str  # "nothing", "ours" or "another hook"


class Layout(NamedTuple):
    """Where the hooks of one repository go. *kind*: git, gitea, gitlab, gitolite."""

    path: Path
    kind: str
    targets: list[Target]


def layout(path: Path) -> Layout:
    """Where the hooks of the repository (or gitolite hook folder) at *path* belong; raises BadInput, NotAllowed."""
    path = path.absolute()
    if path.parent.name == "hooks" and path.name in ("common", "repo-specific") and path.is_dir():
        name = "post-receive" if path.name == "common" else "oberonc"
        return Layout(path, "gitolite", [_target("post-receive", path / name)])
    found = _open(path)
    if found.bare:
        return _server_layout(found)
    folder = _hooks_folder(found)
    return Layout(found.common, "git", [_target(name, folder / name) for name in LOCAL_HOOKS])


class _Found(NamedTuple):
    """A repository: its own git folder, the one its work trees share, and the work tree at hand."""

    git: Git
    common: Path
    work: Path | None

    @property
    def bare(self) -> bool:
        """Whether it has no work tree, as on a server."""
        return self.work is None


def _open(path: Path) -> _Found:
    try:
        import git as gitpython
    except ImportError:  # what it raises where there is no git
        raise ConfigError("cannot find git: it is not on PATH") from None
    try:
        with gitpython.Repo(path, search_parent_directories=not (path / "HEAD").is_file(), expand_vars=False) as repo:
            work = None if repo.bare else Path(repo.working_dir).resolve()
            return _Found(Git(Path(repo.git_dir)), Path(repo.common_dir).resolve(), work)
    except (gitpython.InvalidGitRepositoryError, gitpython.NoSuchPathError):
        raise BadInput(f"{path} is not a git repository") from None
    except (OSError, ValueError, configparser.Error) as error:
        raise BadInput(f"the git repository at {path} cannot be read: {one_line(str(error))}") from None


def _server_layout(found: _Found) -> Layout:
    git_dir = found.common
    drop_in = git_dir / "hooks" / "post-receive.d"
    if drop_in.is_dir():
        return Layout(git_dir, "gitea", [_target("post-receive", _inside(found, drop_in) / "oberonc")])
    drop_in = git_dir / "custom_hooks" / "post-receive.d"
    if "gitlab.fullpath" in found.git.config() or drop_in.parent.is_dir():
        return Layout(git_dir, "gitlab", [_target("post-receive", _inside(found, drop_in) / "oberonc")])
    folder = _hooks_folder(found)
    kind = "gitolite" if "gitolite" in _link(folder / "update") else "git"
    for name in SERVER_HOOKS:
        if kind == "gitolite" and (_link(folder / name) or list(folder.glob(f"{name}.h[0-9]*"))):
            common = Path(_link(folder / "update")).parent
            raise NotAllowed(
                f"gitolite owns {folder / name}: run `oberonc hook install {common}` for all repositories, or install"
                " into $LOCAL_CODE/hooks/repo-specific and set `option hook.post-receive = oberonc`"
            )
    return Layout(git_dir, kind, [_target(name, folder / name) for name in SERVER_HOOKS])


def _link(path: Path) -> str:
    return str(path.readlink()) if path.is_symlink() else ""


def _hooks_folder(found: _Found) -> Path:
    """Where git looks for hooks; raises NotAllowed when that is outside the repository."""
    said = found.git.read("rev-parse", "--git-path", "hooks").removesuffix("\n")
    return _inside(found, Path(os.path.normpath((found.work or found.common) / said)))


def _inside(found: _Found, folder: Path) -> Path:
    """*folder*, unless it lies outside the repository: then NotAllowed."""
    places = [found.common, *([found.work] if found.work else [])]
    if not any(folder.resolve().is_relative_to(place) for place in places):
        own = shlex.quote(f"{found.common}/hooks")
        name = (SERVER_HOOKS if found.bare else LOCAL_HOOKS)[0]
        raise NotAllowed(
            f"git runs the hooks of {found.common} from {folder}, outside the repository (core.hooksPath or a link):"
            f" nothing was written; call `oberonc hook run {name}` from a hook there, or give the repository its own:"
            f" git --git-dir={shlex.quote(str(found.common))} config core.hooksPath {own}"
        )
    return folder


def _target(hook: str, file: Path) -> Target:
    if not file.exists() and not file.is_symlink():
        return Target(hook, file, "nothing")
    return Target(hook, file, "ours" if is_ours(file) else "another hook")


def is_ours(file: Path) -> bool:
    """Whether we wrote *file*."""
    try:
        return not file.is_symlink() and SIGNATURE in file.read_text(errors="replace")[:400]
    except OSError:
        return False


def script(hook: str) -> str:
    """The hook file's text for this interpreter."""
    text = (paths.bundled("hooks") / "hook").read_text()
    filled = {"@NAME@": hook, "@PYTHON@": sys.executable, "@FLAGS@": flags(), "@ROOT@": ROOT}
    for mark, value in filled.items():
        text = text.replace(f"'{mark}'", shlex.quote(value))
    return text


def flags() -> str:
    """Isolated mode, without `site` until brokers run; where oberonc lives in the user's own site folder, with it."""
    return "-I -S" if paths.isolation() == ["-I"] else " ".join(paths.isolation())


def _runs(flag: str, python: str = sys.executable, root: str = ROOT) -> str | None:
    """Run the installed line once, with the environment git gives a hook; the fault, or None."""
    kept = ("PATH", "HOME", "USER", "LOGNAME", "LANG")
    env = {name: value for name, value in environment().items() if name in kept}
    line = [python, *flag.split(), "-c", BOOT, root, "check"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, env=env, cwd="/", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return one_line(str(error))
    return None if done.returncode == 0 and done.stdout == "ok\n" else one_line(done.stderr or "it said nothing")


def prove() -> None:
    """Raise Failed when the line that the hooks would run does not work."""
    fault = _runs(flags())
    if fault is not None:
        raise Failed(f"{sys.executable} {flags()} does not run oberonc.hook, so no hook was written: {fault}")


def _before(target: Target) -> Path:
    """Where the hook that was there before ours is kept."""
    return target.file.with_name(target.hook + CHAINED)


def refuse(target: Target) -> None:
    """Raise NotAllowed where `install` could not write *target*; changes nothing."""
    if target.there == "another hook" and target.file.name != target.hook:
        # In a folder whose files all run, a second name would make the old hook run twice.
        raise NotAllowed(f"{target.file} is in the way: it is not ours; rename it")
    if target.there == "another hook" and os.path.lexists(_before(target)):
        raise NotAllowed(
            f"{_before(target)} is in the way: it holds the hook of an earlier install; look at it and remove it"
        )
    there = next(path for path in target.file.parents if os.path.lexists(path))
    if not os.access(there, os.W_OK | os.X_OK):
        raise NotAllowed(f"cannot write {target.file}: {there} is not yours to change")


def install(target: Target) -> str:
    """Write one hook; a hook that was there is kept and run first. Returns what was done."""
    refuse(target)
    before, temporary = _before(target), target.file.with_name(f".oberonc-{os.getpid()}")
    try:
        target.file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(script(target.hook))
        temporary.chmod(0o755)
        if target.there == "another hook":
            target.file.rename(before)
        temporary.replace(target.file)
    except OSError as error:
        with contextlib.suppress(OSError):
            if target.there == "another hook" and not os.path.lexists(target.file):
                before.rename(target.file)
            temporary.unlink(missing_ok=True)
        raise NotAllowed(f"cannot write {target.file}: {error.strerror}") from None
    return f"{target.file} (runs {before.name} first)" if before.exists() else str(target.file)


def uninstall(target: Target) -> str:
    """Take our hook away and put back the one before it; returns what was done, empty for nothing."""
    if target.there != "ours":
        return ""
    try:
        if os.path.lexists(_before(target)):
            _before(target).replace(target.file)
            return f"{target.file} (put back what was there before)"
        target.file.unlink()
    except OSError as error:
        raise NotAllowed(f"cannot remove {target.file}: {error.strerror}") from None
    return str(target.file)


def state(target: Target) -> str:
    """`installed`, or what stands in the way of it."""
    if target.there != "ours":
        return "not installed" + (f" ({target.there} is there)" if target.there == "another hook" else "")
    if not os.access(target.file, os.X_OK):
        return f"not run by git: chmod +x {target.file}"
    said = dict(shlex.split(line)[0].split("=", 1) for line in target.file.read_text().splitlines()[:10] if _SETS(line))
    python = said.get("python", "")
    if not os.access(python, os.X_OK):
        return f"broken: {python} is gone; run `oberonc hook install` again"
    fault = _runs(said.get("flags", "-I"), python, said.get("root", ""))
    return f"broken: {python} does not find oberonc ({fault})" if fault else "installed"


def warnings(found: Layout, config: Config) -> Iterator[str]:
    """What the administrator should know about a repository whose hooks were installed."""
    if found.path.name in ("common", "repo-specific"):
        return
    repo = repository.describe(found.path, config.publish)
    if repo.bare and not repo.default_exists and repo.refs:
        mend = f"git --git-dir={found.path} symbolic-ref HEAD refs/heads/NAME"
        yield f"HEAD names {repo.default_ref}, which does not exist: nothing counts as published; {mend}"
    shared = repo.git.config().get("core.sharedrepository", ["umask"])[-1]
    if repo.bare and shared not in ("umask", "false", "0") and "state" not in config.sources:
        yield (
            "several users push here (core.sharedRepository), each with a state folder of their own: set `state` in"
            " /etc/oberonc/config.toml to one folder that their group may write"
        )
    same = _same_name(config, repo.full_name, found.path)
    if same:
        mend = "git config oberonc.name NAME tells them apart"
        yield f"{same} is called {repo.full_name} too, so they share issues: {mend}"


def _same_name(config: Config, full_name: str, path: Path) -> str:
    """Another repository known by *full_name*, or an empty string; remembers this one."""
    file = config.state / "repositories.json"
    try:
        known = dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    others = [place for place, name in known.items() if name == full_name and place != str(path)]
    others = [place for place in others if os.path.isdir(place)]  # noqa: PTH112  False, too, where we may not look
    known[str(path)] = full_name
    with contextlib.suppress(OSError):  # it is only a memory; the next install tries again
        _remember(file, json.dumps(known, indent=1))
    return others[0] if others else ""


def _remember(file: Path, text: str) -> None:
    make_private(file.parent)
    temporary = file.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as stream:
        os.fchmod(stream.fileno(), file_mode(file.parent))
        stream.write(text)
    temporary.replace(file)
