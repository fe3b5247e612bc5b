"""What is kept on disk is kept whole, in order, and for the right people."""

import ctypes  # noqa: F401  loaded before a test becomes somebody who may not read the interpreter
import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oberonc import files
from oberonc.config import Config, load
from oberonc.daemon.operations import renaming
from oberonc.delivery import log, runs, spool
from oberonc.errors import NotAccepted
from tests.support.admin import sample


def _entry(**changes: object) -> spool.Entry:
    return {"payload": sample(**changes), "services": None}


def _raw(body: bytes) -> bytes:
    return b"oberonc-spool 1 %d %s\n%s\nEND\n" % (
        len(body),
        hashlib.sha256(body).hexdigest().encode(),
        body,
    )


def test_what_was_put_is_read_back_oldest_first(tmp_path: Path) -> None:
    entries = [_entry(user=f"user {n} \udcff") for n in range(5)]
    kept = [spool.put(tmp_path / "spool", entry) for entry in entries]
    assert spool.listing(tmp_path / "spool") == kept
    assert [spool.read(path) for path in kept] == entries
    spool.remove(kept[0])
    spool.remove(kept[0])
    assert spool.listing(tmp_path / "spool") == kept[1:]


def test_a_name_replaces_the_older_file(tmp_path: Path) -> None:
    path = spool.put(tmp_path, _entry())
    newer = _entry()
    assert spool.put(tmp_path, newer, path.name) == path
    assert spool.read(path) == newer
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        b"oberonc-spool 2 1 x\n",
        b"oberonc-spool 1 99999999999 x\n",
        b"oberonc-spool 1 -1 x\n",
        b"oberonc-spool 1 2 0\n{}\nEND\n",
        _raw(b"{}"),
        _raw(b"[]"),
        _raw(b"{"),
        _raw(b'{"payload": []}'),
        _raw(b"[" * 100_000),
        _raw(b'{"payload": {}}')[:-1],
        _raw(b'{"payload": {}}') + b"x",
    ],
)
def test_a_file_that_is_not_what_was_written_is_damaged(
    tmp_path: Path, raw: bytes
) -> None:
    path = tmp_path / "1.ob"
    path.write_bytes(raw)
    with pytest.raises(spool.Damaged):
        spool.read(path)


def test_every_cut_of_a_file_is_noticed(tmp_path: Path) -> None:
    path = spool.put(tmp_path, {"payload": {"id": "0" * 32}, "services": None})
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(spool.Damaged):
            spool.read(path)


@pytest.mark.parametrize("kind", ["fifo", "symlink", "hardlink", "folder", "huge"])
def test_what_is_planted_neither_blocks_nor_leads_elsewhere(
    tmp_path: Path, kind: str
) -> None:
    good = spool.put(tmp_path / "spool", _entry())
    planted = good.with_name("0-planted.ob")
    if kind == "fifo":
        os.mkfifo(planted)
    elif kind == "symlink":
        planted.symlink_to(good)
    elif kind == "hardlink":
        os.link(good, planted)
    elif kind == "folder":
        planted.mkdir()
    else:
        planted.touch()
        os.truncate(planted, spool.LARGEST + 1)
    with pytest.raises(spool.Damaged) as caught:
        spool.read(planted)
    kept = spool.reject(planted, str(caught.value))
    assert kept.parent.name == "bad"
    assert (kept.parent / "0-planted.why").read_text() == f"{caught.value}\n"
    assert not os.path.lexists(planted)


def test_the_reason_is_not_written_through_a_planted_link(tmp_path: Path) -> None:
    spool.make(tmp_path / "spool")
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "spool" / "bad" / "x.why").symlink_to(victim)
    (tmp_path / "spool" / "new" / "x.ob").write_text("garbage")
    spool.reject(tmp_path / "spool" / "new" / "x.ob", "why")
    assert victim.read_text() == "untouched"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_spool_is_private(tmp_path: Path, umask: int) -> None:
    os.umask(umask)
    folder = tmp_path / "a" / "b" / "spool"
    _fill(folder)
    for path in [folder.parent.parent, folder.parent, folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (
            0o700 if path.is_dir() else 0o600
        ), path


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_spool_in_a_shared_folder_is_shared_with_its_group(
    tmp_path: Path, umask: int
) -> None:
    os.umask(umask)
    shared = tmp_path / "shared"
    shared.mkdir()
    if os.geteuid() == 0:
        os.chown(shared, -1, 12345)
    shared.chmod(0o2770)
    _fill(shared / "state" / "spool")
    for path in (shared / "state").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o2770 if path.is_dir() else 0o660), path
        assert path.stat().st_gid == shared.stat().st_gid


