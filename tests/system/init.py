#!/usr/bin/python3 -I
"""The first process of a test's machine: reaps what is orphaned and does with unit
files what systemd does with them.

    python3 -I init.py FOLDER-OF-THIS-FILE

`systemctl` and `journalctl` of the machine are links to this very file and speak to it.
It ends, and with it all that runs on the machine, when its standard input does: whoever
started the machine is gone then.
"""

import grp
import json
import os
import pwd
import selectors
import shlex
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from units import BadUnit, Unit, is_there  # type: ignore[import-not-found]

CONTROL = "/run/init.sock"
JOURNAL = "/var/log/journal.txt"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Signals by which a service may end without having failed.
CLEAN = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


def main() -> None:
    """Be `systemctl`, `journalctl`, or the first process."""
    name = os.path.basename(sys.argv[0])
    if name == "journalctl":
        sys.stdout.write(Path(JOURNAL).read_text())
    elif name == "systemctl":
        sys.exit(ask(sys.argv[1:]))
    else:
        Supervisor().run()


def ask(args: "list[str]") -> int:
    """Have the supervisor do *args*; the exit code."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(CONTROL)
        channel.sendall(json.dumps(args).encode() + b"\n")
        answer = json.loads(channel.makefile().readline())
    print(
        answer["text"],
        end="\n" if answer["text"] else "",
        file=sys.stderr if answer["code"] else sys.stdout,
    )
    return int(answer["code"])


def say(text: str) -> None:
    """A line in the journal."""
    with open(JOURNAL, "a") as journal:
        journal.write(f"systemd: {text}\n")


class Sockets:
    """A socket unit: listening, and starting its service when somebody connects."""

    def __init__(self, unit: Unit) -> None:
        self.unit, self.path = unit, unit.one("ListenStream")
        self.listener = self._listen()
        self.name = unit.one("FileDescriptorName", unit.name)
        self.service = unit.one("Service", unit.name.replace(".socket", ".service"))

    def _listen(self) -> socket.socket:
        unit, path = self.unit, Path(self.path)
        before = os.umask(0)
        try:
            path.parent.mkdir(
                parents=True,
                exist_ok=True,
                mode=int(unit.one("DirectoryMode", "0755"), 8),
            )
            if path.is_socket():
                path.unlink()
            os.umask(0o777 & ~int(unit.one("SocketMode", "0666"), 8))
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.path)
        finally:
            os.umask(before)
        owner, group = unit.one("SocketUser"), unit.one("SocketGroup")
        os.chown(
            path,
            pwd.getpwnam(owner).pw_uid if owner else 0,
            grp.getgrnam(group).gr_gid if group else 0,
        )
        listener.listen(int(unit.one("Backlog", "4096")))
        return listener

    def close(self) -> None:
        """Stop listening."""
        self.listener.close()
        if self.unit.yes("RemoveOnStop"):
            Path(self.path).unlink(missing_ok=True)


class Service:
    """A service unit and the process it is."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.state, self.result, self.status = "inactive", "success", ""
        self.main = self.reloading = self.reload_code = 0
        self.deadline = self.alive_until = self.restart_at = float("inf")
        self.starts: list[float] = []
        self.restarts = 0
        self.aborted = False
        #: Whether it has come to rest when it has ended.
        self.is_brief = unit.one("Type") == "oneshot"


