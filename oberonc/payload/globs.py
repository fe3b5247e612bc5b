"""Patterns of names: `*` and `?` stay within one part of a path, `**` crosses parts, `!`
in front excludes. Pure functions.

A value passes when no excluding pattern matches it and, where there are including ones,
one of them does.
"""

from __future__ import annotations

#: Patterns that are remembered; a configuration has a few, a service of an API may ask
#: for any.
_MOST_PATTERNS = 1024
#: What a wild part leads past without taking a character: itself; `**/`, which may be
#: nothing, also `**` and `/`.
_PAST = {"*": (1,), "**": (1,), "**/": (1, 3)}
#: States kept of one pattern: hostile values can make one for each set of its places.
_MOST_STATES = 256


class _State(dict[str, "_State"]):
    """Where a pattern may be after some characters; what comes after the next one is
    found when it is asked for.
    """

    def __init__(self, glob: _Glob, places: frozenset[int]) -> None:
        super().__init__()
        self._glob, self._places = glob, places
        self.accepts = len(glob.parts) in places
        #: Whether nothing that follows can change `accepts`.
        self.settled = not places or (self.accepts and glob.parts[-1:] == ["**"])

    def __missing__(self, char: str) -> _State:
        following = self[char] = self._glob.after(self._places, char)
        return following


class _Alphabet(dict[int, str]):
    """The characters a pattern names, by their code;
    to it, all others are one and the same.
    """

    def __init__(self, pattern: str) -> None:
        super().__init__({ord(char): char for char in {"/", *pattern}})
        self._other = next(
            char for char in map(chr, range(0xE000, 0xF900)) if char not in pattern
        )

    def __missing__(self, code: int) -> str:
        return self._other


class _Glob:
    """A pattern as an automaton: one step for each character of a value, whatever the
    pattern.

    A regular expression goes back and forth in a hostile value, in time with the square
    of its length and worse.
    """

    def __init__(self, pattern: str) -> None:
        self.parts = _parts(pattern)
        self._alphabet = _Alphabet(pattern)
        self._states: dict[frozenset[int], _State] = {}
        self._start = self._state({0})

    def matches(self, value: str) -> bool:
        """Whether all of *value* matches."""
        state = self._start
        for char in value.translate(self._alphabet):
            if state.settled:
                break
            state = state[char]
        return state.accepts

    def after(self, places: frozenset[int], char: str) -> _State:
        """The state that *char* leads to from *places*."""
        found = set()
        for place in places - {len(self.parts)}:
            part = self.parts[place]
            if part == "**" or (part == "*" and char != "/"):
                found.add(place)
            elif part == char or (part == "?" and char != "/"):
                found.add(place + 1)
        return self._state(found)

    def _state(self, places: set[int]) -> _State:
        todo = [*places]
        while todo:
            place = todo.pop()
            past = _PAST.get(self.parts[place], ()) if place < len(self.parts) else ()
            todo += {place + step for step in past} - places
            places |= {place + step for step in past}
        if len(self._states) >= _MOST_STATES:
            # several threads may filter at once
            for state in list(self._states.values()):
                state.clear()
            self._states.clear()
        key = frozenset(places)
        if key not in self._states:
            self._states[key] = _State(self, key)
        return self._states[key]


def _parts(pattern: str) -> list[str]:
    """What *pattern* is made of: characters, and what is wild; `**/` at the beginning
    of a part of a path, which may be nothing, stands before its own `**` and `/`.
    """
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and pattern[at - 1 : at] in ("", "/"):
            parts += ("**/", "**", "/")
            at += 3
        else:
            parts.append("**" if pattern.startswith("**", at) else pattern[at])
            at += len(parts[-1])
    return parts


_globs: dict[str, _Glob] = {}


def matches(pattern: str, value: str) -> bool:
    """Whether the glob *pattern* matches all of *value*;
    takes time with the length of *value* alone.
    """
    glob = _globs.get(pattern)
    if glob is None:
        if len(_globs) >= _MOST_PATTERNS:
            _globs.clear()
        glob = _globs[pattern] = _Glob(pattern)
    return glob.matches(value)


def passes(patterns: tuple[str, ...], values: list[str]) -> bool:
    """Whether one of *values* (spellings of one thing) passes *patterns*; no patterns
    let everything pass.
    """
    if not patterns:
        return True
    out = [p[1:] for p in patterns if p.startswith("!")]
    into = [p for p in patterns if not p.startswith("!")]
    if any(matches(pattern, value) for pattern in out for value in values):
        return False
    return not into or any(
        matches(pattern, value) for pattern in into for value in values
    )


def ref_values(ref: str) -> list[str]:
    """The spellings a pattern may use for *ref*:
    in full, and the short name of a branch.
    """
    short = ref.removeprefix("refs/heads/")
    return [ref] if short == ref else [ref, short]
