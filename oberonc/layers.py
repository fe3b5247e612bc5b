"""The files of the configuration: which count, what is in each, and what is wrong with
it.

Layers, later ones win key by key: /etc/oberonc/config.toml (the machine's),
~/.config/oberonc/config.toml (the user's), then the file of `--config` or
OBERONC_CONFIG. What they mean is `oberonc.config`'s business.
"""

from __future__ import annotations

import os
import stat

from oberonc import parsed, paths
from oberonc.accounts import person
from oberonc.errors import ConfigError, NotAllowed, OberoncError
from oberonc.paths import Homes
from oberonc.text import one_line
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

Table = dict[str, "Any"]


class Layer(NamedTuple):
    """One file. *values* is what could be read of it, *fault* why that is not all,
    *left_out* why it does not count.
    """

    file: str
    values: Table
    fault: OberoncError | None = None
    left_out: str = ""
    #: Whether it may have said which refs publish where nobody can read it.
    publish_lost: bool = False
    #: Whether it is the machine's, written by its administrator for everybody.
    machine: bool = False


def read(
    homes: Homes,
    explicit: str | None = None,
    *,
    server_hook: bool = False,
    asks: bool = False,
    keep: bool = False,
) -> list[Layer]:
    """The layers there are, in reading order; only *explicit* (or OBERONC_CONFIG) has
    to exist.

    In a *server_hook* the machine's file may say `user_config = false`:
    then no other one counts. Elsewhere it does not count for an account that can hand
    nothing in where it says: what such a person does in repositories of their own is
    their own affair. Who *asks* the machine's daemon is answered by it. *keep* what is
    parsed for the next one who says so.
    """
    system, user = homes.system, os.path.join(homes.config, "config.toml")
    named = explicit or os.environ.get("OBERONC_CONFIG")
    machine = (
        _layer(os.path.join(system, "config.toml"), keep)._replace(machine=True)
        if system and _is_there(system)
        else None
    )
    if machine and not (server_hook or asks):
        machine = machine._replace(left_out=_closed(machine, homes))
    others = [user] if _is_there(homes.config, or_hidden=False) else []
    others += [paths.absolute(named)] if named else []
    alone = server_hook and machine is not None and not _user_config(machine)
    why = f"`user_config = false` in {machine.file}" if machine and alone else ""
    found = [
        *([machine] if machine else []),
        # The daemon's unit names the machine's file with --config: that makes it no
        # other file.
        *(
            Layer(file, {}, left_out=why)
            if alone
            else _layer(file, keep)._replace(machine=_is_machine(file))
            for file in others
        ),
    ]
    if (
        server_hook
        and system
        and _is_set_up()
        and not any(each.values or each.fault for each in found)
    ):
        return [_nothing_said(os.path.join(system, "config.toml"))]
    return found


def _closed(machine: Layer, homes: Homes) -> str:
    """Why this account can hand nothing in where *machine* says; empty where it can, or
    keeps what it has to itself.
    """
    values, daemon = machine.values, machine.values.get("daemon")
    daemon = daemon if isinstance(daemon, dict) else {}
    state = values.get("state")
    spool = values.get("spool", f"{state}/spool" if isinstance(state, str) else None)
    if machine.fault or not isinstance(spool, str) or not spool.startswith("/"):
        return ""
    for name in ("socket", "control"):
        usual = homes.sockets and os.path.join(homes.sockets, f"{name}.sock")
        socket = daemon.get(name, str(usual or ""))
        if isinstance(socket, str) and os.access(socket, os.W_OK, effective_ids=True):
            return ""
    place = os.path.join(spool, "new")
    while not _may_be_there(place):
        place = os.path.dirname(place)
    if os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return ""
    mend = _group_to_join(spool)
    return f"{person(os.geteuid())} may write neither its spool {spool} nor its sockets{mend}"


def _may_be_there(place: str) -> bool:
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def _group_to_join(spool: str) -> str:
    from oberonc.accounts import group_name  # no hook that goes well needs it

    try:
        facts = os.stat(spool)
    except OSError:
        return ""
    return (
        f"; members of {group_name(facts.st_gid)} may" if facts.st_mode & 0o010 else ""
    )


def _is_set_up() -> bool:
    """Whether this machine has a daemon for all its pushers,
    as `oberonc init --system` sets it up.
    """
    # False, too, where we may not look.
    submit = os.path.join(paths.SOCKETS, "submit.sock")
    return os.path.exists(submit) and os.path.isdir(paths.SPOOL)


def _nothing_said(file: str) -> Layer:
    """The machine's file while it is being written, or lost: its daemon's pushes are
    not for a pusher's own folder.
    """
    why = f"{file} is missing or empty, and the machine's daemon is there: `oberonc init --system` writes a missing one"
    return Layer(file, {}, ConfigError(why), publish_lost=True, machine=True)


