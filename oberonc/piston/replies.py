"""Answers by name: `rc.CREATED(data, location=url)`, `rc.NOT_FOUND`."""

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpResponse
from django.utils.encoding import iri_to_uri

from oberonc.piston.problems import Problem

_STATUS: Final = {
    "ALL_OK": 200,
    "CREATED": 201,
    "ACCEPTED": 202,
    "DELETED": 204,
    "BAD_REQUEST": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "DUPLICATE_ENTRY": 409,
    "NOT_HERE": 410,
    "PRECONDITION_FAILED": 412,
    "UNPROCESSABLE": 422,
    "THROTTLED": 429,
    "INTERNAL_ERROR": 500,
    "NOT_IMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
_NOTHING: Final = object()


class Reply(HttpResponse):
    """A status with data to emit, which a resource turns into the answer.

    Call it, or assign `content`, to give the data; headers and cookies set on it go
    out with the answer. From 400 on a text becomes the `detail` of a problem document
    and a mapping its members.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status=status)
        del self.headers["Content-Type"]  # the emitter's, unless the handler sets one
        self._data: Any = _NOTHING

    def __call__(
        self,
        data: Any = _NOTHING,
        *,
        location: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "Reply":
        """Set what the answer carries; `location` is the `Location` header."""
        if data is not _NOTHING:
            self._data = data
        if location is not None:
            self["Location"] = iri_to_uri(location)
        for name, value in (headers or {}).items():
            self[name] = value
        return self

    @property
    def content(self) -> Any:
        """What is to be emitted, as it was given; empty bytes when nothing was."""
        return b"" if self.empty else self._data

    @content.setter
    def content(self, value: Any) -> None:
        HttpResponse.content.fset(self, b"")  # what is sent without a resource
        self._data = value

    @property
    def empty(self) -> bool:
        """Whether no data was given."""
        return self._data is _NOTHING

    def problem(self) -> Problem:
        """This reply, of a status from 400 on, as a problem."""
        headers = dict(self.headers)
        if self.empty or self._data is None:
            return Problem(self.status_code, headers=headers)
        if not isinstance(self._data, Mapping):
            return Problem(self.status_code, self._data, headers=headers)
        members = {str(key): value for key, value in self._data.items()}
        problem = Problem(
            self.status_code,
            members.pop("detail", ""),
            title=members.pop("title", None),
            type=members.pop("type", "about:blank"),
            headers=headers,
        )
        problem.members = members
        return problem


class _Replies:
    """The names; each access gives a fresh reply, so nobody changes another's."""

    def __getattr__(self, name: str) -> Reply:
        try:
            return Reply(_STATUS[name])
        except KeyError:
            known = ", ".join(_STATUS)
            raise AttributeError(f"rc has no {name!r}; it has {known}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_STATUS]


rc: Final = _Replies()
