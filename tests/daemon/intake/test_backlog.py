"""Whoever fills the spool waits for themselves: repositories in order, accounts in
turn, in any state of the folder.
"""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc.daemon.intake import backlog
from oberonc.daemon.intake.backlog import Backlog, File
from oberonc.delivery import spool

ANN, BOB, EVE = 1001, 1002, 1003


def _file(number: int, repository: str, uid: int) -> File:
    return File(f"{number:020d}-{spool.mark(repository)}-{number:032x}.ob", uid)


def _filled(files: list[File]) -> Backlog:
    made = Backlog()
    made.put_back(files)
    return made


def _all(made: Backlog, most: int) -> list[File]:
    taken = []
    while part := made.take(most):
        taken += part
    assert len(made) == 0
    return taken


FILES = st.lists(
    st.tuples(
        st.integers(0, 50), st.sampled_from("abc"), st.sampled_from([ANN, BOB, EVE])
    ),
    unique=True,
)


@given(FILES, st.integers(1, 10))
def test_everything_is_taken_once_and_of_each_repository_oldest_first(
    rows: list[tuple[int, str, int]], most: int
) -> None:
    files = [_file(*row) for row in rows]
    taken = _all(_filled(files), most)
    assert Counter(taken) == Counter(files)
    for repository in "abc":
        ours = [
            file.name
            for file in taken
            if spool.mark_in(file.name) == spool.mark(repository)
        ]
        assert ours == sorted(ours)


@given(FILES, st.integers(1, 20), st.integers(0, 20))
def test_what_is_put_back_is_first_again(
    rows: list[tuple[int, str, int]], most: int, kept: int
) -> None:
    files = [_file(*row) for row in rows]
    made = _filled(files)
    taken = made.take(most)
    later = (
        [file for file in taken if spool.mark_in(file.name) == spool.mark("a")][-kept:]
        if kept
        else []
    )
    made.put_back(later)
    done = [file for file in taken if file not in later] + _all(made, most)
    assert Counter(done) == Counter(files)
    ours = [file.name for file in done if spool.mark_in(file.name) == spool.mark("a")]
    assert ours == sorted(ours)


@pytest.mark.parametrize(
    "theirs", ["one repository", "many repositories", "a victim's repository"]
)
def test_a_flood_of_one_account_leaves_the_others_their_turn(theirs: str) -> None:
    """Eve's files are a hundred thousand, and older than all others."""
    count = {
        "one repository": 1,
        "many repositories": 10_000,
        "a victim's repository": 10_000,
    }[theirs]
    names = [f"eve/{number}" for number in range(count)]
    if theirs == "a victim's repository":
        names[:4] = ["web/shop"] * 4
    flood = [_file(number, names[number % count], EVE) for number in range(10_000)]
    honest = [_file(20_000, "web/shop", ANN), _file(20_001, "web/other", BOB)]
    first = _filled([*flood, *honest]).take(64)
    assert set(honest) <= set(first)


def test_the_older_form_of_a_name_goes_before_the_newer() -> None:
    old = [File(f"{number:020d}-{number:032x}.ob", ANN) for number in range(20)]
    new = [_file(number, "web/shop", ANN) for number in range(20, 40)]
    made = _filled([*new, *old])
    assert _all(made, 5) == [*old, *new]


def test_a_look_at_the_folder_gives_way_and_keeps_the_oldest_of_each_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MOST", 1000)
    monkeypatch.setattr(backlog, "_AT_ONCE", 100)
    names = [f"{number:020d}-{number:032x}.ob" for number in range(2500)]
    for name in [*names, "other", ".ob.tmp"]:
        (tmp_path / name).touch()
    turns = 0

    async def look() -> Backlog:
        made = Backlog()

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.get_running_loop().create_task(count())
        await made.fill(str(tmp_path), {names[0]})
        counting.cancel()
        return made

    taken = [file.name for file in _all(asyncio.run(look()), 64)]
    assert taken[:1000] == names[1:1001]
    assert len(taken) < 2000
    assert turns >= 25


def test_a_folder_that_cannot_be_listed_holds_nothing(tmp_path: Path) -> None:
    made = _filled([_file(1, "a", ANN)])
    asyncio.run(made.fill(str(tmp_path / "missing"), set()))
    assert len(made) == 0
    assert made.take(64) == []
