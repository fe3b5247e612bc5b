"""Which engine keeps a queue: its URL says so."""

from pathlib import Path
from urllib.parse import unquote

from oberonc.errors import ConfigError
from oberonc.queue.contract import Queue
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.text import one_line


def open_queue(url: str, *, low_space: int = 0) -> Queue:
    """The queue at *url*: `sqlite:///path`, with %XX (RFC 3986) for what a URL cannot
    hold, or the plain path of a file, which is taken as it is.

    Below *low_space* bytes of free space no new events are taken. Raises ConfigError
    for a URL that names no engine, and what the engine raises when it cannot open the
    queue. No error repeats the URL, which may hold a password.
    """
    scheme, separator, place = url.partition("://")
    if not separator:
        return SqliteQueue(Path(url), low_space=low_space)
    if scheme != "sqlite":
        raise ConfigError(
            f"no queue can be kept in '{one_line(scheme, 40)}': give a path, or sqlite:///path"
        )
    if not place.startswith("/"):
        raise ConfigError("a queue in sqlite:// needs an absolute path: sqlite:///path")
    return SqliteQueue(Path(unquote(place)), low_space=low_space)
