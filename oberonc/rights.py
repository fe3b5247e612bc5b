"""What accounts may reach, by the modes of files, and doing something as one of them."""

import json
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from oberonc.accounts import group_name
from oberonc.errors import NotAllowed, OberoncError
from oberonc.text import one_line

#: Links that are followed on the way to a file, as the kernel does.
_MOST_LINKS = 40


class Account(NamedTuple):
    """Who would use a file. *uid* -1 stands for
    people of whom only the groups are known.
    """

    uid: int
    groups: frozenset[int]
    name: str


#: Anybody who has an account here.
EVERYBODY = Account(-1, frozenset(), "everybody")


def account(uid: int) -> Account:
    """The account *uid* with all its groups."""
    try:
        known = pwd.getpwuid(uid)
    except KeyError:  # a container's user need not have a name
        return Account(uid, frozenset(), f"uid {uid}")
    return Account(
        uid, frozenset(os.getgrouplist(known.pw_name, known.pw_gid)), known.pw_name
    )


def members(gid: int) -> Account:
    """Whoever is in the group *gid*."""
    return Account(-1, frozenset({gid}), f"the group {group_name(gid)}")


def may(facts: os.stat_result, who: Account, bits: int) -> bool:
    """Whether the mode gives *who* all of *bits* (4 read, 2 write, 1 pass or run)."""
    if who.uid == 0:
        return True
    if who.uid == facts.st_uid:
        return facts.st_mode >> 6 & bits == bits
    if facts.st_gid in who.groups:
        return facts.st_mode >> 3 & bits == bits
    return facts.st_mode & bits == bits


def hurdle(path: Path, who: Account, bits: int = 4) -> str:
    """What keeps *who* from using *path*: "/root (mode 0700)", or an empty string."""
    for place in _way(path):
        try:
            facts = place.lstat()
        except OSError as error:
            return f"{place} ({error.strerror})"
        # Read or run the file itself; pass through what lies on the way, links aside.
        wanted = 1 if stat.S_ISDIR(facts.st_mode) and place != path else bits
        if not stat.S_ISLNK(facts.st_mode) and not may(facts, who, wanted):
            return f"{place} (mode {stat.S_IMODE(facts.st_mode):04o})"
    return ""


def _way(path: Path) -> Iterator[Path]:
    """Every folder, link and file that the kernel meets on the way to *path*."""
    parts, here, links = list(path.absolute().parts[:0:-1]), Path("/"), 0
    yield here
    while parts:
        name = parts.pop()
        here = here.parent if name == ".." else here / name
        yield here
        if here.is_symlink() and links < _MOST_LINKS:
            links += 1
            target = here.readlink()
            here = Path("/") if target.is_absolute() else here.parent
            parts += [part for part in target.parts[::-1] if part != "/"]


def as_account(uid: int, work: Callable[[], Any]) -> Any:
    """What *work* returns (JSON) in a child that is the account *uid*; raises what it
    raises. Only root can do this.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be(uid, work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        written = stream.read()
    os.waitpid(child, 0)
    try:
        answer = dict(json.loads(written))
    except (ValueError, TypeError):
        answer = {"error": "its process ended early", "code": NotAllowed.exit_code}
    if "error" in answer:
        kinds = {kind.exit_code: kind for kind in OberoncError.__subclasses__()}
        raise kinds.get(answer["code"], NotAllowed)(
            f"as {account(uid).name}: {answer['error']}"
        )
    return answer["said"]


def _be(uid: int, work: Callable[[], Any], writing: int) -> None:
    """Become *uid*, work, answer, end: nothing of the parent's is run at the end."""
    try:
        try:
            known = pwd.getpwuid(uid)
            os.initgroups(known.pw_name, known.pw_gid)
            os.setgid(known.pw_gid)
            os.setuid(uid)
            os.environ.update(
                HOME=known.pw_dir, USER=known.pw_name, LOGNAME=known.pw_name
            )
            answer = {"said": work()}
        except Exception as error:  # noqa: BLE001  the parent tells it
            code = getattr(error, "exit_code", NotAllowed.exit_code)
            answer = {
                "error": one_line(str(error) or type(error).__name__),
                "code": code,
            }
        os.write(writing, json.dumps(answer).encode())
    finally:
        os._exit(0)
