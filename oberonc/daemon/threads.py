"""The event loop never waits for a disk or a command: what does runs in a thread that
ends with it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def in_a_thread(function: Callable[..., T], *args: object) -> T:
    """What *function* returns, run beside the loop. No pool is kept: an idle daemon has
    two threads.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside-the-loop")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *args)
    finally:
        pool.shutdown(wait=False)
