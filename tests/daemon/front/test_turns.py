"""Where one is served at a time, users take turns."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.daemon.front.turns import Turns


def test_many_requests_of_one_user_delay_another_by_one() -> None:
    served: list[int] = []

    async def ask(turns: Turns, uid: int) -> None:
        async with turns.of(uid):
            served.append(uid)
            await asyncio.sleep(0)

    async def main() -> None:
        turns = Turns()
        await asyncio.gather(
            *(ask(turns, 7) for _ in range(50)),
            ask(turns, 8),
            ask(turns, 8),
            ask(turns, 9),
        )

    asyncio.run(main())
    assert served[:6] == [7, 7, 8, 9, 7, 8]
    assert len(served) == 53


@settings(deadline=None)  # each example is an event loop
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 3), st.booleans()), max_size=30
    )
)
def test_one_at_a_time_all_in_the_end_whoever_gives_up(
    requests: list[tuple[int, int, bool]],
) -> None:
    inside, most, served = 0, 0, 0

    async def ask(turns: Turns, uid: int, steps: int) -> None:
        nonlocal inside, most, served
        async with turns.of(uid):
            inside += 1
            most = max(most, inside)
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
            finally:
                inside -= 1
        served += 1

    async def main() -> None:
        turns = Turns()
        tasks = [
            asyncio.create_task(ask(turns, uid, steps)) for uid, steps, _ in requests
        ]
        for task, (_, steps, gives_up) in zip(tasks, requests, strict=True):
            for _ in range(steps):
                await asyncio.sleep(0)
            if gives_up:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert served == sum(1 for task in tasks if not task.cancelled())
        async with turns.of(1):
            pass

    asyncio.run(asyncio.wait_for(main(), 30))
    assert most <= 1
