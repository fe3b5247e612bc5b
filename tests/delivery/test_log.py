"""Every run is found again by its event and its commits, whatever happened to the file."""

import os
import stat
import time
from pathlib import Path

import pytest

from oberonc.delivery import log, runs
from oberonc.errors import NotAllowed
from tests.support.admin import Admin, sample


def _write(admin: Admin, **changes: object) -> log.Record:
    entry = log.record(
        sample(**changes), "here", {"issues": log.Result("matches", "done").as_json()}
    )
    log.write(admin.load(), entry)
    return entry


def _file(admin: Admin) -> Path:
    return next((admin.state / "log").glob("*.jsonl"))


def test_a_run_is_found_by_the_beginning_of_its_event_and_of_each_commit(
    admin: Admin,
) -> None:
    first, second = _write(admin), _write(admin, commits=[], merged=[], updates=[])
    config = admin.load()
    assert runs.find(config, first["id"][:8]) == [first]
    assert runs.find(config, first["commits"][0][:7]) == [first]
    assert runs.find(config, first["updates"][0]["new"]) == [first]
    assert runs.find(config, "ffff" * 8) == []
    assert runs.recent(config, 1) == [second]
    assert runs.recent(config, 9) == [first, second]


def test_no_text_of_a_commit_is_in_the_log(admin: Admin) -> None:
    entry = _write(admin)
    assert not any(c["message"] in str(entry) for c in sample()["commits"])


def test_a_line_that_was_cut_hides_no_other(admin: Admin) -> None:
    first = _write(admin)
    with _file(admin).open("ab") as stream:
        stream.write(b'{"time": "20')
    second = _write(admin)
    with _file(admin).open("ab") as stream:
        stream.write(b'5\n[]\nnull\n{"id": 3}\n\xff\xfe\n' + b"[" * 100_000 + b"\n")
    third = _write(admin)
    assert runs.recent(admin.load(), 9) == [first, second, third]


def test_the_log_is_private_and_a_shared_one_is_shared(
    admin: Admin, tmp_path: Path
) -> None:
    os.umask(0)
    _write(admin)
    assert stat.S_IMODE(_file(admin).stat().st_mode) == 0o600
    assert stat.S_IMODE(admin.state.stat().st_mode) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2770)
    os.umask(0o077)
    admin.configure(f'state = "{shared}"')
    _write(admin)
    assert stat.S_IMODE(next((shared / "log").iterdir()).stat().st_mode) == 0o660


def test_old_days_are_dropped(admin: Admin) -> None:
    admin.configure("daemon.keep = 10")
    folder = admin.state / "log"
    folder.mkdir(parents=True)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 5 * 86400))
    for name in ("2001-01-01.jsonl", f"{day}.jsonl", "notes.txt"):
        (folder / name).touch()
    _write(admin)
    names = {path.name for path in folder.iterdir()}
    assert names >= {f"{day}.jsonl", "notes.txt"}
    assert "2001-01-01.jsonl" not in names


def test_a_log_that_is_a_link_is_not_followed(admin: Admin, tmp_path: Path) -> None:
    _write(admin)
    file = _file(admin)
    file.unlink()
    file.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        _write(admin)
    assert not (tmp_path / "victim").exists()


def test_a_log_that_cannot_be_read_is_said(admin: Admin) -> None:
    folder = admin.state / "log"
    (folder / "2026-01-01.jsonl").mkdir(parents=True)
    with pytest.raises(NotAllowed, match="cannot read the log"):
        runs.recent(admin.load(), 5)
    assert (
        runs.recent(admin.load()._replace(state_folder=str(folder / "nothing")), 5)
        == []
    )
