"""The forms a reference can have: `#12`, `owner/name#12`, `PROJ-12`, `GH-12`, `T12`,
`bug 12`, addresses.

`Forms.item` reads the one that begins or ends at a token. It says nothing of verbs.
"""

import re
from bisect import bisect_left
from typing import Final, NamedTuple

from oberonc.grammar.addresses import Address, read_address
from oberonc.grammar.tables import Tables, fold
from oberonc.grammar.tokens import (
    BLANK,
    DEAD,
    HASH,
    NEWLINE,
    OTHER,
    URL,
    WORD,
    Gap,
    Tokens,
)

_PATH: Final = re.compile(r"[A-Za-z0-9_.\-/]+")
_PATH_MAX: Final = 2_020
_DOCUMENTS: Final = (".md", ".rst", ".txt", ".html", ".htm", ".pdf", ".adoc")
_STRICT_LEFT: Final = frozenset("([{<,;:\"'*~|“‘–—\ufeff")
_KEY_LEFT: Final = frozenset("-/.=&?!#@$\\")
#: Those of them that are separators of a list, too.
_LIST_LEFT: Final = frozenset("/&")
_GLUED: Final = frozenset("_@=%\\$`")
_NUMBER_WORDS: Final = frozenset(
    {"no", "no.", "nos", "nos.", "num", "number", "numbers"}
)
_COMMENT: Final = re.compile(r"#comment:(?:[0-9]{1,10}|description)")
#: What follows a number that is the low end of a range: `#1-#3`, `#1..3`, `#1–3`.
_RANGE: Final = re.compile(r"(?:-#|(?:\.{2,3}|[\u2010-\u2015\u2212])#?)[0-9]")
_RANGE_MARKS: Final = re.compile(r"\.{2,3}|[\u2010-\u2015\u2212]")
#: The same in words, where the sentence ends with it.
SPACED_RANGE: Final = re.compile(r" (?:to|through|thru) ")
_RANGE_END: Final = re.compile(r"[0-9]{1,19}(?=[ ]?(?:[.,;:)\]]|$))", re.MULTILINE)
_POSSESSIVE: Final = re.compile(r"['’]s(?!\w)")
_WORDISH: Final = re.compile(r"\w")


