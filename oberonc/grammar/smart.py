"""Smart commands after a keyed reference: `PROJ-12 #comment text #time 2h #assign name
#start-progress`.

Only commands on the allow-list of `Words` act; what is unknown or ambiguous is a
warning, never a guess.
"""

import re
from typing import Final, NamedTuple

from oberonc.grammar.duration import seconds_of
from oberonc.grammar.reference import Note, Reference
from oberonc.grammar.tables import Tables, fold

_COMMAND: Final = re.compile(r"(?<!\S)#([^\W\d_][\w-]*)")
_BETWEEN: Final = re.compile(r"[\s,;&]*")
_COMMANDS: Final = ("comment", "time", "assign")
#: Commands that one line may have.
_MOST: Final = 10


class Command(NamedTuple):
    """One command of a line: what it does, its own argument, and the text that follows
    it.
    """

    action: str
    argument: str | None
    start: int
    end: int


def smart_commands(
    live: str, references: list[Reference], tables: Tables
) -> tuple[list[Reference], list[Note]]:
    """*references* with those that commands of their lines add, and warnings about the
    commands.
    """
    if not (tables.words.smart or tables.words.transitions) or not any(
        ref.key for ref in references
    ):
        return references, []
    found: list[Reference] = []
    warnings: list[Note] = []
    for line in _by_line(live, references):
        if any(reference.key for reference in line):
            line, remarks = _read_line(live, line, tables)
            warnings += remarks
        found += line
    return found, warnings


def _by_line(live: str, references: list[Reference]) -> list[list[Reference]]:
    lines: list[list[Reference]] = []
    end = -1
    for reference in references:
        if reference.start >= end:
            end = live.find("\n", reference.start)
            end = len(live) if end < 0 else end
            lines.append([])
        lines[-1].append(reference)
    return lines


def _read_line(
    live: str, line: list[Reference], tables: Tables
) -> tuple[list[Reference], list[Note]]:
    key = next(reference for reference in line if reference.key)
    end = live.find("\n", key.end)
    end = len(live) if end < 0 else end
    commands, warnings = _commands(
        live, key.end, end, tables, {reference.start for reference in line}
    )
    if not commands:
        return line, warnings
    group = _group(
        live, [ref for ref in line if ref.key and ref.end <= commands[0].start]
    )
    texts = [
        _text(live, command, commands[n + 1 :], end)
        for n, command in enumerate(commands)
    ]
    found: list[Reference] = []
    for reference in line:
        if (
            group
            and group[-1].start <= reference.start <= group[0].start
            and reference.key
        ):
            found += _acts(reference, commands, texts)
        else:
            found.append(reference)
    return found, warnings


def _commands(
    live: str, begin: int, end: int, tables: Tables, references: set[int]
) -> tuple[list[Command], list[Note]]:
    """The commands between *begin* and *end*, and what is wrong with some; `#PROJ-12`
    is one of the *references*.
    """
    commands: list[Command] = []
    warnings: list[Note] = []
    for match in _COMMAND.finditer(live, begin, end):
        if match.start() in references:
            continue
        name = fold(match[1])
        known = _resolve(name, tables)
        if isinstance(known, str):
            warnings.append(Note(match.start(), match.end(), known))
        elif len(commands) == _MOST:
            warnings.append(
                Note(
                    match.start(),
                    match.end(),
                    f"only the first {_MOST} commands of a line count",
                )
            )
        else:
            commands.append(Command(*known, match.start(), match.end()))
    return commands, warnings


def _resolve(name: str, tables: Tables) -> "tuple[str, str | None] | str":
    """The action and argument of the command *name*, or what is wrong with it."""
    if name in _COMMANDS and name in tables.words.smart:
        return name, None
    wanted = name.replace("-", " ")
    transitions = tables.transitions
    if wanted in transitions:
        return "transition", transitions[wanted]
    matches = [
        full for folded, full in transitions.items() if folded.startswith(wanted)
    ]
    if len(matches) == 1:
        return "transition", matches[0]
    if matches:
        return f"the smart command '#{name}' is ambiguous: {', '.join(matches[:5])}"
    return f"unknown smart command '#{name}'"


def _group(live: str, keyed: list[Reference]) -> list[Reference]:
    """The last of *keyed* and those that stand right before it: the keys that the
    commands are for.
    """
    group = keyed[-1:]
    for reference in reversed(keyed[:-1]):
        if not _BETWEEN.fullmatch(live, reference.end, group[-1].start):
            break
        group.append(reference)
    return group


def _text(live: str, command: Command, later: list[Command], end: int) -> str:
    return " ".join(live[command.end : later[0].start if later else end].split())


def _acts(
    reference: Reference, commands: list[Command], texts: list[str]
) -> list[Reference]:
    """What *commands* ask for *reference*; its own verb stays."""
    acts = [reference] if reference.action != "mention" else []
    for command, text in zip(commands, texts, strict=True):
        why = f"smart command '#{command.argument or command.action}'"
        act = reference._replace(
            action=command.action,
            time=None,
            argument=command.argument or text or None,
            why=why,
        )
        if command.action == "time":
            seconds, rest = _leading_time(text)
            act = act._replace(time=seconds, argument=rest or None)
        acts.append(act)
    return acts


def _leading_time(text: str) -> "tuple[int | None, str]":
    """The seconds at the start of *text* (`1w 2d 4h 30m`), and what follows them."""
    words = text.split(" ")
    total, count = 0, 0
    for word in words[:5]:
        seconds = seconds_of(word.lower()) if word[-1:].isalpha() else None
        if seconds is None:
            break
        total += seconds
        count += 1
    return (total if count else None), " ".join(words[count:])
