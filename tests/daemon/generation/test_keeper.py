"""A host is there while its broker has work, and comes back when it is wanted."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from oberonc.broker.registry import Place
from oberonc.daemon.generation import host_link
from oberonc.daemon.generation import keeper as module
from oberonc.daemon.generation.host_link import HostFailed, RootLink
from oberonc.daemon.generation.keeper import Keeper
from oberonc.daemon.generation.worker_link import WorkerLink
from tests.support.daemon_site import recorder
from tests.support.eventually import eventually_in_loop


class Kept:
    """A keeper of the recorder's host, with a root of its own; what it said."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "rec.py"
        self.file.write_text(recorder())
        self.said: list[str] = []
        self.ready = asyncio.Event()
        self.root = RootLink("a test")
        place = Place("rec", str(self.file), None, str(folder))
        self.keeper = Keeper(place, False, self._root, self._say)

    async def _root(self) -> RootLink:
        return self.root

    def _say(self, text: str, _about: object = None, /) -> None:
        self.said.append(text)

    @property
    def hosts(self) -> list[int]:
        """Their process ids."""
        return [*self.root.children]

    async def rested(self) -> None:
        """Returns once the host has gone."""
        await eventually_in_loop(lambda: not self.hosts)

    def hangs(self) -> None:
        """From now on its import does not end."""
        never = self.file.with_name("never")
        os.mkfifo(never)
        self.file.write_text(f"open({str(never)!r})\n")

    async def worker(self) -> WorkerLink:
        """A worker, forked."""
        async with asyncio.timeout(60):
            return await self.keeper.spawn("rec")


Run = Callable[[Callable[[Kept], Awaitable[None]]], None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a test in an event loop, with a host that rests soon."""
    monkeypatch.setattr(module, "REST", 0.02)

    async def alone(test: Callable[[Kept], Awaitable[None]]) -> None:
        kept = Kept(tmp_path)
        try:
            await kept.keeper.start()
            keeping = asyncio.create_task(kept.keeper.keep(kept.ready.set))
            await test(kept)
            keeping.cancel()
        finally:
            await kept.root.stop()

    return lambda test: asyncio.run(alone(test))


def test_a_host_without_work_ends_and_comes_back_with_the_next_worker(run: Run) -> None:
    async def test(kept: Kept) -> None:
        (before,) = kept.hosts
        await kept.rested()
        assert kept.keeper.allowed(2) == 2
        first, second = await asyncio.gather(kept.worker(), kept.worker())
        (after,) = kept.hosts
        assert after != before
        assert first.pid != second.pid
        first.retire()
        second.retire()
        await kept.rested()
        assert kept.said == []

    run(test)


def test_a_host_with_a_worker_stays(run: Run) -> None:
    async def test(kept: Kept) -> None:
        worker = await kept.worker()
        ((pid, host),) = kept.root.children.items()
        await asyncio.wait([host.ended], timeout=20 * module.REST)
        assert kept.hosts == [pid]
        os.kill(pid, 0)
        worker.retire()
        await kept.rested()

    run(test)


def test_a_broker_that_cannot_be_loaded_after_a_rest_is_tried_again(run: Run) -> None:
    async def test(kept: Kept) -> None:
        await kept.rested()
        text = kept.file.read_text()
        kept.file.write_text("raise OSError('not now')\n")
        with pytest.raises(HostFailed, match="started again"):
            await kept.worker()
        assert kept.keeper.allowed(2) == 0
        kept.file.write_text(text)
        async with asyncio.timeout(60):
            await kept.ready.wait()
        assert kept.keeper.allowed(2) == 1  # careful for a while
        assert (await kept.worker()).pid
        assert "OSError: not now; starting it again in 0.5 s" in kept.said[0]

    run(test)


def test_a_host_whose_broker_hangs_at_its_import_is_not_left_behind(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(kept: Kept) -> None:
        await kept.rested()
        kept.hangs()
        monkeypatch.setattr(host_link, "PATIENCE", 0.3)
        waiting = asyncio.create_task(kept.worker())
        await eventually_in_loop(lambda: kept.hosts)
        [pid] = kept.hosts
        with pytest.raises(HostFailed, match="started again"):
            await waiting
        await eventually_in_loop(lambda: pid not in kept.hosts)

    run(test)


def test_who_waits_for_a_host_that_rests_is_told_of_the_end(run: Run) -> None:
    async def test(kept: Kept) -> None:
        await kept.rested()
        kept.hangs()
        waiting = asyncio.create_task(kept.worker())
        await eventually_in_loop(lambda: kept.hosts)
        kept.keeper.stop()
        with pytest.raises(HostFailed, match="its generation ends"):
            await waiting

    run(test)