def _fill(folder: Path) -> None:
    entry = _entry()
    spool.put(folder, entry)
    spool.bury(folder, entry["payload"], "svc")
    bad = spool.put(folder, entry)
    spool.reject(bad, "why")
    with spool.lane(folder, "a/b", 0) as mine:
        assert mine


def test_who_works_for_one_repository_opens_only_its_files(tmp_path: Path) -> None:
    """200 kept pushes of other repositories cost one of this repository nothing."""
    for n in range(200):
        about = sample()["repository"] | {"full_name": f"other/{n}"}
        spool.put(tmp_path, _entry(repository=about))
    mine = spool.put(tmp_path, _entry())
    older = spool.put(tmp_path, _entry(), f"{1:020d}-{'0' * 32}.ob")
    assert spool.listing(tmp_path, sample()["repository"]["full_name"]) == [older, mine]
    assert len(spool.listing(tmp_path)) == 202
    assert (
        spool.read(older)["payload"]["repository"]
        == spool.read(mine)["payload"]["repository"]
    )


def test_a_file_that_is_named_as_another_repositorys_is_damaged(tmp_path: Path) -> None:
    path = spool.put(tmp_path, _entry())
    moved = path.rename(
        path.with_name(
            path.name.replace(spool.mark_in(path.name), spool.mark("web/other"))
        )
    )
    with pytest.raises(spool.Damaged, match="another repository"):
        spool.read(moved)


def test_a_folder_that_everybody_may_write_shares_nothing(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    files.make_private(tmp_path / "tmp" / "state")
    assert stat.S_IMODE((tmp_path / "tmp" / "state").stat().st_mode) == 0o700


def test_a_dead_letter_is_a_payload_file(tmp_path: Path) -> None:
    payload = sample()
    kept = spool.bury(tmp_path, payload, "svc")
    assert json.loads(kept.read_text()) == payload
    assert kept.name == f"{payload['id']}-svc.json"


def test_what_killed_processes_left_half_written_is_swept_after_a_day(
    tmp_path: Path,
) -> None:
    spool.make(tmp_path)
    old, new = tmp_path / "tmp" / "old", tmp_path / "tmp" / "new"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    spool.sweep(tmp_path)
    assert not old.exists()
    assert new.exists()


def test_a_lane_is_one_processs_at_a_time(tmp_path: Path) -> None:
    lane = spool.lane
    with (
        lane(tmp_path, "a/b", 0) as mine,
        lane(tmp_path, "a/b", 0) as again,
        lane(tmp_path, "a/c", 0) as other,
    ):
        assert (mine, again, other) == (True, False, True)
    with spool.lane(tmp_path, "a/b", 0) as mine:
        assert mine


@pytest.mark.parametrize("fault", ["a file", "a link to nothing"])
def test_a_spool_that_cannot_be_made_is_one_line(tmp_path: Path, fault: str) -> None:
    if fault == "a file":
        (tmp_path / "spool").write_text("")
    else:
        (tmp_path / "spool").symlink_to(tmp_path / "nowhere" / "else")
    with pytest.raises(NotAccepted, match="cannot keep the push in"):
        spool.put(tmp_path / "spool", _entry())
    assert spool.listing(tmp_path / "spool") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", *options], capture_output=True, check=False
        ).returncode
        != 0
    ):
        pytest.skip("needs root that may mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_there_and_leaves_nothing_half_done(
    small_disk: Path,
) -> None:
    kept = spool.put(small_disk, _entry())
    with pytest.raises(NotAccepted, match="No space left"):
        spool.put(small_disk, _entry(user="x" * 300_000))
    with pytest.raises(NotAccepted, match="No space left"):
        spool.put(small_disk, _entry(user="x" * 300_000), kept.name)
    assert spool.listing(small_disk) == [kept]
    spool.read(kept)
    assert list((small_disk / "tmp").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_the_spool_of_another_user_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    path = spool.put(folder, _entry())
    for place in (tmp_path, *tmp_path.parents[:2]):
        place.chmod(0o755)
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.setuid(54321)
        faults = 0
        try:
            spool.read(path)
        except PermissionError:
            faults += 1
        try:
            spool.put(folder, _entry())
        except NotAccepted:
            faults += 1
        os._exit(faults)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert spool.listing(folder) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become several people")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_several_people_of_one_group_share_a_spool_and_a_log(
    short_dir: Path, umask: int
) -> None:
    shared = short_dir / "state"
    shared.mkdir()
    short_dir.chmod(0o755)
    os.chown(shared, 0, 4711)
    shared.chmod(0o2770)
    config = load()._replace(
        state_folder=str(shared), spool_folder=str(shared / "spool")
    )
    for uid in (54321, 54322, 54323):
        child = os.fork()
        if child == 0:  # pragma: no cover
            code = 1
            try:
                _take_part(config, uid, umask)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    [path] = spool.listing(config.spool)
    assert spool.read(path)["payload"]["user"] == "54321"
    assert len(runs.recent(config, 9)) == 3


