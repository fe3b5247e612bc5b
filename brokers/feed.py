"""Keep an Atom feed of each repository, for feed readers."""

import fcntl
import hashlib
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from oberonc import BaseBroker, Check
from oberonc.kit.markup import MARKUPS, quiet, safe_url
from oberonc.kit.message import check_settings, message
from oberonc.kit.summary import compare_url, headline, who
from oberonc.payload.digest import moves
from oberonc.text import one_line

ATOM: Final = "http://www.w3.org/2005/Atom"
ET.register_namespace("", ATOM)

#: Characters of an entry's content.
LIMIT = 65_536
#: What XML 1.0 cannot carry, escaped or not.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Feed(BaseBroker):
    """Writes a push into an Atom feed, a file for each repository."""

    class Settings:
        folder: str  # where the files are written; a web server shows it
        url: str = ""  # where that is on the web, for the feed's link to itself
        entries: int = 50  # the newest are kept
        format: str = ""  # of an entry's content, instead of the summary
        most: int = 50  # commits that are named

    def verify(self) -> None:
        check_settings(self.settings)
        if not Path(self.settings.folder).is_absolute():
            raise ValueError("setting 'folder' must be absolute")
        if not 1 <= self.settings.entries <= 1000:
            raise ValueError("setting 'entries' must be from 1 to 1000")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"write into {self._file(payload)}: {headline(payload)}"]

    def check(self) -> list[Check]:
        folder = self.settings.folder
        mend = "make it, and let this account write there"
        return [Check(os.access(folder, os.W_OK), f"{folder} can be written", mend)]

    def handle(self, payload: dict[str, Any]) -> str:
        path = self._file(payload)
        with path.with_name(f".{path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entry = self._entry(payload)
            older = [old for old in _entries(path) if _id(old) != _id(entry)]
            shown = [entry, *older[: self.settings.entries - 1]]
            feed = self._feed(payload, path)
            # A push that was tried again may be older than one that is there.
            _text(feed, "updated", max(map(_updated, shown)))
            feed.extend(shown)
            aside = path.with_name(f".{path.name}.new")
            with aside.open("wb") as file:
                ET.ElementTree(feed).write(file, "utf-8", xml_declaration=True)
                file.flush()
                os.fsync(file.fileno())
            aside.chmod(0o644)  # a web server of another account reads it
            aside.replace(path)
        return f"written into {path.name}"

    def _file(self, payload: dict[str, Any]) -> Path:
        """The repository's file: its name with all that paths give a meaning to
        escaped, or a digest of it where that is too long.
        """
        name = quote(payload["repository"]["full_name"], safe="")
        if len(name) > 200:
            name = hashlib.sha256(name.encode()).hexdigest()
        return Path(self.settings.folder) / f"{name.lstrip('.') or '_'}.atom"

    def _feed(self, payload: dict[str, Any], path: Path) -> ET.Element:
        feed = ET.Element(f"{{{ATOM}}}feed")
        name = payload["repository"]["full_name"]
        _text(feed, "title", quiet(one_line(name)))
        _text(feed, "id", f"tag:oberonc,2026:{quote(name, safe='/')}")
        _link(feed, "alternate", payload["repository"]["website"])
        if self.settings.url:
            itself = f"{self.settings.url.rstrip('/')}/{quote(path.name)}"
            _link(feed, "self", itself)
        return feed

    def _entry(self, payload: dict[str, Any]) -> ET.Element:
        """RFC 4287, 4.1.2. The id is the push's, so another try changes nothing."""
        entry = ET.Element(f"{{{ATOM}}}entry")
        # Programs that tell a chat of feeds take it from here.
        _text(entry, "title", quiet(headline(payload)))
        _text(entry, "id", f"urn:oberonc:push:{payload['id']}")
        _text(entry, "updated", payload["time"])
        _text(ET.SubElement(entry, f"{{{ATOM}}}author"), "name", quiet(who(payload)))
        links = [compare_url(payload, update) for update in moves(payload)]
        links.append(payload["repository"]["website"])
        _link(entry, "alternate", next((url for url in links if url), ""))
        said = message(payload, self.settings, MARKUPS["html"], LIMIT)
        _text(entry, "content", said.replace("\n", "<br>\n"), type="html")
        return entry


def _text(parent: ET.Element, name: str, text: str, **attributes: str) -> None:
    element = ET.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    element.text = _NOT_XML.sub("\ufffd", text)


def _link(parent: ET.Element, rel: str, url: str) -> None:
    if safe_url(url):
        ET.SubElement(parent, f"{{{ATOM}}}link", {"rel": rel, "href": url})


def _entries(path: Path) -> list[ET.Element]:
    """What is in the feed; nothing where there is none, or somebody broke it."""
    try:
        # A file of ours in a folder of the administrator's.
        return ET.parse(path).getroot().findall(f"{{{ATOM}}}entry")  # noqa: S314
    except (OSError, ET.ParseError):
        return []


def _id(entry: ET.Element) -> str | None:
    return entry.findtext(f"{{{ATOM}}}id")


def _updated(entry: ET.Element) -> str:
    """When; as all moments are written alike, the texts compare as they do."""
    return entry.findtext(f"{{{ATOM}}}updated") or ""