class Supervisor:
    """Everything that runs, in one loop."""

    def __init__(self) -> None:
        self.sockets: dict[str, Sockets] = {}
        self.services: dict[str, Service] = {}
        self.selector = selectors.DefaultSelector()
        # who asked, of which unit, for what
        self.waiting: list[tuple[socket.socket, str, str]] = []
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def run(self) -> None:
        """Until standard input ends."""
        os.makedirs("/run/systemd", exist_ok=True)
        before = os.umask(0)
        self.notify.bind("/run/systemd/notify")
        os.umask(before)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        control = socket.socket(socket.AF_UNIX)
        control.bind(CONTROL)
        control.listen()
        children, tell = os.pipe()
        os.set_blocking(tell, False)
        os.set_blocking(children, False)
        signal.set_wakeup_fd(tell)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for thing, what in (
            (self.notify, self._notified),
            (control, lambda: self._asked(control)),
            (0, sys.exit),
        ):
            self.selector.register(thing, selectors.EVENT_READ, what)
        self.selector.register(
            children, selectors.EVENT_READ, lambda: os.read(children, 4096)
        )
        os.write(1, b"up\n")
        while True:
            for key, _ in self.selector.select(0.2 if self.services else None):
                key.data()
            self._reap()
            for service in list(self.services.values()):
                self._look(service)
            self._answer()

    # -- what is asked
    # -------------------------------------------------------------------------------------------

    def _asked(self, control: socket.socket) -> None:
        channel, _ = control.accept()
        words = json.loads(channel.makefile().readline())
        args = [word for word in words if not word.startswith("-")]
        now = "--now" in words
        try:
            text, wait = self._do(channel, args[0] if args else "status", args[1:], now)
        except BadUnit as error:
            self._tell(channel, 5, str(error))
        except OSError as error:
            self._tell(channel, 1, f"Job failed: {error}")
        else:
            if not wait:
                idle = args[:1] == ["is-active"] and text != "active"
                self._tell(channel, 3 if idle else 0, text)

    def _do(
        self, channel: socket.socket, verb: str, names: "list[str]", now: bool
    ) -> "tuple[str, bool]":
        """Returns the text to answer, and whether the answer is to wait for the units."""
        full = [name if "." in name else f"{name}.service" for name in names]
        if verb == "daemon-reload":
            for service in self.services.values():
                # What has ended may be of a package that is gone.
                if service.state != "inactive" or is_there(service.unit.name):
                    service.unit = Unit(service.unit.name)
            return "", False
        if verb in ("enable", "disable"):
            for name in full:
                Unit(name)
            verb = {"enable": "start", "disable": "stop"}[verb]
            if not now:
                return "", False
        if verb == "reset-failed":
            for service in self.services.values():
                service.starts.clear()
            return "", False
        if verb in ("is-active", "show", "status"):
            return self._show(verb, full[0]), False
        for name in full:
            getattr(self, f"_{verb}")(name)
        # Answer once every service named has come to rest.
        self.waiting += [(channel, name, verb) for name in full[-1:]]
        return "", True

    def _show(self, verb: str, name: str) -> str:
        if name.endswith(".socket"):
            return "active" if name in self.sockets else "inactive"
        service = self.services.get(name) or Service(Unit(name))
        if verb == "is-active":
            return service.state
        facts = {
            "ActiveState": service.state,
            "Result": service.result,
            "MainPID": service.main,
        }
        facts |= {"NRestarts": service.restarts, "StatusText": service.status}
        return "\n".join(f"{key}={value}" for key, value in facts.items())

    def _answer(self) -> None:
        for asked in list(self.waiting):
            channel, name, verb = asked
            service = self.services.get(name)
            if service and (
                service.reloading
                or service.state in ("activating", "deactivating", "reloading")
            ):
                continue
            self.waiting.remove(asked)
            rests = verb == "stop" or (service and service.is_brief)
            good = not service or service.state == ("inactive" if rests else "active")
            if service and verb == "reload":
                good = good and service.reload_code == 0
            text = (
                ""
                if good or not service
                else f"Job for {name} failed ({service.result}). See journalctl."
            )
            self._tell(channel, 0 if good or verb == "stop" else 1, text)

    def _tell(self, channel: socket.socket, code: int, text: str) -> None:
        with suppress(OSError):
            channel.sendall(json.dumps({"code": code, "text": text}).encode() + b"\n")
        channel.close()

    def _start(self, name: str) -> None:
        if name.endswith(".socket"):
            if name not in self.sockets:
                made = self.sockets[name] = Sockets(Unit(name))
                self._watch(made)
            return
        if name.endswith(".timer"):
            Unit(name)
            return
        service = self.services.setdefault(name, Service(Unit(name)))
        for other in service.unit.all("Requires", "Unit"):
            self._start(other)
        if service.state in ("inactive", "failed", "auto-restart"):
            self._launch(service)

    def _stop(self, name: str) -> None:
        if name.endswith(".socket"):
            found = self.sockets.pop(name, None)
            if found:
                self._unwatch(found)
                found.close()
            # Whoever requires it is stopped with it.
            for other, each in self.services.items():
                if name in each.unit.all("Requires", "Unit"):
                    self._stop(other)
            return
        service = self.services.get(name)
        if service and not service.main:
            self._settle(service, "inactive")
        elif service and service.state != "deactivating":
            service.state, service.deadline = (
                "deactivating",
                time.monotonic() + self._patience(service),
            )
            os.kill(service.main, signal.SIGTERM)

    def _restart(self, name: str) -> None:
        service = self.services.get(name)
        if service and service.main:
            self._stop(name)
            service.restart_at = 0.0
        else:
            self._start(name)

    def _reload(self, name: str) -> None:
        service = self.services.get(name)
        if not service or service.state != "active":
            raise BadUnit(f"{name} is not active, cannot reload.")
        service.reload_code = 0
        service.reloading = self._spawn(
            service, service.unit.one("ExecReload"), {"MAINPID": str(service.main)}
        )

    # -- what happens
    # --------------------------------------------------------------------------------------------

    def _watch(self, listening: Sockets) -> None:
        """Start the service when somebody connects."""
        self._unwatch(listening)

        def connected() -> None:
            self._unwatch(listening)
            self._start(listening.service)

        self.selector.register(listening.listener, selectors.EVENT_READ, connected)

    def _unwatch(self, listening: Sockets) -> None:
        if listening.listener.fileno() in self.selector.get_map():
            self.selector.unregister(listening.listener)

    def _of(self, service: Service) -> "list[Sockets]":
        names = service.unit.all("Sockets")
        return [self.sockets[name] for name in names if name in self.sockets]

    def _launch(self, service: Service) -> None:
        unit, now = service.unit, time.monotonic()
        service.starts = [
            at
            for at in service.starts
            if at > now - unit.seconds("StartLimitIntervalSec", 10, "Unit")
        ]
        if len(service.starts) >= int(unit.one("StartLimitBurst", "5", "Unit")):
            for listening in self._of(service):  # systemd: its sockets fail with it
                self._stop(listening.unit.name)
            service.result = "start-limit-hit"
            self._settle(service, "failed")
            return
        service.starts.append(now)
        service.state, service.result, service.aborted = "activating", "success", False
        service.restart_at = service.alive_until = float("inf")
        patience = 1e9 if service.is_brief else 90.0
        service.deadline = now + unit.seconds("TimeoutStartSec", patience)
        for listening in self._of(service):
            self._unwatch(listening)
        service.main = self._spawn(
            service, unit.one("ExecStart"), self._main_environment(service)
        )
        if unit.one("Type", "simple") not in ("notify", "oneshot"):
            self._ready(service)

    def _main_environment(self, service: Service) -> "dict[str, str]":
        found = {"NOTIFY_SOCKET": "/run/systemd/notify"}
        listening = self._of(service)
        if listening:
            found |= {
                "LISTEN_FDS": str(len(listening)),
                "LISTEN_FDNAMES": ":".join(each.name for each in listening),
            }
        watchdog = service.unit.seconds("WatchdogSec", 0)
        if watchdog:
            found |= {"WATCHDOG_USEC": str(int(watchdog * 1_000_000))}
        return found

    def _ready(self, service: Service) -> None:
        service.state, service.deadline = "active", float("inf")
        watchdog = service.unit.seconds("WatchdogSec", 0)
        service.alive_until = time.monotonic() + watchdog if watchdog else float("inf")

    def _notified(self) -> None:
        raw, more, _, _ = self.notify.recvmsg(65536, socket.CMSG_SPACE(12))
        pid = struct.unpack("3i", more[0][2])[0] if more else 0
        told = [service for service in self.services.values() if service.main == pid]
        if not told:  # NotifyAccess=main
            say(
                f"a notification of process {pid}, which is nobody's main process: {raw!r}"
            )
        for line in raw.decode().splitlines() if told else ():
            self._take_in(told[0], *line.partition("=")[::2])

    def _take_in(self, service: Service, key: str, value: str) -> None:
        if key == "READY" and service.state in ("activating", "reloading", "active"):
            self._ready(service)
        elif key == "RELOADING" and service.state == "active":
            service.state = "reloading"
        elif key == "STOPPING":
            service.state = "deactivating"
            service.deadline = min(
                service.deadline, time.monotonic() + self._patience(service)
            )
            service.alive_until = float("inf")
        elif key == "WATCHDOG" and service.state in ("active", "reloading"):
            service.alive_until = time.monotonic() + service.unit.seconds(
                "WatchdogSec", 0
            )
        elif key == "EXTEND_TIMEOUT_USEC":
            service.deadline = max(
                service.deadline, time.monotonic() + int(value) / 1_000_000
            )
        elif key == "STATUS":
            service.status = value

    def _patience(self, service: Service) -> float:
        return float(service.unit.seconds("TimeoutStopSec", 90))

    def _look(self, service: Service) -> None:
        """What time brings."""
        now = time.monotonic()
        if service.main and now > service.alive_until and not service.aborted:
            say(
                f"{service.unit.name}: watchdog timeout, killing process {service.main} with SIGABRT"
            )
            service.aborted, service.result = True, "watchdog"
            service.deadline = now + self._patience(service)
            os.kill(service.main, signal.SIGABRT)
        elif service.main and now > service.deadline:
            say(f"{service.unit.name}: timed out while {service.state}, killing")
            service.result = service.result if service.aborted else "timeout"
            service.deadline = float("inf")
            self._kill_all(service)
        elif not service.main and now > service.restart_at:
            self._launch(service)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for service in self.services.values():
                if pid == service.main:
                    self._ended(service, status)
                elif pid == service.reloading:
                    service.reloading, service.reload_code = (
                        0,
                        os.waitstatus_to_exitcode(status),
                    )

    def _ended(self, service: Service, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        asked, service.main = service.state == "deactivating", 0
        self._kill_all(service)  # KillMode=mixed: what is left of it goes with it
        good = code == 0 or -code in CLEAN
        if service.result == "success" and not good:
            service.result = "exit-code" if code > 0 else "signal"
        say(f"{service.unit.name}: main process ended with {code}, {service.result}")
        prevented = str(code) in service.unit.all("RestartPreventExitStatus")
        if asked and service.restart_at == 0.0:
            self._launch(service)
        elif (
            service.result != "success"
            and self._restarts(service)
            and not prevented
            and not asked
        ):
            service.restarts += 1
            service.state = "auto-restart"
            service.restart_at = time.monotonic() + service.unit.seconds(
                "RestartSec", 0.1
            )
        else:
            self._settle(
                service, "inactive" if service.result == "success" else "failed"
            )

    def _restarts(self, service: Service) -> bool:
        policy = str(service.unit.one("Restart", "no"))
        if policy not in ("no", "on-failure", "always"):
            raise BadUnit(f"Restart={policy}: the supervisor does not know this policy")
        return policy != "no"

    def _settle(self, service: Service, state: str) -> None:
        """At rest: the next connection starts it again."""
        service.state = state
        service.deadline = service.alive_until = service.restart_at = float("inf")
        for listening in self._of(service):
            self._watch(listening)

    def _kill_all(self, service: Service) -> None:
        """SIGKILL to its control group, which here is whatever runs under its account."""
        if service.is_brief:
            return  # another one's may be under the same account
        uid = pwd.getpwnam(service.unit.one("User", "root")).pw_uid
        for entry in Path("/proc").glob("[0-9]*/status") if uid else ():
            with suppress(OSError):
                if f"\nUid:\t{uid}\t" in entry.read_text():
                    os.kill(int(entry.parent.name), signal.SIGKILL)

    # -- a process, as the unit says
    # ------------------------------------------------------------------------------

    def _spawn(self, service: Service, line: str, more: "dict[str, str]") -> int:
        unit, user = service.unit, pwd.getpwnam(service.unit.one("User", "root"))
        environment = {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
        }
        environment |= {
            "HOME": user.pw_dir,
            "SHELL": user.pw_shell,
            "INVOCATION_ID": os.urandom(16).hex(),
            **more,
        }
        environment |= dict(
            word.split("=", 1)
            for word in shlex.split(" ".join(unit.lines("Environment")))
        )
        command = [*_sandbox(unit, user, environment), *shlex.split(line)]
        fds = (
            [each.listener.fileno() for each in self._of(service)]
            if "LISTEN_FDS" in more
            else []
        )
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            journal = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            moved = [os.dup2(fd, 100 + place) for place, fd in enumerate(fds)]
            for fd, place in (
                (os.open("/dev/null", os.O_RDONLY), 0),
                (journal, 1),
                (journal, 2),
            ):
                os.dup2(fd, place)
            for place, fd in enumerate(moved):
                os.dup2(fd, 3 + place)
            os.closerange(3 + len(fds), 4096)
            signal.set_wakeup_fd(-1)
            if fds:
                environment["LISTEN_PID"] = str(os.getpid())
            if "WATCHDOG_USEC" in environment:
                environment["WATCHDOG_PID"] = str(os.getpid())
            os.chdir("/")
            os.execve(command[0], command, environment)
        finally:
            os._exit(203)  # EXEC, as systemd has it


def _sandbox(
    unit: Unit, user: pwd.struct_passwd, environment: "dict[str, str]"
) -> "list[str]":
    """The command that becomes the service's process: its folders, its own mounts, its
    rights.
    """
    group = unit.one("Group")
    gid = grp.getgrnam(group).gr_gid if group else user.pw_gid
    groups = {gid, *os.getgrouplist(user.pw_name, gid)}
    groups |= {grp.getgrnam(name).gr_gid for name in unit.all("SupplementaryGroups")}
    steps = [
        f"umask {unit.one('UMask', '0022')}",
        *_mounts(unit, user, gid, environment),
    ]
    for key, flag in (("LimitNOFILE", "-n"), ("LimitCORE", "-c")):
        if unit.one(key):
            # A container's root may raise no hard limit.
            steps.append(
                f"ulimit {flag} {unit.one(key)} 2>/dev/null || ulimit {flag} $(ulimit -H {flag})"
            )
    drop = [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={gid}",
        f"--groups={','.join(map(str, sorted(groups)))}",
    ]
    if unit.yes("NoNewPrivileges"):
        drop.append("--no-new-privs")
    if (
        unit.lines("CapabilityBoundingSet") == []
        and ("Service", "CapabilityBoundingSet") in unit._values
    ):
        drop += ["--bounding-set=-all", "--inh-caps=-all"]
    steps.append(f'exec {shlex.join(drop)} -- "$@"')
    return [
        "/usr/bin/unshare",
        "--mount",
        "--propagation",
        "private",
        "--",
        "/bin/sh",
        "-euc",
        "\n".join(steps),
        "sh",
    ]


def _mounts(
    unit: Unit, user: pwd.struct_passwd, gid: int, environment: "dict[str, str]"
) -> "list[str]":
    writable, steps = unit.all("ReadWritePaths"), []
    for name in unit.all("StateDirectory"):
        folder = f"/var/lib/{name}"
        owner = f"{user.pw_uid}:{gid}"
        steps += [
            f"mkdir -p {folder}",
            f'[ "$(stat -c %u:%g {folder})" = {owner} ] || chown -R {owner} {folder}',
            f"chmod {unit.one('StateDirectoryMode', '0755')} {folder}",
        ]
        writable.append(folder)
        environment["STATE_DIRECTORY"] = folder
    for credential in unit.lines("LoadCredential"):
        name, _, source = credential.partition(":")
        place = environment["CREDENTIALS_DIRECTORY"] = f"/run/credentials/{unit.name}"
        steps += [
            f"mkdir -p {place}",
            f"install -m 0400 -o {user.pw_uid} -g {gid} {source} {place}/{name}",
        ]
        steps += [f"chown {user.pw_uid}:{gid} {place}", f"chmod 0500 {place}"]
    protect = unit.one("ProtectSystem", "no")
    if protect not in ("no", "strict"):
        raise BadUnit(f"ProtectSystem={protect}: the supervisor does not know how")
    if protect == "strict":
        steps += [
            f"mount --bind {shlex.quote(path)} {shlex.quote(path)}" for path in writable
        ]
    if unit.yes("PrivateTmp"):
        steps += [
            f"mount -t tmpfs -o mode=1777 tmp {folder}"
            for folder in ("/tmp", "/var/tmp")
        ]
    if unit.yes("ProtectHome"):
        steps += [
            f"mount -t tmpfs -o mode=000,ro home {folder}"
            for folder in ("/home", "/root")
        ]
    if unit.one("ProtectProc", "default") == "invisible":
        steps.append("mount -t proc -o hidepid=invisible proc /proc")
    if protect == "strict":
        steps += [f"mount -o remount,bind,ro {folder}" for folder in ("/run", "/")]
    return steps


if __name__ == "__main__":
    main()
