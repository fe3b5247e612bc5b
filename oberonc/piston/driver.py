"""The calls that steps ask for, made one after the other, or awaited in a loop."""

import inspect
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, TypeAlias

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.http.response import HttpResponseBase

Call: TypeAlias = "tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]"
#: What may block, or is `async def`, is yielded as a call and comes back as its result.
Steps: TypeAlias = "Generator[Call, Any, Any]"
NO_ARGUMENTS: Final[Mapping[str, Any]] = {}


def is_async(function: Any) -> bool:
    """Whether a call is made in the event loop; async generators are, too."""
    return iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def run(steps: Steps) -> HttpResponseBase:
    """Make the calls of the steps one after the other."""
    try:
        call = next(steps)
        while True:
            function, args, kwargs = call
            try:
                result = function(*args, **kwargs)
                if hasattr(type(result), "__await__"):
                    result = async_to_sync(_await)(result)
            except BaseException as error:  # noqa: BLE001 - the steps deal with it
                call = steps.throw(error)
            else:
                call = steps.send(result)
    except StopIteration as end:
        response: HttpResponseBase = end.value
        return response


async def awaited(steps: Steps) -> HttpResponseBase:
    """Await what is async in the loop; make the other calls in a thread."""
    try:
        call = next(steps)
        while True:
            function, args, kwargs = call
            try:
                if is_async(function):
                    result = function(*args, **kwargs)
                else:
                    in_thread = sync_to_async(function, thread_sensitive=True)
                    result = await in_thread(*args, **kwargs)
                if hasattr(type(result), "__await__"):
                    result = await result
            except BaseException as error:  # noqa: BLE001 - the steps deal with it
                call = steps.throw(error)
            else:
                call = steps.send(result)
    except StopIteration as end:
        response: HttpResponseBase = end.value
        return response


async def _await(value: Any) -> Any:
    return await value
