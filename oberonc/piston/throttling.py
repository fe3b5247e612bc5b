"""At most so many requests per window of time, counted in Django's cache.

The count is exact where the cache's `incr` is atomic (Redis, Memcached, local memory),
and lasts as long as the cache keeps it.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from django.core.cache import caches

from oberonc.piston.authentication import identity
from oberonc.piston.conf import setting
from oberonc.piston.handler import declare
from oberonc.piston.problems import Problem

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Throttle:
    """The limit of one handler method: see `throttle`."""

    max_requests: int
    timeout: float
    extra: str

    def check(self, request: Any, handler_class: type, method: str) -> None:
        """Count this request for whoever makes it; *method* is the HTTP method.

        Raises Problem 429 with `Retry-After` when the window is full.
        """
        now = time.time()
        window = int(now // self.timeout)
        if self.extra:
            bucket = ["extra", self.extra]
        else:
            name = f"{handler_class.__module__}.{handler_class.__qualname__}"
            bucket = ["method", name, method.replace("HEAD", "GET")]
        # Hashed: names would leak into the cache, and Memcached takes no blanks.
        parts = json.dumps([*bucket, *identity(request), self.timeout, window])
        key = "piston:throttle:" + sha256(parts.encode()).hexdigest()
        if _count(key, math.ceil(self.timeout)) > self.max_requests:
            left = max(1, math.ceil((window + 1) * self.timeout - now))
            raise Problem(
                429,
                f"More than {self.max_requests} requests in {self.timeout:g} seconds.",
                headers={"Retry-After": str(left)},
            )


def _count(key: str, timeout: int) -> int:
    """How many requests the window has seen, this one included."""
    cache = caches[setting("CACHE")]
    for _ in range(3):
        cache.add(key, 0, timeout)
        try:
            return int(cache.incr(key))
        except ValueError:
            continue  # dropped by the cache between the two
    return 0  # a cache that keeps nothing counts nothing


def throttle(
    max_requests: int, timeout: float = 3600, extra: str = ""
) -> Callable[[F], F]:
    """Let exactly *max_requests* pass in each window of *timeout* seconds.

    Each user, or address where there is no user (`PISTON["PROXIES"]`), has a count for
    each handler method; methods with an equal *extra* and *timeout* share it.

    Raises ValueError for a limit or a window below 1 request or not above 0 seconds.
    """
    if max_requests < 1 or not 0 < timeout < math.inf:
        raise ValueError(f"throttle({max_requests}, {timeout}) lets nothing pass")
    return lambda function: declare(
        function, "throttle", Throttle(max_requests, timeout, extra)
    )