class Item(NamedTuple):
    """A reference as it is written; without an issue it is an address that only takes
    its place in a list.
    """

    first: int
    after: int
    start: int
    end: int
    issue: str | None
    repository: str | None = None
    key: str | None = None
    #: A number alone, which needs a noun before it.
    bare: bool = False
    #: The noun is part of the item (`bug 12`).
    noun: bool = False
    #: Glued to what may stand there in a list or a range only: `PROJ-1/PROJ-2`.
    listed: bool = False

    #: A Markdown link; to an address that means nothing, its text is text.
    link: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is a hash and a number, and no more."""
        return not (self.bare or self.noun or self.key or self.repository)


def is_number(digits: str, most: int) -> bool:
    """Whether *digits* is a number of at most *most* digits that an issue can have."""
    return (
        0 < len(digits) <= most
        and digits.isascii()
        and digits.isdigit()
        and digits[0] != "0"
    )


class Forms:
    """Reads references at the tokens of one paragraph."""

    def __init__(self, text: str, tokens: Tokens, tables: Tables) -> None:
        self.text = text
        self.tokens = tokens
        self.tables = tables
        self.refused: list[tuple[int, int, str]] = []
        self.links = _links(tokens) if tokens.has("](") else {}

    def _is_number(self, digits: str) -> bool:
        return is_number(digits, self.tables.words.max_digits)

    def item(self, index: int) -> Item | None:
        """The reference at token *index*, if there is one."""
        kind = self.tokens.kinds[index]
        if kind == HASH:
            return self._hash(index)
        if kind == WORD:
            return self._word(index)
        if kind == URL:
            return self._url(index)
        if index in self.links:
            return self._link(index, *self.links[index])
        return None

    def strict_left(self, item: Item) -> bool:
        """Whether what stands before *item* lets it be read without a verb."""
        before = self.text[item.start - 1 : item.start]
        if not before or before.isspace() or item.key or item.bare or item.noun:
            return True
        if before == "[":
            return not _WORDISH.match(self.text, max(0, item.start - 2), item.start - 1)
        return before in _STRICT_LEFT

    def is_range(self, item: Item) -> bool:
        """Whether *item* begins a range."""
        if _RANGE.match(self.text, item.end):
            return True
        head = self.text[item.start : item.end].rstrip("0123456789")
        spaced = SPACED_RANGE.match(self.text, item.end)
        if spaced and self.text.startswith(head, spaced.end()):
            end = _RANGE_END.match(self.text, spaced.end() + len(head))
            return end is not None
        marks = _RANGE_MARKS.match(self.text, item.end)
        return (
            marks is not None
            and self.text.startswith(head, marks.end())
            and self._digit(marks.end() + len(head))
        )

    def _digit(self, place: int) -> bool:
        return self.text[place : place + 1].isdigit()

    def is_possessive(self, item: Item) -> bool:
        """Whether *item* is followed by `'s`."""
        return _POSSESSIVE.match(self.text, item.end) is not None

    def _hash(self, index: int) -> Item | None:
        tokens = self.tokens
        number = tokens.text(index)[1:]
        if number.endswith("_") and self._is_emphasised(index):  # `_fixes #12_`
            number = number.rstrip("_")
        start = tokens.starts[index]
        end = start + 1 + len(number)
        if number in self.tables.keys:
            return self._hashed_key(index, number)
        if not self._is_number(number):
            return (
                self._refuse(start, end, "no number an issue can have")
                if number[:1].isdigit()
                else None
            )
        if not self._right(tokens.starts[index + 1]):
            return self._refuse(start, end, "glued to what follows")
        if start and self.text[start - 1] == "&" and self.text[end : end + 1] == ";":
            return self._refuse(start, end, "a character of HTML")
        item = Item(index, index + 1, start, end, number)
        first = self._path_start(index)
        if first < index:
            return self._named(item, first)
        return self._with_comment(item) if self.tables.words.numbers else item

    def _is_emphasised(self, index: int) -> bool:
        """Whether underscores open before one of the few words before token *index*."""
        return any(
            self.tokens.text(place).startswith("_")
            for place in range(max(0, index - 8), index)
        )

    def _hashed_key(self, index: int, key: str) -> Item | None:
        """YouTrack's way to write a key: `#PROJ-12`."""
        tokens = self.tokens
        start, word = tokens.starts[index], tokens.text(index + 1).rstrip("-")
        end = tokens.starts[index + 1] + len(word)
        left = self.text[start - 1 : start] if start else ""
        if (
            not word.startswith("-")
            or not self._is_number(word[1:])
            or not self._right(end)
        ):
            return None
        if _WORDISH.match(left) or left in _KEY_LEFT - _LIST_LEFT:
            return None
        return Item(
            index, index + 2, start, end, word[1:], key=key, listed=left in _LIST_LEFT
        )

    def _with_comment(self, item: Item) -> Item:
        """*item* with what Trac writes after it to name a comment: `#12#comment:3`."""
        comment = _COMMENT.match(self.text, item.end)
        if comment:
            after = bisect_left(self.tokens.starts, comment.end(), item.after)
            return item._replace(end=comment.end(), after=after)
        return item

    def _named(self, item: Item, first: int) -> Item | None:
        """*item* with what is glued to its left: a repository, an alias, a prefix, a
        noun.
        """
        start = self.tokens.starts[first]
        path = self.text[start : item.start]
        folded = fold(path)
        if f"{folded}#" in self.tables.prefixes:
            return item._replace(first=first, start=start)
        if folded in self.tables.aliases:
            return item._replace(
                first=first, start=start, repository=self.tables.aliases[folded]
            )
        if self.tables.words.numbers and folded in self.tables.nouns:
            return item._replace(first=first, start=start, noun=True)
        if self._is_repository(path):
            return item._replace(first=first, start=start, repository=path)
        return self._refuse(start, item.end, f"'{path[-40:]}' is no known project")

    def _path_start(self, index: int) -> int:
        """The first token of the path that ends right before token *index*."""
        tokens, first = self.tokens, index
        limit = tokens.starts[index] - _PATH_MAX
        while tokens.kind(first - 1) == WORD or tokens.text(first - 1) in ("/", "."):
            first -= 1
            tokens.steps += 1
            if tokens.starts[first] < limit:
                break
        # a dash, a slash or the end of a sentence
        while first < index and not tokens.text(first).strip("./-"):
            first += 1
        return first

    def _is_repository(self, path: str) -> bool:
        segments = path.split("/")
        if not 2 <= len(segments) <= 20 or not _PATH.fullmatch(path):
            return False
        if len(segments) == 2 and len(segments[0]) > self.tables.words.owner_limit:
            return False
        good = all(
            0 < len(segment) <= 100 and segment not in (".", "..")
            for segment in segments
        )
        return good and not segments[-1].lower().endswith(_DOCUMENTS)

    def _word(self, index: int) -> Item | None:
        tokens = self.tokens
        start = tokens.starts[index]
        word = tokens.text(index).rstrip("-")  # a hyphen before no word is punctuation
        end = start + len(word)
        if not word[-1:].isdigit():
            return None
        if not word[0].isalpha():
            return self._bare(index, word) if self.tables.words.numbers else None
        item = self._keyed(word, Item(index, index + 1, start, end, None))
        if item is None or (self.text[end : end + 1] == "." and self._digit(end + 1)):
            return None
        left = self.text[start - 1 : start] if start else ""
        listed = left in _LIST_LEFT or (
            left == "." and self.text[start - 2 : start] == ".."
        )
        return item._replace(listed=listed) if listed or left not in _KEY_LEFT else None

    def _keyed(self, word: str, item: Item) -> Item | None:
        head, _, number = word.rpartition("-")
        if head and self._is_number(number):
            if head in self.tables.keys:
                return item._replace(key=head, issue=number)
            if f"{fold(head)}-" in self.tables.prefixes and self._right(item.end):
                return item._replace(issue=number)
        head = word.rstrip("0123456789")
        number = word[len(head) :]
        if self._is_number(number) and self._right(item.end):
            if head in self.tables.mono:
                return item._replace(issue=number)
            if self.tables.words.numbers and fold(head) in self.tables.nouns:
                return item._replace(issue=number, noun=True)
        return None

    def _bare(self, index: int, number: str) -> Item | None:
        """A number alone; with the noun before it where there is one."""
        tokens = self.tokens
        start = tokens.starts[index]
        end = start + len(number)
        before = self.text[max(0, start - 1) : start]
        if (
            not self._is_number(number)
            or not self._right(end)
            or not (before.isspace() or before in (":", ""))
        ):
            return None
        item = self._with_comment(Item(index, index + 1, start, end, number, bare=True))
        first = self._over_number_word(index)
        gap = tokens.gap(first)
        if (
            gap
            and not gap.bullet
            and not self._heads_line(gap, first)
            and tokens.is_word(gap.place, self.tables.nouns)
        ):
            return item._replace(
                first=gap.place, start=tokens.starts[gap.place], bare=False, noun=True
            )
        return item._replace(first=first)

    def _heads_line(self, gap: Gap, first: int) -> bool:
        """Whether the noun before *gap* is a trailer, `Bug: 12`; without a blank,
        `bug:12`, it is a reference.
        """
        tokens = self.tokens
        spaced = gap.colon and tokens.kind(first - 1) in (BLANK, NEWLINE)
        return (
            spaced
            and fold(tokens.text(gap.place)) in self.tables.trailers
            and tokens.begins_line(gap.place)
        )

    def _over_number_word(self, index: int) -> int:
        """The token of `no.`, `number` or `#` before the number at *index*, or *index*."""
        tokens, place = self.tokens, self.tokens.over_blanks(index - 1)
        if tokens.text(place) == "#" and place < index - 1:
            return place
        if tokens.text(place) == ".":
            place -= 1
        return (
            place
            if place < index - 1 and tokens.is_word(place, _NUMBER_WORDS)
            else index
        )

    def _right(self, end: int) -> bool:
        """Whether a reference may end at *end*."""
        follows = self.text[end : end + 2]
        if not follows:
            return True
        char, next_char = follows[0], follows[1:]
        if char == "#":
            comment = (
                self.tables.words.numbers and _COMMENT.match(self.text, end) is not None
            )
            return comment or not (next_char == "#" or _WORDISH.match(next_char))
        if char.isalnum() or char in _GLUED:
            return False
        if char in "-/.+":
            return not _WORDISH.match(next_char)
        return not (char == ":" and next_char == "/")

    def _url(self, index: int) -> Item:
        """The address at *index*; its scheme is the word before."""
        tokens = self.tokens
        first = index - 1 if tokens.kind(index - 1) == WORD else index
        after = self._url_end(index)
        start = tokens.starts[first]
        raw = self.text[start : tokens.starts[after]].rstrip(".:!?'*_~")
        item = Item(first, after, start, start + len(raw), None)
        if tokens.text(first - 1) == "<" and tokens.text(after) == ">":
            item = item._replace(
                first=first - 1,
                after=after + 1,
                start=start - 1,
                end=tokens.starts[after + 1],
            )
        address = read_address(raw, self.tables)
        return _addressed(item, address) if address else item

    def _url_end(self, index: int) -> int:
        """The token after the address whose `://...` is at *index*: brackets inside it
        belong to it.
        """
        tokens, place, depth = self.tokens, index + 1, 0
        while (
            tokens.kind(place) not in (0, BLANK, DEAD)
            and tokens.text(place) not in '\n<>"`|'
        ):
            char = tokens.text(place)
            if char in "([{":
                depth += 1
            elif char in ")]}":
                depth -= 1
                if depth < 0:
                    break
            elif char in ",;" and depth == 0:
                break
            place += 1
            tokens.steps += 1
        return place

    def _link(self, index: int, url: int, close: int) -> Item | None:
        """The Markdown link whose `[` is at *index*."""
        target = self._url(url)
        starts = self.tokens.starts
        return target._replace(
            first=index,
            after=close + 1,
            start=starts[index],
            end=starts[close + 1],
            link=True,
        )

    def _refuse(self, start: int, end: int, why: str) -> Item | None:
        self.refused.append((start, end, why))
        return None


