"""The one exception that is an answer: a problem document (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

#: Where RFC 9110 section 15 has other words than Python's table.
_PHRASES: Final = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_OWN: Final = ("type", "title", "status", "detail")


def phrase(status: int) -> str:
    """The reason phrase of RFC 9110 for a status; of its class where it has none."""
    if status in _PHRASES:
        return _PHRASES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Server Error" if status >= 500 else "Client Error"


class Problem(Exception):
    """An answer with a status from 400 on, raised from anywhere in a handler.

    `detail` is for a person and says what to do; `members` are the extension members
    of RFC 9457 section 3.2, `instance` among them. `headers` go out with the answer.
    Raises ValueError for a status that is no error.
    """

    def __init__(
        self,
        status: int,
        detail: object = "",
        *,
        title: str | None = None,
        type: str = "about:blank",
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"a problem has a status from 400 to 599, not {status}")
        super().__init__(status, detail)
        self.status = int(status)
        self.detail = str(detail)
        self.title = phrase(status) if title is None else title
        self.type = type
        self.headers = dict(headers or {})
        self.members = members

    def __str__(self) -> str:
        return f"{self.status} {self.title}: {self.detail}".removesuffix(": ")

    def document(self) -> dict[str, Any]:
        """The members of the document, in the order of RFC 9457 section 3.1."""
        own = (self.type, self.title, self.status, self.detail)
        document: dict[str, Any] = dict(zip(_OWN, own, strict=True))
        if not self.detail:
            del document["detail"]
        extensions = {key: self.members[key] for key in self.members if key not in _OWN}
        return {**document, **extensions}
