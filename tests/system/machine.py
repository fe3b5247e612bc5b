"""A machine of the test's own: this one's files under an overlay; accounts, mounts,
processes and network of its own.

Accounts, /etc, /run, /var and all packages are real, what is written is seen on this
machine alone, and nothing of it outlives the process that started it: the overlay is
memory, the first process ends with its standard input, and everything that runs below
it ends with that.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.children import end
from tests.support.command import Done
from tests.support.eventually import eventually

HERE = Path(__file__).parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Debian's own Python: every account can run it, wherever the one that runs the tests
#: lies.
PYTHON = "/usr/bin/python3"
#: Programs without which there is no such machine; what installs them on Debian.
NEEDED = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "sshd": "openssh-server",
    "systemd-sysusers": "systemd",
    "systemd-tmpfiles": "systemd",
    "useradd": "passwd",
    "git": "git",
    "gitolite": "gitolite3",
    PYTHON: "python3 python3-venv",
}

_BOOT = """
set -eu
base=$1 layers=$2 files=$3 name=$4
mkdir -p "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$base/upper,workdir=$base/work" "$base/root"
cd "$base/root"
for folder in dev sys; do mount --rbind --make-rslave /$folder ./$folder; done
mount -t proc proc ./proc
for folder in run tmp; do mount -t tmpfs -o mode=1777 $folder ./$folder; done
chmod 755 ./run
mkdir -p ./run/lock ./run/systemd ./run/sshd ./opt/machine
mount --rbind "$files" ./opt/machine
ip link set lo up
hostname "$name"
pivot_root . mnt
umount -l /mnt
for name in systemctl journalctl; do ln -sf /opt/machine/init.py /usr/local/bin/$name; done
exec env -i PATH=%s LANG=C.UTF-8 %s -I /opt/machine/init.py
""" % (PATH, PYTHON)  # noqa: UP031  braces are the shell's


def missing() -> str:
    """What keeps such a machine from being made here, or nothing."""
    if os.geteuid() != 0:
        return "real accounts need root"
    path = f"{PATH}:/usr/lib/openssh"
    absent = [
        package
        for program, package in NEEDED.items()
        if not shutil.which(program, path=path)
    ]
    if absent:
        return f"needs Debian's {' '.join(sorted(set(absent)))}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with keeper(Path(folder)) as base, Machine(base / "probe"):
                return ""
        except (AssertionError, OSError) as error:
            return f"cannot make a machine: {error}"


@contextmanager
def keeper(folder: Path) -> Iterator[Path]:
    """A file system in memory at *folder*, seen only by machines that are started on
    it; gone when this ends.
    """
    script = f"mount -t tmpfs -o mode=755 machines {folder} && echo up && exec cat"
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--",
        "/bin/sh",
        "-c",
        script,
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert process.stdout and process.stdout.readline() == b"up\n", (
            "no file system in memory"
        )
        yield Path(f"{folder}@{process.pid}")
    finally:
        end(process)


class Machine:
    """A running machine. *place* is what `keeper` gave, and a name; *layers* are
    machines it begins from.
    """

    def __init__(self, place: Path, layers: "tuple[Machine, ...]" = ()) -> None:
        where, _, rest = str(place).partition("@")
        self._keeper, _, name = rest.partition("/")
        self.name, self._place, self._layers = name, place, layers
        self._base = f"{where}/{name}"
        self._spawned: list[subprocess.Popen[bytes]] = []
        self.boot()

    def boot(self) -> None:
        """Start it, also once more after `off`: what was written to its disks is still
        there.
        """
        lower = ":".join([*(f"{layer._base}/upper" for layer in self._layers), "/"])
        command = [
            "nsenter",
            f"--mount=/proc/{self._keeper}/ns/mnt",
            "--",
            "unshare",
            "--mount",
            "--pid",
            "--net",
        ]
        command += [
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "--",
        ]
        command += [
            "/bin/sh",
            "-c",
            _BOOT,
            "boot",
            self._base,
            lower,
            str(HERE),
            self.name,
        ]
        self._init = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._init.stdout
        said = self._init.stdout.readline()
        if said != b"up\n":
            end(self._init)
            raise AssertionError(
                f"it does not start: {said.decode(errors='replace').strip()}"
            )
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        self.pid = int(eventually(children.read_text).split()[0])

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self.off()

    def off(self) -> None:
        """Pull the plug."""
        for process in (self._init, *self._spawned):
            end(process)

    def path(self, path: str) -> Path:
        """*path* of the machine, as this process sees it. Absolute links in it lead
        astray.
        """
        return Path(f"/proc/{self.pid}/root{path}")

    def write(
        self, path: str, text: str, mode: int = 0o644, owner: str = "root"
    ) -> None:
        """A file of *owner*."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        self.run("chown", f"{owner}:", path)

    def command(
        self,
        *args: str,
        user: str = "root",
        cwd: str = "/",
        env: dict[str, str] | None = None,
    ) -> list[str]:
        """The command that runs *args* on the machine as *user*, as if freshly logged
        in.
        """
        account = (
            []
            if user == "root"
            else [
                "setpriv",
                "--init-groups",
                f"--reuid={user}",
                f"--regid={user}",
                "--",
            ]
        )
        home = "/root" if user == "root" else f"/home/{user}"
        words = {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "HOME": home,
            "USER": user,
            "LOGNAME": user,
            **(env or {}),
        }
        settings = [f"{name}={value}" for name, value in words.items()]
        enter = [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--ipc",
            "--root",
            "--wd=/",
        ]
        return [*enter, "--", "env", "-i", f"--chdir={cwd}", *settings, *account, *args]

    def run(
        self, *args: str, code: int | None = 0, stdin: str = "", **how: Any
    ) -> Done:
        """Run *args* to their end; expects exit *code* unless it is None."""
        done = subprocess.run(
            self.command(*args, **how),
            input=stdin.encode(),
            capture_output=True,
            timeout=600,
            check=False,
        )
        said = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        told = f"{args}: exit {said.code}, not {code}\n{said.out}\n{said.err}"
        assert code in (None, said.code), f"{told}\n{self.journal()}"
        assert "Traceback" not in said.err + said.out, told
        return said

    def sh(self, script: str, code: int | None = 0, **how: Any) -> Done:
        """Run a shell script."""
        return self.run("/bin/sh", "-euc", script, code=code, **how)

    def spawn(self, *args: str, **how: Any) -> None:
        """Start *args*; the machine's end ends it."""
        log = self.path("/var/log/spawned.txt").open("ab")
        with log:
            how |= {
                "stdin": subprocess.DEVNULL,
                "stdout": log,
                "stderr": log,
                "start_new_session": True,
            }
            self._spawned.append(subprocess.Popen(self.command(*args), **how))

    def journal(self) -> str:
        """What the services logged, and what the supervisor did."""
        file = self.path("/var/log/journal.txt")
        return file.read_text(errors="replace") if file.exists() else ""


if __name__ == "__main__":
    print(missing() or "a machine can be made here", file=sys.stderr)
