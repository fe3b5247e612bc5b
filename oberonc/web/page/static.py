"""The page's own files: a style and a script, under names that change with them."""

import hashlib
from pathlib import Path
from typing import Any, Final

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseNotFound,
)

_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: Seconds: a file that changes gets another name.
_KEPT: Final = 365 * 86_400


def _read() -> dict[str, tuple[str, bytes]]:
    """Each file's name in the web, and what is in it, by its own name."""
    found = {}
    for file in sorted(Path(__file__).with_name("static").iterdir()):
        if file.suffix in _KINDS:
            raw = file.read_bytes()
            digest = hashlib.sha256(raw).hexdigest()[:16]
            found[file.name] = f"{file.stem}-{digest}{file.suffix}", raw
    return found


_FILES: Final = _read()
#: For templates: `page.css` is `files.page_css`.
NAMES: Final = {
    own.replace(".", "_"): f"/static/{name}" for own, (name, _) in _FILES.items()
}
_BY_NAME: Final = dict(_FILES.values())


async def view(request: HttpRequest, name: str, **_: Any) -> HttpResponse:
    """One of the files."""
    raw = _BY_NAME.get(name)
    if raw is None:
        return HttpResponseNotFound(content_type="text/plain")
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"], content_type="text/plain")
    headers = {
        "Cache-Control": f"public, max-age={_KEPT}, immutable",
        "Content-Security-Policy": "default-src 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    kind = _KINDS[f".{name.rpartition('.')[2]}"]
    return HttpResponse(raw, content_type=kind, headers=headers)
