"""`git fetch` into a mirror, and what a forge's server may do to us by it: nothing but
answer.

The secret is in the environment of git alone, where git's credential helper finds it;
it is asked for by the host of the address and no other. No redirect is followed, no
hook, submodule or other program is run, and what comes is checked, and ends at a time
and a size.
"""

import contextlib
import os
import selectors
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from oberonc import groups, process
from oberonc.errors import ConfigError, OberoncError
from oberonc.mirror.origins import Origin
from oberonc.redaction import redact
from oberonc.source.git import NO_HOOKS, Git
from oberonc.text import one_line

#: Bytes that are kept of what git prints, and of what it says on stderr.
_PRINTED, _SAID = 1 << 16, 1 << 13
#: Seconds in which a server has to say which its default branch is.
_HEAD: Final = 120.0
#: Seconds a git that was told to stop has for putting its locks away.
_GRACE: Final = 5.0
#: What old histories have, and what does no harm where nothing is checked out.
_OLD: Final = (
    "badTimezone",
    "missingSpaceBeforeDate",
    "missingNameBeforeEmail",
    "zeroPaddedFilemode",
)
_SETTINGS: Final = (
    NO_HOOKS,
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.helper=",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",
    "gc.auto=0",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "transfer.fsckObjects=true",
    *(f"fetch.fsck.{name}=ignore" for name in _OLD),
)
#: Runs what follows with files of at most so many blocks of 512 bytes, and so many KiB
#: of memory of its own; a lower limit that is there already stays.
_LIMITED: Final = (
    "for kind in f d; do"
    ' ulimit -$kind "$1" 2>/dev/null || [ "$(ulimit -$kind)" != unlimited ] || {'
    ' echo "fatal: no limit can be set to files and memory" >&2; exit 1; };'
    ' shift; done; exec "$@"'
)
#: What git runs for user and password: `get` is what it wants of it.
_HELPER: Final = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n"'
    ' "$OBERONC_MIRROR_USER" "$OBERONC_MIRROR_TOKEN"; }; f'
)


class Bounds(NamedTuple):
    """Seconds that one fetch may take, bytes that a mirror may have, branches and tags
    together, and bytes of memory of each process.
    """

    seconds: float = 3600.0
    bytes: int = 8 << 30
    refs: int = 100_000
    memory: int = 4 << 30


USUAL: Final = Bounds()


class NotFetched(OberoncError):
    """The forge did not give what was asked for; the text says why, in one line."""

    exit_code = 69


class Head(NamedTuple):
    """What the origin's HEAD says: the full ref of the default branch, and how many
    digits its ids have; empty and 0 where there are no commits yet.
    """

    ref: str = ""
    digits: int = 0


