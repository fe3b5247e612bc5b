"""JSON as oberonc writes and reads it: one form for equal values, and nothing that is
not JSON.

What Python's parser would let pass (NaN, 1e999, a key given twice, other encodings,
thousands of brackets) is refused here.
"""

from __future__ import annotations

from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    import json
    from collections.abc import Callable
    from typing import Any, Final

#: How deep objects and lists may nest. A payload needs six levels.
DEEPEST: Final = 32
_TOO_DEEP: Final = f"nested deeper than {DEEPEST} levels"
#: How many values one frame may hold. A payload has one in eight bytes at most;
#: `[],[],[]` takes fifty times its bytes of memory.
MOST_VALUES: Final = 9 * 1024 * 1024 // 8


class Received(dict[str, "Any"]):
    """An object, and the bytes it came as."""

    raw: bytes


def received(value: dict[str, Any], raw: bytes) -> Received:
    """*value* with the JSON *raw* that stands for it; it is not to be changed after."""
    made = Received(value)
    made.raw = raw
    return made


def canonical(value: Any) -> bytes:
    """*value* as JSON in ASCII:
    equal values give equal bytes, whatever order their keys came in.
    """
    return "".join(_canonical(value, 0)).encode()


def plain(value: Any) -> bytes:
    """*value* as JSON in ASCII, its keys in the order they came in."""
    return "".join(_plain(value, 0)).encode()


def strict(raw: bytes) -> Any:
    """The JSON value in *raw*, read as strictly as said above;
    raises ValueError, and nothing else.
    """
    # Each value has a byte of its own, and counting all of them is not free.
    if len(raw) > MOST_VALUES:
        marks = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
        if marks > MOST_VALUES and _too_many(raw):
            raise ValueError(f"more than {MOST_VALUES} values")
    try:
        value = _decoder().decode(raw.decode())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # Counting brackets is cheap and clears nearly every small value; strings with
    # brackets only cost a walk.
    if raw.count(b"[") + raw.count(b"{") > DEEPEST and _too_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


def _too_many(raw: bytes) -> bool:
    """Whether *raw* holds over `MOST_VALUES` values; what stands in its texts is none."""
    import re  # only for what counting bytes does not clear

    marks = re.finditer(rb'"(?:[^"\\]|\\.)*+"|([,\[{])', raw, re.DOTALL)
    return (
        next(islice((mark for mark in marks if mark[1]), MOST_VALUES, None), None)
        is not None
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is beyond any number")
    return number


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is given twice in one object")
    return value


#: What a reader of JSON nests values in; it makes no others of their kind.
_NESTS: Final = (dict, list)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for item in level
            for inner in (item.values() if type(item) is dict else item)
            if type(inner) in _NESTS
        ]
        if not level:
            return False
    return True


#: Made once: json.loads would make one for every frame.
_made: list[json.JSONDecoder] = []


def _decoder() -> json.JSONDecoder:
    if not _made:
        import json  # loads `re`, and a hook reads no JSON

        _made.append(
            json.JSONDecoder(
                parse_constant=_no_constant,
                parse_float=_finite,
                object_pairs_hook=_no_twice,
            )
        )
    return _made[0]


def _encoder(*, sort_keys: bool, allow_nan: bool) -> Callable[[Any, int], Any]:
    """What `json.JSONEncoder` has a value written by, in pieces.

    Its own module loads `re`; where this Python has no such function, it is asked.
    """
    try:
        from _json import encode_basestring_ascii as text
        from _json import make_encoder

        how = (None, _refuse, text, None, ":", ",", sort_keys, False, allow_nan)
        return make_encoder(*how)
    except (ImportError, TypeError):
        import json

        plain = json.JSONEncoder(
            sort_keys=sort_keys, separators=(",", ":"), allow_nan=allow_nan
        )
        return lambda value, _level: plain.iterencode(value)


def _refuse(value: object) -> object:
    raise TypeError(f"a {type(value).__name__} is no JSON")


#: Made once: json.dumps would make one for every frame.
_canonical = _encoder(sort_keys=True, allow_nan=False)
_plain = _encoder(sort_keys=False, allow_nan=True)
