"""The service that `oberonc init --tracker` writes: what the tracker needs, as far as
the clone one stands in and the tools on PATH tell.
"""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from oberonc.errors import OberoncError, UsageError
from oberonc.source import repository
from oberonc.source.git import Git

#: Programs that know a token: of `gh` and `glab`, as their manuals have it.
_TOKENS = {
    "github": ("gh", "gh auth token"),
    "gitlab": ("glab", "glab config get token --host"),
}
#: Hosts whose address the tracker's class knows, the last one under its other name for
#: ssh.
_USUAL = {
    "github": ("github.com", "ssh.github.com"),
    "gitlab": ("gitlab.com", "altssh.gitlab.com"),
}
NEXT = """\
next: `oberonc brokers test {name}` proves it without changing anything; then `oberonc hook install` in each clone,
again where hooks are installed already: issues there act when a commit is pushed to origin"""


def text(kind: str, needs: tuple[str, ...], given: dict[str, str], folder: Path) -> str:
    """The table of a service on a tracker of *kind*, which *needs* these settings, by
    what is *given* (url, project, user); secrets that no program knows go into
    *folder*. Raises UsageError where more has to be given.
    """
    keys = {"broker": "issues", "tracker": kind}
    url = given.get("url") or _of_origin(kind)
    if url:
        keys["url"] = url
    for name in ("project", "user"):
        if given.get(name):
            keys[name] = given[name]
    missing = [n for n in ("url", "project", "user") if n in needs and n not in keys]
    if missing:
        options = " and ".join(f"--{name}" for name in missing)
        raise UsageError(f"the tracker {kind} needs {options}")
    notes = ""
    program, command = _TOKENS.get(kind, ("", ""))
    for secret in (
        n.partition("|")[0] for n in needs if {"token", "password"} & {*n.split("|")}
    ):
        if program and shutil.which(program):
            host = urlsplit(url).hostname or _USUAL[kind][0]
            keys[secret] = f"cmd:{command}{f' {host}' if kind == 'gitlab' else ''}"
            if kind == "github" and url:
                keys[secret] += f" --hostname {host}"
        else:
            file = folder / f"{kind}-{secret}"
            keys[secret] = f"file:{file}"
            notes += f"# put the {secret} into {file}, and chmod 600 it\n"
    lines = (
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
        for key, value in keys.items()
    )
    return f"{notes}[services.{kind}]\n{''.join(lines)}"


def _of_origin(kind: str) -> str:
    """The address of the server that the clone one stands in comes from; empty where
    that is none, or the usual one.
    """
    if kind not in ("github", "gitlab", "gitea", "forgejo"):
        return ""
    try:
        settings = Git(repository.find_git_dir()).config()
    except OberoncError:
        return ""
    address = repository.home_address(settings)
    parts = urlsplit(address)
    scheme, host, place = "https", parts.hostname or "", parts.hostname or ""
    if parts.scheme in ("http", "https"):  # a port of ssh is no port of the web
        scheme, place = parts.scheme, parts.netloc.rpartition("@")[2]
    elif "://" not in address and ":" in address.partition("/")[0]:
        host = place = address.partition(":")[0].rpartition("@")[2]
    return f"{scheme}://{place}" if host and host not in _USUAL.get(kind, ()) else ""
