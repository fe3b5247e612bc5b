"""What a repository's branches and tags were last told of, kept in its git folder.

It makes a commit new once and published once: what was known before a push does not
depend on what moved since, and what no hook told of (`git am`, `reset`, two pushes at
the same moment) is told by the next one. It is a file of lines `KIND OID REF`, later
ones win; docs/design.md tells why it is not a ref. Where the git folder cannot be
written there is no memory, and each hook goes by what it sees.
"""

from __future__ import annotations

import os
import stat

from oberonc import files
from oberonc.source.git import null_oid
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER, FILE = "oberonc", "told"
#: The latest pushes from here that were told of, and how many of them are kept.
PUSHED, _PUSHED_LIMIT = "pushed", 100
#: Seconds to wait for another hook of the repository; a hook never hangs a push.
PATIENCE = 10.0
#: Tips that publish refs left; older ones are forgotten.
LEFT_LIMIT = 1000
#: Bytes above which the file is not ours; lines above what is needed after which it is
#: written anew.
_SIZE_LIMIT = 1 << 26
_SPARE_LINES = 500
_DOWN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Told(NamedTuple):
    """Where a ref stood when it was last told of; *publish*: it was a publish ref then.

    *found* says that no push told of it: it stood there at the first look.
    """

    oid: str
    publish: bool
    found: bool = False


class Memory:
    """What is remembered, and the lines that are to be added to it.

    `left` are tips of publish refs that were forced away or deleted, True until
    something was published in their place; `foreign` are tips of other projects'
    histories that were merged in.
    """

    def __init__(self) -> None:
        self.refs: dict[str, Told] = {}
        #: Where they truly stood at the first look, as far as pushes have shown since;
        #: `late` are the refs of this push that it came too late for.
        self.start: dict[str, Told] = {}
        self.late: set[str] = set()
        self.left: dict[str, bool] = {}
        self.foreign: set[str] = set()
        self.first_look = True
        #: To be added to the file; and what takes back what was told of refs.
        self.lines: list[str] = []
        self.undo: list[str] = []
        self.count = 0

    def tell(self, ref: str, oid: str, publish: bool, before: str = "") -> None:
        """*ref* has been told of at *oid*; *before*: where it truly stood at the first
        look, if this push shows it.
        """
        stood = self.refs.get(ref) or Told(before or "0" * len(oid), publish)
        self.undo.append(f"{'publish' if stood.publish else 'other'} {stood.oid} {ref}")
        self._add("publish" if publish else "other", oid, f"{ref} {before}")

    def look(self) -> None:
        """The repository was looked at, whatever was there."""
        self._add("looked", "0")

    def find(self, ref: str, oid: str, publish: bool) -> None:
        """*ref* stood at *oid* at the first look."""
        self._add("found-publish" if publish else "found", oid, ref)

    def leave(self, oid: str, waiting: bool) -> None:
        """A publish ref left *oid*; *waiting*: and nothing was published in its place."""
        self._add("waiting" if waiting else "left", oid)

    def merge_foreign(self, oid: str) -> None:
        """Another project's history up to *oid* was merged in."""
        self._add("foreign", oid)

    def rename(self, alias: str, ref: str) -> None:
        """What is remembered of *alias* is true of *ref*."""
        for refs in (self.refs, self.start):
            if alias in refs:
                told = refs.pop(alias)
                refs[ref] = Told(
                    told.oid, told.publish or (ref in refs and refs[ref].publish)
                )

    def is_found(self, ref: str, oid: str) -> bool:
        """Whether *ref* stood at *oid* at the first look, and nobody was told of it."""
        told = self.refs.get(ref)
        return told is not None and told.found and told.oid == oid

    def restart(self, late: set[str]) -> None:
        """Go by where the refs stood at the first look, which came too late for *late*:
        what was told of since is all but what they led to.
        """
        self.late = late
        self.refs = {ref: told for ref, told in self.start.items() if ref not in late}

    def _add(self, kind: str, oid: str, ref: str = "") -> None:
        self.lines.append(f"{kind} {oid} {ref}".rstrip())
        self.read(self.lines[-1])

    def read(self, line: str) -> None:
        """Take in one line; one that is broken (a full disk) is passed over."""
        kind, oid, ref, before = [*line.split(" "), "", "", ""][:4]
        if not oid.isalnum():
            return
        self.count += 1
        stood = self.refs.get(ref)
        if kind in ("left", "waiting"):
            self.left.pop(oid, None)
            self.left[oid] = kind == "waiting"
        elif kind == "foreign":
            self.foreign.add(oid)
        elif kind in ("publish", "other", "moved", "found", "found-publish"):
            if stood and stood.publish and kind in ("other", "moved"):
                # It is no publish ref any more, or nobody looked how it moved: what it
                # stood for was published.
                self.left.setdefault(stood.oid, False)
            publish = kind.endswith("publish") or (
                kind == "moved" and stood is not None and stood.publish
            )
            found = kind.startswith("found")
            _set(self.refs, ref, Told(oid, publish, found))
            if found or before:
                _set(self.start, ref, Told(before or oid, publish))

    def compacted(self, there: Iterable[str]) -> list[str]:
        """The lines that say the same, without refs that are gone;
        *there* are the refs that exist.
        """
        exist = set(there)
        self.left |= {
            told.oid: False
            for ref, told in self.refs.items()
            if told.publish and ref not in exist
        }
        kept = Memory()
        kept.look()
        for oid, waiting in list(self.left.items())[-LEFT_LIMIT:]:
            kept.leave(oid, waiting)
        for oid in self.foreign:
            kept.merge_foreign(oid)
        for ref, told in self.refs.items():
            if ref in exist:
                kept.tell(ref, told.oid, told.publish)
        return kept.lines

    def is_long(self) -> bool:
        """Whether most of its lines say nothing any more."""
        return (
            not self.late  # then `refs` are older than what the lines say
            and self.count
            > 2 * (len(self.refs) + min(len(self.left), LEFT_LIMIT)) + _SPARE_LINES
        )