def _is_machine(file: str) -> bool:
    return file == os.path.join(paths.SYSTEM, "config.toml")


def _user_config(machine: Layer) -> bool:
    """Whether users' own files count;
    not where the machine's file might say that they do not.
    """
    return machine.values.get("user_config", machine.fault is None) is True


def _is_there(folder: str, or_hidden: bool = True) -> bool:
    """Whether *folder* has a `config.toml`, of whatever kind; *or_hidden*: also where
    nobody lets us look.
    """
    try:
        os.lstat(os.path.join(folder, "config.toml"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # A pusher whose home the hook may not look into has no configuration there; a
        # machine has.
        return or_hidden
    return True


def _layer(file: str, keep: bool) -> Layer:
    try:
        text = _text(file)
    except OberoncError as error:
        # Who could have written it is not known: nothing of it is believed.
        return Layer(file, {}, error, publish_lost=True)
    try:
        text.encode()
        return Layer(file, parsed.toml(text, keep))
    except RecursionError:
        fault = "it is nested too deep"
    except UnicodeEncodeError:
        fault = "it is not UTF-8"
    except ValueError as error:
        fault = one_line(str(error))
    values = _salvaged(text)
    lost = "publish" in text and "publish" not in values
    return Layer(
        file,
        values,
        ConfigError(f"{file} is not valid TOML: {fault}"),
        publish_lost=lost,
    )


def _text(file: str) -> str:
    try:
        # A FIFO must not hold a push for ever.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _refuse(file, os.fstat(handle))
            with open(handle, "rb", closefd=False) as stream:
                # What is not UTF-8 is no TOML, and harms only the line it is in.
                return (
                    stream.read()
                    .decode("utf-8", "surrogateescape")
                    .replace("\r\n", "\n")
                )
        finally:
            os.close(handle)
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {file}: {error.strerror}"
        ) from None


def _refuse(file: str, facts: os.stat_result) -> None:
    """Raise NotAllowed where somebody else than root and the reader could have written
    it: it names programs to run.
    """
    if not stat.S_ISREG(facts.st_mode):
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "a device or a pipe"
        raise ConfigError(
            f"cannot read the configuration {file}: it is {kind} and not a file"
        )
    reader = os.geteuid()
    if facts.st_uid not in (0, reader):
        whose = f"root or {person(reader)}" if reader else "root"
        raise NotAllowed(
            f"{file} belongs to {person(facts.st_uid)} and not to {whose}, so it is not read: chown it"
        )
    if facts.st_mode & 0o002:
        raise NotAllowed(f"{file} can be written by everybody: chmod o-w {file}")


def _salvaged(text: str) -> Table:
    """What can be known of a broken file: each `key = value` that is whole by itself,
    in the table it stands in.
    """
    found: Table = {}
    for head, statements in _tables(text):
        if _parsed(head) is None:
            continue  # nobody knows where its keys belong
        for lines in statements:
            values = _parsed("\n".join([head, *lines]))
            _add(found, values or _parsed(f"{head}\n{lines[0]}") or {})
            if values is None and (len(lines) > 1 or "=" not in lines[0]):
                break  # that line may have been the head of another table
    return found


def _add(found: Table, values: Table) -> None:
    """The first says it: what made the file a broken one was added later."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(found.setdefault(key, {}), dict):
            found[key] = value | found[key]
        else:
            found.setdefault(key, value)


def _tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """(head, statements) of each table of a TOML text; what stands above the first head
    has an empty one.

    A statement is its first line, `key = ...`, and those that follow it. Nothing begins
    inside a text of many lines.
    """
    head, statements, quote = "", list[list[str]](), ""
    for line in text.split("\n"):
        bare = line.strip()
        outside = not quote
        quote = _open_quote(line, quote)
        if outside and bare.startswith("["):
            yield head, statements
            head, statements = bare, []
        elif outside and (not bare or bare.startswith("#")):
            continue
        elif outside and "=" in bare:
            statements.append([line])
        elif statements:
            statements[-1].append(line)
        else:
            statements.append([line])
    yield head, statements


def _open_quote(line: str, quote: str) -> str:
    """The quotes of the text of many lines that is open at the end of *line*, if
    *quote* was before it.
    """
    while True:
        marks = [quote] if quote else ['"""', "'''"]
        places = [(line.find(mark), mark) for mark in marks if mark in line]
        if not places:
            return quote
        at, mark = min(places)
        line, quote = line[at + 3 :], "" if quote else mark


def _parsed(text: str) -> Table | None:
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None
