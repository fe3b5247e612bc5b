"""Pages of a list: `?limit=` and `?offset=`, links to the other pages, the total."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.utils.encoding import iri_to_uri

from oberonc.piston.conf import setting
from oberonc.piston.problems import Problem

#: Of more digits Python makes no number, and nobody has that many items.
_NUMBER: Final = re.compile(r"[0-9]{1,1000}")


@dataclass(frozen=True)
class Page:
    """A result that is one page of a longer list.

    The body is a plain list of *items*; *total*, where it is known, goes into
    `X-Total-Count`, and *links* (relation to URL, such as "next") into `Link` (RFC
    8288).
    """

    items: Any
    total: int | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        """The headers that the answer gets; characters no URL has are escaped."""
        headers = {}
        if self.links:
            headers["Link"] = ", ".join(
                f'<{iri_to_uri(url)}>; rel="{relation}"'
                for relation, url in self.links.items()
            )
        if self.total is not None:
            headers["X-Total-Count"] = str(self.total)
        return headers


def paginate(
    request: Any,
    items: Any,
    size: int | None = None,
    max_size: int | None = None,
) -> Page:
    """The page of *items* that the request asks for.

    *items* is a sequence or a QuerySet, of which only the page is fetched; without an
    order of its own a database may put a row on two pages or on none. *size* is the
    limit where the request has none, *max_size* the highest there is
    (`PISTON["PAGE_SIZE"]` and `PISTON["MAX_PAGE_SIZE"]` where they are not given).

    Raises Problem 400 for a limit or offset that is no number.
    """
    from django.db.models import QuerySet  # already loaded where there is one

    if max_size is None:
        max_size = setting("MAX_PAGE_SIZE")
    if size is None:
        size = setting("PAGE_SIZE")
    limit = min(_number(request, "limit", size, least=1), max_size)
    offset = _number(request, "offset", 0, least=0)
    if isinstance(items, QuerySet):
        total = items.count()
    else:
        total = len(items)

    offsets = {"first": 0}
    if offset > 0:
        offsets["prev"] = max(0, min(offset, total) - limit)
    if offset + limit < total:
        offsets["next"] = offset + limit
    offsets["last"] = max(0, total - 1) // limit * limit
    path = request.get_full_path().partition("?")[0]
    if path.startswith("//"):  # else a URL of another host
        path = "/%2F" + path[2:]
    links = {}
    for relation, start in offsets.items():
        parameters = request.GET.copy()
        parameters["limit"], parameters["offset"] = str(limit), str(start)
        links[relation] = f"{path}?{parameters.urlencode()}"
    # A database takes no offset of more than 64 bits.
    page = items[offset : offset + limit] if offset < total else []
    return Page(page, total, links)


def _number(request: Any, name: str, default: int, least: int) -> int:
    text = request.GET.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or int(text) < least:
        detail = f"The parameter {name} must be a whole number from {least} on."
        raise Problem(400, detail, parameter=name)
    return int(text)