def _take_part(config: Config, uid: int, umask: int) -> None:
    """Log in as *uid*: keep a push, or work on the one that somebody else kept."""
    os.setgroups([])
    os.setgid(4711)
    os.setuid(uid)
    os.umask(umask)
    with spool.lane(config.spool, "a/b", 0) as mine:
        assert mine
        path = next(iter(spool.listing(config.spool)), None)
        entry = spool.read(path) if path else _entry(user=str(uid))
        spool.put(config.spool, entry, path.name if path else None)
    log.write(config, log.record(entry["payload"], "here", {}))


#: The daemon's account, the group of those who hand in, two of them, and an outsider:
#: no machine has them.
DAEMON, SUBMIT, ANN, BOB, EVE = 54320, 47110, 54321, 54322, 54323
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to become several people"
)


@pytest.fixture
def shipped(short_dir: Path) -> Path:
    """The spool that the shipped tmpfiles lines make."""
    short_dir.chmod(0o755)
    ids = {"oberonc": DAEMON, "oberonc-submit": SUBMIT}
    for line in (
        (Path(spool.__file__).parents[1] / "daemon" / "oberonc-tmpfiles.conf")
        .read_text()
        .splitlines()
    ):
        if line.startswith("d /var/spool/"):
            _, place, mode, user, group, _ = line.split()
            folder = short_dir / Path(place).relative_to("/var/spool")
            folder.mkdir()
            os.chown(folder, ids[user], ids[group])
            folder.chmod(int(mode, 8))
    return short_dir / "oberonc"