def _addressed(item: Item, address: Address) -> Item:
    return item._replace(
        issue=address.issue, repository=address.repository, key=address.key
    )


def _links(tokens: Tokens) -> dict[int, tuple[int, int]]:
    """For each `[` of a Markdown link to an address: the tokens of the address and of
    the last bracket.
    """
    links: dict[int, tuple[int, int]] = {}
    closed = _pairs(tokens, "(", ")")
    for start, end in _pairs(tokens, "[", "]").items():
        url = end + 3 if tokens.kind(end + 3) == URL else end + 4
        if (
            tokens.text(end + 1) == "("
            and tokens.kind(url) == URL
            and end + 1 in closed
        ):
            links[start] = (url, closed[end + 1])
    return links


def _pairs(tokens: Tokens, opening: str, closing: str) -> dict[int, int]:
    """The token that closes each opening bracket, on the same line."""
    opened: list[int] = []
    pairs: dict[int, int] = {}
    for index, kind in enumerate(tokens.kinds):
        char = tokens.text(index) if kind in (OTHER, NEWLINE) else ""
        if char == opening:
            opened.append(index)
        elif char == closing and opened:
            pairs[opened.pop()] = index
        elif char == "\n":
            opened.clear()
    tokens.steps += tokens.count
    return pairs