def _set(refs: dict[str, Told], ref: str, told: Told) -> None:
    if null_oid(told.oid):
        refs.pop(ref, None)
    else:
        refs[ref] = told


class Held:
    """The memory of a repository; when it is *locked*, for this process alone until the
    end of `hold`.

    One that may be read and not written is as good as none: it would tell the same
    again and again.
    """

    def __init__(self, folder: int | None, locked: bool) -> None:
        self._folder = folder if locked else None
        self.memory = Memory()
        if folder is not None:
            self._load(folder)

    def _load(self, folder: int) -> None:
        try:
            with os.fdopen(_open(folder, os.O_RDWR), "rb") as file:
                said = file.read() if _is_ours(file.fileno()) else b""
        except OSError:
            return
        for line in said.decode("utf-8", "replace").split("\n"):
            self.memory.read(line)
        self.memory.first_look = not self.memory.count

    def save(self, there: Iterable[str]) -> None:
        """Write what was added; *there* are the refs that exist. Where that fails, the
        next hook tells it again.
        """
        memory = self.memory
        if self._folder is None:
            return
        try:
            if memory.is_long():
                _replace(self._folder, memory.compacted(there))
            elif memory.lines:
                _append(self._folder, memory.lines)
        except OSError:
            pass
        memory.lines = []


class hold:
    """As a context: the memory of the repository whose common folder is *git_dir*;
    other hooks of it wait meanwhile.

    After `PATIENCE` it is only looked at,
    and what this hook tells is told once more by the next.
    """

    def __init__(self, git_dir: str) -> None:
        self._git_dir = git_dir
        self._folder: int | None = None

    def __enter__(self) -> Held:
        try:
            self._folder = _folder(self._git_dir)
        except OSError:
            return Held(None, locked=False)
        return Held(self._folder, locked=_lock(self._folder))

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._folder)


def note(git_dir: str, moved: Iterable[tuple[str, str]]) -> None:
    """Remember (ref, oid) pairs of a push that nobody wanted: they are not told of
    later. Only where there is a memory: half of one would make old commits new.
    """
    try:
        folder = os.open(f"{git_dir}/{FOLDER}", _DOWN)
        try:
            os.stat(FILE, dir_fd=folder, follow_symlinks=False)
            if _lock(folder):
                _append(folder, [f"moved {oid} {ref}" for ref, oid in moved])
        finally:
            os.close(folder)
    except OSError:
        pass


