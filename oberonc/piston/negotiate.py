"""Which format a request asks for: RFC 9110 section 12.5.1, and nothing looser."""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

#: Elements of a list, and parameters of an element; quoted strings stay whole. Both
#: always match what is left, so they never go back over the text.
_QUOTED: Final = r'"(?:[^"\\]|\\.)*(?:"|\\?$)'
_ELEMENT: Final = re.compile(rf'(?:[^",]+|{_QUOTED})+', re.DOTALL)
_PARAMETER: Final = re.compile(rf'(?:[^";]+|{_QUOTED})+', re.DOTALL)
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE: Final = re.compile(rf"{_NAME}/{_NAME}")
#: RFC 9110 section 12.4.2.
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_BROWSER: Final = "text/html"

#: Longer headers are read, but not remembered.
_LONGEST_KEPT: Final = 500


class Offer(NamedTuple):
    """A format: its name, the type it is sent as, and other names of that type."""

    name: str
    media_type: str
    aliases: tuple[str, ...]


Ranges: TypeAlias = "dict[str, float]"


def choose(accept: str, offers: tuple[Offer, ...]) -> str | None:
    """The name of the offer that `Accept` prefers, None if it refuses them all.

    Offers of the same weight are taken in their order; a header that says nothing
    takes the first. Time is linear in the header.
    """
    if len(accept) > _LONGEST_KEPT:
        return _choose.__wrapped__(accept, offers)
    return _choose(accept, offers)


@functools.lru_cache(maxsize=256)
def _choose(accept: str, offers: tuple[Offer, ...]) -> str | None:
    ranges = dict(_ranges(accept))
    if not offers:
        return None
    if not ranges:
        return offers[0].name
    weights = [_weight(offer, ranges) for offer in offers]
    if _from_a_browser(ranges, offers) and weights[0] > 0:
        return offers[0].name
    best = max(weights)
    return offers[weights.index(best)].name if best > 0 else None


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """The well-formed media ranges with their weights; the last of the same counts."""
    for element in _ELEMENT.findall(accept):
        parts = [part.strip(" \t") for part in _PARAMETER.findall(element)]
        if not parts:
            continue  # semicolons alone
        name, *parameters = parts
        name = name.lower()
        if not _RANGE.fullmatch(name) or (name[:2] == "*/" and name != "*/*"):
            continue
        weight = next((text for text in parameters if text[:2].lower() == "q="), "q=1")
        if _WEIGHT.fullmatch(weight[2:]):
            yield name, float(weight[2:])


def _weight(offer: Offer, ranges: Ranges) -> float:
    """What the most specific range says; an alias counts where it is named itself."""
    kind = offer.media_type.split("/")[0]
    for name in (offer.media_type, *offer.aliases, f"{kind}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0


def _from_a_browser(ranges: Ranges, offers: Sequence[Offer]) -> bool:
    """Browsers ask for HTML, then XML, then anything: they mean none of ours."""
    served = {name for offer in offers for name in (offer.media_type, *offer.aliases)}
    asked = ranges.get(_BROWSER, 0) > 0 and ranges.get("*/*", 0) > 0
    return asked and _BROWSER not in served
