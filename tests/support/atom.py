"""What RFC 4287 asks of an Atom feed, of all that ours could break."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

_ATOM = "{http://www.w3.org/2005/Atom}"
#: Children that there must be once, and that there may be once (4.1.1, 4.1.2).
_ONCE = ("id", "title", "updated")
_AT_MOST_ONCE = ("content", "generator", "icon", "logo", "rights", "subtitle")
_KNOWN = {*_ONCE, *_AT_MOST_ONCE, "author", "category", "contributor", "link"}
_KNOWN |= {"published", "source", "summary", "entry"}


def breaches(raw: bytes) -> list[str]:
    """What is wrong with the feed *raw*, with the section that says so."""
    feed = ET.fromstring(raw)
    if feed.tag != f"{_ATOM}feed":
        return [f"2: the document is a {feed.tag}"]
    entries = feed.findall(f"{_ATOM}entry")
    found = [*_container(feed)]
    for entry in entries:
        found += _container(entry)
        if feed.find(f"{_ATOM}author") is None and entry.find(f"{_ATOM}author") is None:
            found.append("4.1.2: an entry without an author")
        alternate = [link for link in entry.iter(f"{_ATOM}link") if _is_alternate(link)]
        if entry.find(f"{_ATOM}content") is None and not alternate:
            found.append("4.1.2: an entry without content and without a link to it")
    ids = Counter(entry.findtext(f"{_ATOM}id") for entry in entries)
    found += [
        f"4.2.6: two entries are {one}" for one, count in ids.items() if count > 1
    ]
    times = [each.findtext(f"{_ATOM}updated") or "" for each in (feed, *entries)]
    if max(times) != times[0]:
        found.append("4.2.15: the feed was updated before an entry of it")
    return found


def _container(parent: ET.Element) -> Iterator[str]:
    """Of a feed or an entry alone."""
    names = Counter(child.tag.removeprefix(_ATOM) for child in parent)
    yield from (f"4.1: {n} stands {names[n]} times" for n in _ONCE if names[n] != 1)
    yield from (f"4.1: {n} stands twice" for n in _AT_MOST_ONCE if names[n] > 1)
    yield from (f"4.1: there is no {name}" for name in names.keys() - _KNOWN)
    one = parent.findtext(f"{_ATOM}id") or ""
    if not urlsplit(one).scheme or not re.fullmatch(r"[!-~]+", one):
        yield f"4.2.6: {one} is no address"
    when = parent.findtext(f"{_ATOM}updated") or ""
    if "T" not in when or datetime.fromisoformat(when).tzinfo is None:
        yield f"3.3: {when} is no moment"
    for author in parent.findall(f"{_ATOM}author"):
        if len(author.findall(f"{_ATOM}name")) != 1:
            yield "3.2.1: a person without a name"
    links = parent.findall(f"{_ATOM}link")
    if sum(map(_is_alternate, links)) > 1:
        yield "4.1: two alternates of the same type"
    if not all(urlsplit(link.get("href") or "").scheme for link in links):
        yield "4.2.7.1: a link to nowhere"
    for name in ("title", "content"):
        if any(len(text) for text in parent.findall(f"{_ATOM}{name}")):
            yield f"3.1.1: elements in the text of a {name}"


def _is_alternate(link: ET.Element) -> bool:
    return link.get("rel", "alternate") == "alternate"