def _as(uid: int, work: Callable[[], object], *groups: int, umask: int = 0o022) -> str:
    """What *work* returns, or the error it raises, in a process of the account *uid*."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            os.umask(umask)
            try:
                said = str(work())
            except Exception as error:  # noqa: BLE001  the parent looks at it
                said = f"{type(error).__name__}: {error}"
            os.write(sending, said.encode())
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


@needs_root
@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_in_the_shipped_spool_a_pusher_keeps_and_the_daemon_reads_and_removes(
    shipped: Path, umask: int
) -> None:
    kept = Path(_as(ANN, lambda: spool.put(shipped, _entry()), SUBMIT, umask=umask))
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    assert list((shipped / "tmp").iterdir()) == []

    def take() -> object:
        [path] = spool.listing(shipped)
        found = spool.look(path)
        spool.remove(path)
        return found.uid, found.proven

    assert _as(DAEMON, take) == str((ANN, True))
    assert spool.listing(shipped) == []


@needs_root
def test_in_the_shipped_spool_nobody_gets_at_what_others_keep(shipped: Path) -> None:
    kept = Path(_as(ANN, lambda: spool.put(shipped, _entry()), SUBMIT))
    before = kept.read_bytes()
    attempts: dict[str, Callable[[], object]] = {
        "list": lambda: list((shipped / "new").iterdir()),
        "read": kept.read_bytes,
        "write": lambda: kept.write_bytes(b"mine"),
        "remove": kept.unlink,
        "rename": lambda: kept.rename(shipped / "new" / "x"),
        "replace": lambda: spool.put(shipped, _entry(), kept.name),
        "link": lambda: os.link(kept, shipped / "new" / "link.ob"),
        "bad": lambda: list((shipped / "bad").iterdir()),
        "dead": lambda: (shipped / "dead" / "x").touch(),
        "lock": lambda: (shipped / "lock" / "x").touch(),
        "own": lambda: (shipped / "other").mkdir(),
    }
    for what, attempt in attempts.items():
        assert (
            "ot permitted" in (said := _as(BOB, attempt, SUBMIT)) or "denied" in said
        ), (what, said)
    assert kept.read_bytes() == before
    assert "cannot keep the push" in _as(EVE, lambda: spool.put(shipped, _entry()))
    assert spool.listing(shipped) == [kept]


@needs_root
def test_a_client_makes_no_folders_in_the_spool_of_another_account(
    shipped: Path,
) -> None:
    for name in ("bad", "dead", "lock"):
        (shipped / name).rmdir()
    assert _as(ANN, lambda: spool.put(shipped, _entry()), SUBMIT).endswith(".ob")
    spool.put(shipped, _entry())  # root neither
    assert sorted(path.name for path in shipped.iterdir()) == ["new", "tmp"]
    assert _as(DAEMON, lambda: spool.make(shipped)) == "None"
    assert len(list(shipped.iterdir())) == len(spool.FOLDERS)


@needs_root
def test_a_file_that_was_moved_in_proves_nothing_about_its_owner(
    shipped: Path, short_dir: Path
) -> None:
    """Root wrote what Ann gave it into a folder of hers, on the same disk."""
    hers = short_dir / "hers"
    path = spool.put(hers, _entry())
    for folder in (hers, path.parent):
        os.chown(folder, ANN, ANN)
    moved = Path(_as(ANN, lambda: path.rename(shipped / "new" / path.name), SUBMIT))
    assert spool.look(moved)[1:] == (0, False)


@needs_root
def test_a_file_that_others_may_write_proves_nothing_about_its_owner(
    shipped: Path,
) -> None:
    kept = Path(_as(ANN, lambda: spool.put(shipped, _entry()), SUBMIT))
    kept.chmod(0o660)
    assert not spool.look(kept).proven


def test_what_was_put_aside_is_kept_for_a_while_and_never_too_much_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "spool"
    for _ in range(6):
        spool.reject(spool.put(folder, _entry()), "why")
    (folder / "bad" / "folder").mkdir()
    assert spool.forget_rejected(folder, 3600) == 0
    newest = sorted(
        os.listdir(folder / "bad"),
        key=lambda name: (folder / "bad" / name).lstat().st_ctime_ns,
    )[-4:]
    monkeypatch.setattr(spool, "_REJECTED", 4)
    assert spool.forget_rejected(folder, 3600) == 9
    assert sorted(os.listdir(folder / "bad")) == sorted(newest)
    monkeypatch.setattr(spool, "_REJECTED_BYTES", 0)
    spool.forget_rejected(folder, 3600)
    assert not [
        path
        for path in (folder / "bad").iterdir()
        if path.is_file() and path.stat().st_size
    ]
    spool.reject(spool.put(folder, _entry()), "why")
    spool.forget_rejected(folder, 0)
    assert os.listdir(folder / "bad") == []
    assert spool.forget_rejected(tmp_path / "none", 0) == 0


@needs_root
def test_a_repository_whose_pushes_others_kept_is_not_renamed_without_the_daemon(
    shipped: Path, tmp_path: Path
) -> None:
    """Written anew by the daemon's account they would be believed to name any user."""
    kept = Path(_as(ANN, lambda: spool.put(shipped, _entry(user="alice")), SUBMIT))
    config = load()._replace(state_folder=str(tmp_path), spool_folder=str(shipped))
    with pytest.raises(NotAccepted, match="pushes of other accounts wait"):
        renaming.without_daemon(config, sample()["repository"]["full_name"], "web/new")
    assert spool.listing(shipped) == [kept]
