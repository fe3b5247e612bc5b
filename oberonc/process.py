"""A child process as cheap as a hook needs it: `subprocess` alone would cost a third of
what a hook may.

stdin and stderr are files in memory, so no order of reading and writing can deadlock;
stdout is a pipe.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader

#: GIT_* variables that say where git and its configuration are. Every other one is
#: dropped: in a hook GIT_DIR is relative and beats `-C`, GIT_INDEX_FILE and
#: GIT_CONFIG_COUNT belong to whoever pushed or committed.
_KEPT = (
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
)
#: Python ignores SIGPIPE, and a child would inherit that; 13 on every system, and
#: `signal` is dear to load.
_SIGPIPE = 13
_SIGKILL = 9


def environment() -> dict[str, str]:
    """The environment of every child: ours, without what the caller said to git."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _KEPT
    }
    return kept | {
        "PATH": kept.get("PATH") or os.defpath,
        "LC_ALL": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
    }


def git_environment() -> dict[str, str]:
    """The environment of every git child that reads a repository."""
    return environment() | {
        # A repository's configuration can name a program as its remote, and a missing
        # object would make git run it. Gits before 2.45 (and some distributions' older
        # ones) do not know the second of these.
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


class Child:
    """*argv* with *stdin*, running;
    raises FileNotFoundError where there is no such program.
    """

    def __init__(
        self, argv: list[str], env: Mapping[str, str], stdin: bytes = b""
    ) -> None:
        given, self._errors = _scratch(), _scratch()
        reading, writing = os.pipe()
        try:
            _write_all(given, stdin)
            os.lseek(given, 0, os.SEEK_SET)
            places = ((given, 0), (writing, 1), (self._errors, 2))
            actions = [
                (os.POSIX_SPAWN_DUP2, source, target) for source, target in places
            ]
            self.pid = _spawn(argv, env, actions)
        except BaseException:
            os.close(reading)
            os.close(self._errors)
            raise
        finally:
            os.close(given)
            os.close(writing)
        self.stdout: BufferedReader = os.fdopen(reading, "rb")

    def kill(self) -> None:
        """End it, whatever it is at; `wait` is still due."""
        os.kill(self.pid, _SIGKILL)

    def wait(self) -> tuple[int, bytes]:
        """Its exit code (negative:
        the signal that ended it) and the beginning of its stderr.
        """
        self.stdout.close()
        _, status = os.waitpid(self.pid, 0)
        os.lseek(self._errors, 0, os.SEEK_SET)
        errors = os.read(self._errors, 4096)
        os.close(self._errors)
        return os.waitstatus_to_exitcode(status), errors


def _spawn(
    argv: list[str], env: Mapping[str, str], actions: list[tuple[int, int, int]]
) -> int:
    # posix_spawnp would look along our own PATH, which a server's hook may not have.
    for folder in filter(None, env["PATH"].split(os.pathsep)):
        program = f"{folder}/{argv[0]}"
        if not os.access(program, os.X_OK):
            continue  # to try costs a process each time
        try:
            return os.posix_spawn(
                program,
                argv,
                env,
                file_actions=actions,
                setsigdef=(_SIGPIPE,),
            )
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
    raise FileNotFoundError(argv[0])


def _scratch() -> int:
    """A file that only its descriptor names."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("oberonc")
    import tempfile  # systems other than Linux

    handle, name = tempfile.mkstemp(prefix="oberonc-")
    os.unlink(name)
    return handle


def _write_all(handle: int, data: bytes) -> None:
    unwritten = memoryview(data)
    while unwritten:
        unwritten = unwritten[os.write(handle, unwritten) :]


def open_standard_streams() -> None:
    """Give closed standard streams something harmless: the next file we open must not
    become our stderr.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