def take_back(git_dir: str, undo: list[str]) -> None:
    """Add the lines *undo*: what was told of last did not reach anybody."""
    with hold(git_dir) as held:
        if not held.memory.first_look:
            held.memory.lines = undo
            held.save(held.memory.refs)


def is_kept(git_dir: str) -> bool:
    """Whether anything is remembered: hooks were installed, and not taken away."""
    return os.path.isfile(f"{git_dir}/{FOLDER}/{FILE}")


def is_first_time(git_dir: str, ref: str, move: str) -> bool:
    """Whether the push that made *move* of the remote's *ref* was not told of yet; from
    now on it is. Git moves a ref to where it is, too.
    """
    file = f"{git_dir}/{FOLDER}/{PUSHED}"
    try:
        with open(file) as stream:
            known = stream.read().splitlines()
    except (OSError, ValueError):
        known = []
    if f"{move} {ref}" in known:
        return False
    others = [line for line in known if not line.endswith(f" {ref}")]
    lines = [*others[-_PUSHED_LIMIT:], f"{move} {ref}\n"]
    try:
        os.close(_folder(git_dir))
        fresh = f"{file}.{os.getpid()}"
        with open(fresh, "w") as stream:
            stream.write("\n".join(lines))
        os.replace(fresh, file)
    except OSError:
        pass
    return True


def forget(git_dir: str) -> None:
    """Remember nothing: what happens from now on in the repository is not told of."""
    for name in (PUSHED, FILE):
        try:
            os.unlink(f"{git_dir}/{FOLDER}/{name}")
        except OSError:
            pass
    try:
        os.rmdir(f"{git_dir}/{FOLDER}")
    except OSError:
        pass


def _folder(git_dir: str) -> int:
    path = f"{git_dir}/{FOLDER}"
    try:
        return os.open(path, _DOWN)
    except FileNotFoundError:
        pass
    # Whoever may push may write objects, and may come in as soon as the folder is there.
    like, before = os.stat(f"{git_dir}/objects"), os.umask(0)
    try:
        os.mkdir(path, stat.S_IMODE(like.st_mode) & 0o777)
    except FileExistsError:
        # By the hook of another first push. Each without the memory would take the
        # other's ref for old, and nobody would tell of the commits.
        pass
    finally:
        os.umask(before)
    folder = os.open(path, _DOWN)
    _share(folder, like, 0o7777)
    return folder


def _share(handle: int, like: os.stat_result, mask: int) -> None:
    """Give what *handle* is open on the mode of *like*, whatever the umask says, and
    its owner where root made it.
    """
    try:
        if os.geteuid() == 0:
            os.fchown(handle, like.st_uid, like.st_gid)
        os.fchmod(handle, stat.S_IMODE(like.st_mode) & mask)
    except OSError:
        pass


def _lock(folder: int) -> bool:
    """Whether nobody else has it within the time there is."""
    try:
        return files.lock_within(folder, PATIENCE)
    except OSError:  # a file system without locks
        return False


def _open(folder: int, flags: int, name: str = FILE) -> int:
    """A descriptor of the file *name*; links and what would block are not followed."""
    made = os.open(
        name, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=folder
    )
    if flags & os.O_CREAT and os.fstat(made).st_size == 0:
        _share(made, os.fstat(folder), 0o666)
    return made


def _is_ours(handle: int) -> bool:
    found = os.fstat(handle)
    return stat.S_ISREG(found.st_mode) and found.st_size <= _SIZE_LIMIT


def _append(folder: int, lines: list[str]) -> None:
    with os.fdopen(_open(folder, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "wb") as file:
        if _is_ours(file.fileno()):
            # The line break in front ends what a full disk cut.
            file.write(
                "".join(f"\n{line}" for line in lines).encode("utf-8", "replace")
            )


def _replace(folder: int, lines: list[str]) -> None:
    files.put(
        folder,
        FILE,
        "".join(f"\n{line}" for line in lines).encode("utf-8", "replace"),
        0o600,
    )
    with os.fdopen(_open(folder, os.O_WRONLY), "wb") as file:
        _share(file.fileno(), os.fstat(folder), 0o666)
