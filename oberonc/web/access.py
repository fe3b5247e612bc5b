"""A line in the log for each request but those of forges, which have one of their own."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from django.utils.decorators import async_only_middleware

from oberonc.web.journal import say

#: What a load balancer asks every second, and what says more itself.
_QUIET: Final = ("/health", "/in/")


@async_only_middleware  # type: ignore[untyped-decorator]
def access(
    answer: Callable[[Any], Awaitable[Any]],
) -> Callable[[Any], Awaitable[Any]]:
    """Who asked what, how it was answered, and which push it was about."""

    async def middleware(request: Any) -> Any:
        began = time.monotonic()
        response = await answer(request)
        if not request.path.startswith(_QUIET):
            sender = request.META.get("REMOTE_ADDR") or "a local socket"
            user = getattr(request, "user", None)
            who = str(user) if user and user.is_authenticated else "nobody"
            push = getattr(request, "push", "")
            took = (time.monotonic() - began) * 1000
            say(
                f"{request.method} {request.path} by {who} from {sender}: {response.status_code}"
                f" in {took:.0f} ms{f', event {push}' if push else ''}"
            )
        return response

    return middleware
