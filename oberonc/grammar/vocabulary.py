"""The words the grammar knows: verbs, nouns, keys, addresses and options, all of them
configurable.

`Words` holds nothing but strings, numbers and tuples of them, so that it can be
compared, hashed and kept. `tables` turns it, once, into what the parser looks things up
in.
"""

from typing import Final, NamedTuple

#: Actions that change an issue's state; the guards turn them into `reference`.
CHANGES: Final = frozenset(
    {"close", "reopen", "wontfix", "invalid", "duplicate", "state"}
)

_TRAILERS: Final = (
    *(
        (f"{verb}-{noun}", "close")
        for verb in ("closes", "fixes", "resolves")
        for noun in ("bug", "issue", "ticket")
    ),
    *(
        (word, "reference")
        for word in (
            "related-bug",
            "partial-bug",
            "related-issue",
            "bug",
            "issue",
            "ticket",
        )
    ),
    *(
        (word, "reference")
        for word in ("task", "see-also", "part-of", "relates-to", "jira", "link")
    ),
)


class Words(NamedTuple):
    """The tables and options of one tracker. Words are matched without regard to case,
    in any script.
    """

    close: tuple[str, ...] = (
        *("close", "closes", "closed", "closing", "fix", "fixes", "fixed", "fixing"),
        *(
            "resolve",
            "resolves",
            "resolved",
            "resolving",
            "implement",
            "implements",
            "implemented",
            "implementing",
        ),
        *("complete", "completes", "completed", "completing"),
    )
    reopen: tuple[str, ...] = (
        "reopen",
        "reopens",
        "reopened",
        "reopening",
        "re-open",
        "re-opens",
        "re-opened",
    )
    wontfix: tuple[str, ...] = ("wontfix", "wontfixes", "wontfixed")
    invalid: tuple[str, ...] = (
        "invalidate",
        "invalidates",
        "invalidated",
        "invalidating",
    )
    duplicate: tuple[str, ...] = ()
    reference: tuple[str, ...] = (
        *(
            "ref",
            "refs",
            "reference",
            "references",
            "referenced",
            "referencing",
            "re",
            "see",
            "see also",
        ),
        *(
            "address",
            "addresses",
            "addressed",
            "addressing",
            "relate to",
            "relates to",
            "related to",
            "relating to",
        ),
        *(
            "part of",
            "contributes to",
            "toward",
            "towards",
            "updates",
            "mentions",
            "duplicate of",
        ),
    )
    #: Opt-in: word and the status it asks for (Redmine's keyword to status).
    states: tuple[tuple[str, str], ...] = ()
    #: Line heads, with a colon: word and action. Those that name a noun take bare
    #: numbers where `numbers` is on.
    trailers: tuple[tuple[str, str], ...] = _TRAILERS
    nouns: tuple[str, ...] = (
        "issue",
        "issues",
        "bug",
        "bugs",
        "ticket",
        "tickets",
        "task",
        "tasks",
    )
    joiners: tuple[str, ...] = ("and",)
    #: What `as ...` after the last reference means.
    suffixes: tuple[tuple[str, str], ...] = (
        *(("wontfix", "wontfix"), ("invalid", "invalid"), ("duplicate", "duplicate")),
        *(("fixed", "close"), ("resolved", "close")),
    )
    #: Project keys: `PROJ` of `PROJ-12`, upper case.
    keys: tuple[str, ...] = ()
    #: Names that may stand before `#12` without an owner.
    aliases: tuple[str, ...] = ()
    #: What may stand right before a number and names no project: `GH-`, `bpo-`, `AB#`.
    prefixes: tuple[str, ...] = ("GH-",)
    #: Letters glued to the number: `T` of `T123`.
    mono: tuple[str, ...] = ()
    #: Addresses of the tracker; every other URL means nothing.
    urls: tuple[str, ...] = ()
    #: Path segments that stand before an issue's number in such an address.
    url_paths: tuple[str, ...] = (
        "issues",
        "issue",
        "work_items",
        "ticket",
        "tickets",
        "browse",
        "bugs",
        "+bug",
        "edit",
    )
    #: Path segments that stand two before it (Asana's `/0/34/12`), and before a name of
    #: eight letters and digits instead of a number (Trello's `/c/AbCd1234`).
    url_beyond: tuple[str, ...] = ()
    url_names: tuple[str, ...] = ()
    #: Query keys that hold the number (`show_bug.cgi?id=12`).
    url_keys: tuple[str, ...] = ("id", "bug", "issue")
    #: `bug 12` and `ticket:12` are references, and `Closes-Bug: 12`.
    numbers: bool = False
    #: Verbs after whose colon a number alone is a reference, where `numbers` is on:
    #: `Closes: 771234`.
    numbers_after: tuple[str, ...] = ()
    #: `@1.5` is a time, in hours.
    decimal_time: bool = False
    #: Words that make the `#12` after them something else than an issue.
    others: tuple[str, ...] = (
        *(
            "build",
            "builds",
            "pr",
            "prs",
            "pull request",
            "pull requests",
            "mr",
            "mrs",
            "merge request",
        ),
        *(
            "merge requests",
            "step",
            "steps",
            "line",
            "lines",
            "page",
            "pages",
            "job",
            "jobs",
            "pipeline",
        ),
    )
    colours: tuple[str, ...] = (
        *(
            "color",
            "colors",
            "colour",
            "colours",
            "background",
            "foreground",
            "bg",
            "fg",
            "rgb",
            "hex",
            "fill",
            "stroke",
        ),
    )
    negators: tuple[str, ...] = (
        *(
            "not",
            "never",
            "no",
            "without",
            "cannot",
            "neither",
            "nor",
            "than",
            "instead",
            "unable",
            "fail",
            "fails",
        ),
        *(
            "failed",
            "failing",
            "nobody",
            "none",
            "nothing",
            "nowhere",
            "hardly",
            "barely",
            "scarcely",
            "rarely",
            "seldom",
            "dont",
            "doesnt",
        ),
        *(
            "didnt",
            "wont",
            "cant",
            "isnt",
            "wasnt",
            "arent",
            "werent",
            "couldnt",
            "shouldnt",
            "wouldnt",
            "hasnt",
        ),
        *(
            "havent",
            "hadnt",
            "aint",
            "revert",
            "reverts",
            "reverted",
            "reverting",
            "undo",
            "undoes",
            "undid",
        ),
        *("undoing", "rollback", "rollbacks", "backout"),
    )
    partials: tuple[str, ...] = (
        *(
            "partially",
            "partly",
            "incompletely",
            "mostly",
            "almost",
            "nearly",
            "halfway",
            "half",
            "somewhat",
            "kinda",
            "largely",
        ),
    )
    #: Smart commands that may act (`comment`, `time`, `assign`); empty: none is looked
    #: for.
    smart: tuple[str, ...] = ()
    #: Names of the workflow's transitions that smart commands may ask for.
    transitions: tuple[str, ...] = ()
    #: What a bare `#12` is: `mention`, `reference`, or `none` (left out).
    mentions: str = "mention"
    #: Verbs act only at the start of a line or clause.
    strict: bool = False
    #: Verbs act only between these two characters, such as `[]`.
    envelope: str = ""
    #: Verbs act only as `Verb: reference` at the start of a line.
    trailers_only: bool = False
    #: What a close in a reverted title becomes: `reference` or `reopen`.
    on_revert: str = "reference"
    #: What the written ends of a range (`#1-#3`) are: `reference`, or `ends`, which act
    #: like any other.
    ranges: str = "reference"
    #: The most digits a number may have: everything longer is no issue's.
    max_digits: int = 10
    #: The longest owner in `owner/name`.
    owner_limit: int = 100
    #: Characters looked at; the rest is cut off, and flagged.
    max_scan: int = 65_536
    max_references: int = 100


DEFAULT: Final = Words()
