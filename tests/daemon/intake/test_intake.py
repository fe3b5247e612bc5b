"""P4 in a shared spool: a push waits for what was spooled of its own repository, and
for nothing else.
"""

import asyncio
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from oberonc.config import Config, load
from oberonc.daemon.intake.intake import SLICE, Intake
from oberonc.daemon.queue_link import QueueLink
from oberonc.delivery import spool
from oberonc.prometheus import exposition
from oberonc.queue.sqlite.engine import SqliteQueue
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually

Work = Callable[[Intake], Awaitable[None]]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with a spool of its own."""
    return load()._replace(
        state_folder=str(tmp_path), spool_folder=str(tmp_path / "spool")
    )


@pytest.fixture
def with_intake(config: Config, tmp_path: Path) -> Callable[[Work], list[str]]:
    """Runs a coroutine with an intake into a queue of its own; returns what was logged."""
    said: list[str] = []

    async def run(work: Work) -> None:
        queue = SqliteQueue(tmp_path / "queue.sqlite")
        link = QueueLink(queue, tmp_path, lambda error: None)
        try:
            await asyncio.wait_for(
                work(Intake(config, link, lambda text, *_: said.append(text))), 60
            )
        finally:
            link.stop()
            queue.close()

    def call(work: Work) -> list[str]:
        asyncio.run(run(work))
        return said

    return call


@pytest.fixture
def flood(config: Config, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Pushes of other repositories in the spool, far more than go into one commit;
    written without syncing.
    """
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    made = [push(f"other/{number}") for number in range(20 * SLICE)]
    for entry in made:
        spool.put(config.spool, {"payload": entry, "services": None})
    return made


def test_a_push_does_not_wait_for_the_files_of_other_repositories(
    with_intake: Callable[[Work], list[str]], flood: list[dict[str, Any]]
) -> None:
    async def work(intake: Intake) -> None:
        answer = await intake.submit(push("web/shop"), os.geteuid())
        assert answer.status == "accepted"
        assert intake.files > 10 * SLICE

    with_intake(work)


def test_a_push_waits_for_the_files_of_its_own_though_they_are_the_last(
    with_intake: Callable[[Work], list[str]],
    config: Config,
    flood: list[dict[str, Any]],
) -> None:
    mine = [push("web/shop") for _ in range(3)]
    for made in mine:
        spool.put(config.spool, {"payload": made, "services": None})

    async def work(intake: Intake) -> None:
        later = push("web/shop")
        answer = await intake.submit(later, os.geteuid())
        again = [await intake.submit(made, os.geteuid()) for made in mine]
        assert [kept.status for kept in again] == ["duplicate"] * 3
        assert answer.seq is not None
        assert all(kept.seq < answer.seq for kept in again if kept.seq)

    with_intake(work)


def test_a_file_of_the_older_form_may_be_of_any_repository_and_is_waited_for(
    with_intake: Callable[[Work], list[str]], config: Config
) -> None:
    old = push("web/shop")
    spool.put(
        config.spool, {"payload": old, "services": None}, f"{1:020d}-{old['id']}.ob"
    )

    async def work(intake: Intake) -> None:
        assert (await intake.submit(push("web/other"), os.geteuid())).seq == 2
        assert (await intake.submit(old, os.geteuid())).status == "duplicate"

    with_intake(work)
    assert spool.listing(config.spool) == []


@pytest.mark.parametrize("room", ["SLICE_TIME", "SLICE_BYTES"])
def test_pushes_of_one_repository_are_put_right_though_a_slice_has_no_room_for_more(
    with_intake: Callable[[Work], list[str]],
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    room: str,
) -> None:
    """As on a slow disk, or with large pushes; and others were kept between them."""
    monkeypatch.setattr(f"oberonc.daemon.intake.intake.{room}", -1)
    first = [push(f"r/{number}") for number in range(12)]
    second = []
    for earlier in first:
        (moved,) = earlier["updates"]
        later = [moved | {"old": moved["new"], "new": "c" * 40}]
        second.append(push(earlier["repository"]["full_name"]) | {"updates": later})
    for made in (*second, *first):
        spool.put(config.spool, {"payload": made, "services": None})

    async def work(intake: Intake) -> None:
        for pair in zip(first, second, strict=True):
            kept = [await intake.submit(made, os.geteuid()) for made in pair]
            assert [answer.status for answer in kept] == ["duplicate"] * 2
            numbers = [answer.seq or 0 for answer in kept]
            assert numbers == sorted(numbers)

    with_intake(work)


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    """Nobody can open *path*, root neither, without waiting: a lease is held on it
    (fcntl(2)).
    """
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(handle)
        signal.signal(signal.SIGIO, before)


def test_a_file_that_cannot_be_read_is_told_of_and_tried_again_and_who_goes_before_it_is_told_of(
    site: Site,
) -> None:
    running = site.start()
    first = push("web/shop")
    outside = spool.put(site.folder / "other", {"payload": first, "services": None})
    with _unreadable(outside):
        held = outside.rename(site.state / "spool" / "new" / outside.name)
        eventually(lambda: site.stats()["spool_unreadable"] == 1)
        assert "oberonc_spool_unreadable_files 1" in exposition(site.stats())
        second, other = site.submit(push("web/shop")), site.submit(push("web/other"))
        site.wait_for(second, other)
        assert spool.listing(site.state / "spool") == [held]
    site.wait_for(first["id"])
    eventually(lambda: site.stats()["spool"] == 0)
    assert site.stats()["spool_unreadable"] == 0
    told = [line for line in running.log.splitlines() if "spool file" in line]
    assert len(told) == 2, told
    assert held.name in told[0]
    assert "cannot be read" in told[0]
    assert "a push of web/shop goes before" in told[1]


def test_what_is_planted_between_good_files_stops_nobody(
    with_intake: Callable[[Work], list[str]], config: Config
) -> None:
    """Folders, also ones that hold something, names that are no text, names as long as
    they can be, huge files.
    """
    good = [push(f"r/{number}") for number in range(3)]
    for made in good:
        spool.put(config.spool, {"payload": made, "services": None})
    new = config.spool / "new"
    (new / "0-folder.ob").mkdir()
    (new / "1-full.ob").mkdir()
    (new / "1-full.ob" / "x").touch()
    (new / "2-\udcff\n\x1b[2J.ob").touch()
    (new / f"3-{'x' * 250}.ob").touch()
    (new / "4-huge.ob").touch()
    os.truncate(new / "4-huge.ob", spool.LARGEST + 1)
    (new / f"{0:020d}-{spool.mark('r/0')}-{'0' * 32}.ob").write_bytes(b"not r/0's")

    async def work(intake: Intake) -> None:
        for made in good:
            assert (await intake.submit(made, os.geteuid())).status == "duplicate"
        assert intake.files == 0

    said = with_intake(work)
    assert len([line for line in said if "put aside in bad/" in line]) == 6
    assert spool.listing(config.spool) == []
