"""Unit files as systemd reads them: drop-ins, lists that an empty value clears, and no
directive passed over unseen.

Runs inside the test's machine with nothing but the standard library.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Where units lie; the first that has a name wins, drop-ins of all are read.
FOLDERS: Final = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
#: What the supervisor does as systemd does.
HONOURED: Final = {
    "Unit": "Description Documentation Requires Wants After StartLimitIntervalSec StartLimitBurst",
    "Socket": """
        ListenStream FileDescriptorName Service SocketUser SocketGroup SocketMode DirectoryMode Backlog RemoveOnStop
        """,
    "Service": """
        Type NotifyAccess ExecStart ExecReload Sockets User Group SupplementaryGroups StateDirectory StateDirectoryMode
        WatchdogSec Restart RestartSec RestartPreventExitStatus TimeoutStartSec TimeoutStopSec KillMode UMask
        LimitNOFILE LimitCORE NoNewPrivileges CapabilityBoundingSet AmbientCapabilities ProtectSystem ReadWritePaths
        ProtectHome PrivateTmp ProtectProc LoadCredential Environment
        """,
    "Timer": "",
    "Install": "WantedBy Also",
}
#: What is passed over knowingly: it wants cgroups, or system call filters, and only
#: ever takes rights away; or hours.
IGNORED: Final = {
    "Service": """
        OOMPolicy TasksMax MemoryMax CPUQuota IPAddressDeny IPAddressAllow PrivateDevices ProtectClock ProtectHostname
        ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProcSubset
        RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID LockPersonality
        MemoryDenyWriteExecute RemoveIPC SystemCallArchitectures SystemCallFilter SystemCallErrorNumber
        """,
    # A test has its service started instead.
    "Timer": "OnCalendar RandomizedDelaySec Persistent",
}
_SECONDS: Final = {"": 1, "s": 1, "sec": 1, "ms": 0.001, "min": 60, "h": 3600}


class BadUnit(Exception):
    """A unit that systemd would not run so, or of which the supervisor does not know
    how it would.
    """


class Unit:
    """One unit: {(section, key): values in order}."""

    def __init__(self, name: str, top: Path = Path("/")) -> None:
        self.name = name
        self.kind = name.rpartition(".")[2].title()
        self._values: dict[tuple[str, str], list[str]] = {}
        files = list(_files(name, top))
        if not files:
            raise BadUnit(f"Unit {name} could not be found.")
        for file in files:
            self._read(file)

    def all(self, key: str, section: str = "") -> list[str]:
        """The words of *key*, over all its lines."""
        return [word for line in self.lines(key, section) for word in line.split()]

    def lines(self, key: str, section: str = "") -> list[str]:
        """The values of *key*, one a line."""
        return self._values.get((section or self.kind, key), [])

    def one(self, key: str, default: str = "", section: str = "") -> str:
        """The last value of *key*."""
        return (self.lines(key, section) or [default])[-1]

    def yes(self, key: str) -> bool:
        """Whether *key* is on."""
        return self.one(key) in ("yes", "true", "on", "1")

    def seconds(self, key: str, default: float, section: str = "") -> float:
        """A span of time."""
        text = self.one(key, str(default), section)
        number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
        return float(number) * _SECONDS[text[len(number) :].strip()]

    def _read(self, file: Path) -> None:
        section = ""
        for line in file.read_text().replace("\\\n", " ").splitlines():
            text = line.strip()
            if not text or text[0] in "#;":
                continue
            if text[0] == "[":
                section = text.strip("[]")
                continue
            key, equals, value = (part.strip() for part in text.partition("="))
            self._check(file, section, key, value, equals)
            if not value:
                self._values[section, key] = []
            else:
                self._values.setdefault((section, key), []).append(value)

    def _check(
        self, file: Path, section: str, key: str, value: str, equals: str
    ) -> None:
        if (
            not equals
            or key
            not in f"{HONOURED.get(section, '')} {IGNORED.get(section, '')}".split()
        ):
            raise BadUnit(
                f"{file}: [{section}] {key}: the supervisor does not know this directive"
            )
        if section not in ("Unit", "Install", self.kind):
            raise BadUnit(f"{file}: a section [{section}] in a {self.kind.lower()}")
        if "%" in value.replace("%%", ""):
            raise BadUnit(f"{file}: {key}={value}: the supervisor knows no specifiers")


def is_there(name: str) -> bool:
    """Whether there is a file of this unit."""
    return any(True for _ in _files(name, Path("/")))


def _files(name: str, top: Path) -> Iterator[Path]:
    places = [top / folder.lstrip("/") for folder in FOLDERS]
    main = next((place / name for place in places if (place / name).is_file()), None)
    if main is not None:
        yield main
        extra = {
            file.name: file
            for place in reversed(places)
            for file in (place / f"{name}.d").glob("*.conf")
        }
        yield from (extra[key] for key in sorted(extra))