class Fetcher:
    """Fetches from *address*; *stopped* tells whether to end at once."""

    def __init__(
        self,
        origin: Origin,
        address: str,
        bounds: Bounds = USUAL,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._origin, self._address = origin, address
        self._bounds, self._stopped = bounds, stopped

    def head(self) -> Head:
        """The default branch there. Raises NotFetched."""
        places = ("HEAD", "refs/heads/*", "refs/tags/*")
        asked = ("ls-remote", "--symref", "--", self._address, *places)
        printed = self._git(*asked, seconds=min(_HEAD, self._bounds.seconds))
        ref, digits = "", 0
        for line in printed.split("\n"):
            said, _, name = line.partition("\t")
            if name == "HEAD" and said.startswith("ref: refs/heads/"):
                ref = said.removeprefix("ref: ")
            # Any ref tells, as HEAD may name a branch that is not there; a line without
            # a name was cut where more is printed than is kept.
            elif name and said.isalnum():
                digits = 64 if len(said) == 64 else 40
        return Head(ref, digits)

    def into(self, git_dir: Path) -> None:
        """Bring branches and tags of the bare repository *git_dir* to where they are
        there. Raises NotFetched; then what is there is whole still.
        """
        room = self._bounds.bytes - size(git_dir)
        if room <= 0:
            self._gather(git_dir)
            room = self._bounds.bytes - size(git_dir)
        if room <= 0:
            raise NotFetched(
                f"the mirror has {self._bounds.bytes >> 20} MiB, and may not have more:"
                f" take the repository out of webhooks.{self._origin.webhook}, or remove"
                f" {git_dir}"
            )
        try:
            self._git(
                f"--git-dir={git_dir}",
                "fetch",
                "--quiet",
                "--force",
                "--prune",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                "--refmap=",
                "--",
                self._address,
                "+refs/heads/*:refs/heads/*",
                "+refs/tags/*:refs/tags/*",
                seconds=self._bounds.seconds,
                room=room,
            )
        except NotFetched as failure:
            _clear(git_dir, self._bounds, locks=".lock" in str(failure))
            raise
        self._check_refs(len(Git(git_dir).refs()))

    def _check_refs(self, count: int) -> None:
        if count > self._bounds.refs:
            raise NotFetched(
                f"{self._place()} has more than {self._bounds.refs} branches and tags"
                f" of it: take the repository out of webhooks.{self._origin.webhook}"
            )

    def tidy(self, git_dir: Path) -> None:
        """Put packs of *git_dir* together, where there are many. Raises NotFetched."""
        self._gather(git_dir, "--auto")

    def _gather(self, git_dir: Path, *how: str) -> None:
        argv = ["git", f"--git-dir={git_dir}"]
        for setting in (
            NO_HOOKS,
            "gc.autoDetach=false",
            "gc.autoPackLimit=40",
        ):
            argv += ["-c", setting]
        argv += ["gc", "--quiet", *how]
        self._run(argv, process.git_environment(), self._bounds.seconds)

    def _git(self, *args: str, seconds: float, room: int = 0) -> str:
        """What git prints. Raises NotFetched."""
        bounds = self._bounds
        blocks, kibibytes = (room or bounds.bytes) // 512 or 1, bounds.memory >> 10
        limited = ["sh", "-c", _LIMITED, "sh", str(blocks), str(kibibytes)]
        settings = [*_SETTINGS, *self._credentials()]
        argv = [*limited, "git"]
        for setting in settings:
            argv += ["-c", setting]
        code, printed, said = self._run([*argv, *args], self._environment(), seconds)
        if code:
            why = self._why(said, code)
            if "Authentication failed" in why or "could not read Username" in why:
                why += f"; is webhooks.{self._origin.webhook}.token right?"
            raise NotFetched(f"git fetch from {self._place()}: {why}")
        return printed.decode("utf-8", "replace")

    def _credentials(self) -> list[str]:
        if not self._origin.token:
            return []
        place = urlsplit(self._address)
        return [f"credential.{place.scheme}://{place.netloc}.helper={_HELPER}"]

    def _environment(self) -> dict[str, str]:
        origin = self._origin
        env = process.environment() | {
            "GIT_ALLOW_PROTOCOL": origin.scheme,
            "GIT_ASKPASS": "false",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "SSH_ASKPASS": "false",
        }
        if origin.token:
            env["OBERONC_MIRROR_USER"] = origin.user
            env["OBERONC_MIRROR_TOKEN"] = origin.token
        if origin.scheme == "ssh":
            options = [
                "BatchMode=yes",
                "ConnectTimeout=20",
                "GlobalKnownHostsFile=/dev/null",
                "IdentitiesOnly=yes",
                "LogLevel=ERROR",
                "StrictHostKeyChecking=yes",
                f"UserKnownHostsFile={origin.known_hosts}",
            ]
            ssh = ["ssh", "-F", "none", *(f"-o{option}" for option in options)]
            ssh += ["-i", origin.ssh_key] if origin.ssh_key else []
            env |= {"GIT_SSH_COMMAND": shlex.join(ssh), "GIT_SSH_VARIANT": "ssh"}
        return env

    def _run(
        self, argv: list[str], env: dict[str, str], seconds: float
    ) -> tuple[int, bytes, bytes]:
        """Exit code, the beginning of stdout and the end of stderr. Raises NotFetched
        when it is told to stop, takes too long or prints too many lines.
        """
        deadline, lines = time.monotonic() + seconds, 0
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                cwd="/",
                start_new_session=True,  # ended with all that it started
            )
        except FileNotFoundError:
            raise ConfigError("cannot find sh: it is not on PATH") from None
        assert child.stdout and child.stderr
        kept = {child.stdout: bytearray(), child.stderr: bytearray()}
        try:
            with selectors.DefaultSelector() as ready:
                for stream in kept:
                    ready.register(stream, selectors.EVENT_READ)
                while ready.get_map():
                    if self._stopped():
                        raise NotFetched("told to stop")
                    if time.monotonic() > deadline:
                        raise NotFetched(
                            f"git fetch from {self._place()}: not done in {seconds:g} s"
                        )
                    for one, _ in ready.select(0.5):
                        stream = one.fileobj  # type: ignore[assignment]
                        part = os.read(one.fd, 1 << 16)
                        if not part:
                            ready.unregister(stream)
                        kept[stream] += part
                        if stream is child.stdout:
                            lines += part.count(b"\n")
                            # of a tag there may be two; what HEAD is are two more
                            self._check_refs((lines - 2) // 2)
                    del kept[child.stdout][_PRINTED:]
                    del kept[child.stderr][:-_SAID]
            code = child.wait()
        except BaseException:
            # Gently at first, so that it puts its locks away.
            groups.end(child, 0, _GRACE)
            raise
        finally:
            child.stdout.close()
            child.stderr.close()
        return code, bytes(kept[child.stdout]), bytes(kept[child.stderr])

    def _place(self) -> str:
        return urlsplit(self._address).hostname or "this machine"

    def _why(self, said: bytes, code: int) -> str:
        """What git says is wrong, without what the server adds to it."""
        lines = said.decode("utf-8", "replace").split("\n")
        own = [line for line in lines if line.startswith(("fatal: ", "error: "))]
        fatal = [line for line in own if line.startswith("fatal: ")]
        said_first = [line for line in lines if line.strip()] or [""]
        text = (fatal or own or said_first)[-1]
        if self._origin.scheme == "ssh" and said_first[0] not in own:
            text = said_first[0]  # ssh's own words; git adds that it could not read
        secrets = [self._origin.token] if self._origin.token else []
        text = redact(text.removeprefix("fatal: ").removeprefix("error: "), secrets)
        return one_line(text, 300) or f"ended with {code}"


def size(git_dir: Path) -> int:
    """Bytes of the objects of *git_dir*; 0 where it is not there."""
    total = 0
    for file in (git_dir / "objects").rglob("*"):
        with contextlib.suppress(OSError):  # `gc` of somebody else's has removed it
            total += file.lstat().st_size
    return total


def _clear(git_dir: Path, bounds: Bounds, locks: bool) -> None:
    """Remove what a fetch left half done, and *locks* that nobody can hold any more."""
    with contextlib.suppress(OSError):
        for left in (git_dir / "objects" / "pack").glob("tmp_*"):
            left.unlink(missing_ok=True)
    if not locks:
        return
    before = time.time() - bounds.seconds - 2 * _GRACE
    tops = [git_dir / name for name in ("HEAD.lock", "packed-refs.lock")]
    for lock in [*tops, *(git_dir / "refs").rglob("*.lock")]:
        with contextlib.suppress(OSError):
            if lock.lstat().st_mtime < before:
                lock.unlink()
