"""A payload on its way: which services get it, and whether the brokers run here or the
daemon takes it.

Every decision and outcome goes to the log of runs. The one line that a hook prints is
made here.
"""

import contextlib
import re
import sys
from typing import Any, NamedTuple

from oberonc.budget import Budget
from oberonc.config import Config
from oberonc.delivery import log
from oberonc.payload import filters
from oberonc.payload.schema import Payload

Results = dict[str, dict[str, Any]]
#: What a note says from this word on is for the log.
_UNTOLD = re.compile("(?:^|; )nothing: .*", re.DOTALL)


class Report(NamedTuple):
    """What became of a payload: its id, per service the record of the log, and the line
    for people.
    """

    id: str
    services: Results
    line: str

    @property
    def failed(self) -> bool:
        """Whether a broker failed or a delivery is dead."""
        return any(
            result.get("outcome") in ("dead", "crash", "retry")
            for result in self.services.values()
        )


def decide(config: Config, payload: Payload) -> dict[str, filters.Choice]:
    """Per configured service what it gets, or why it gets nothing."""
    return {
        name: filters.choose(service, payload)
        for name, service in config.services.items()
    }


def here(config: Config, payload: Payload, budget: Budget, git_dir: str = "") -> Report:
    """Run the services that match in child processes of this one, and wait for them as
    long as *budget* says.

    *git_dir* is logged for a push that was cut to the limits: its repository knows the
    commits that were cut away.
    """
    choices = decide(config, payload)
    results: Results = {
        name: {"why": choice.reason} for name, choice in choices.items()
    }
    matching = {
        name: choice.payload
        for name, choice in choices.items()
        if choice.payload is not None
    }
    if matching:
        # Brokers run: now the cost of loading what runs them is due.
        if sys.flags.no_site:
            import site

            # a hook starts without it; brokers may be installed distributions
            site.main()
        from oberonc.delivery import here as local_run

        results |= local_run.deliver(config, payload, matching, budget)
    left = [
        f"{name}: {choice.left}"
        for name, choice in choices.items()
        if _acts(config, name) and choice.left
    ]
    line = _line(payload, results, left)
    entry = log.record(payload, "here", results) | (
        {"git_dir": git_dir} if payload["truncated"] and git_dir else {}
    )
    return Report(
        payload["id"], results, "; ".join(filter(None, (line, _log(config, entry))))
    )


def nowhere(config: Config, payload: Payload, git_dir: str) -> str:
    """Log why no service gets *payload*, whose commits were not read; returns what to
    say of it.

    With *git_dir* the log can tell later which commits they were, so that the push need
    not wait for that.
    """
    results = {
        name: {"why": choice.reason} for name, choice in decide(config, payload).items()
    }
    return _log(config, log.record(payload, "nowhere", results) | {"git_dir": git_dir})


def _log(config: Config, entry: log.Record) -> str:
    """Log what was done. Returns what to say where that fails: it was done all the
    same.
    """
    try:
        log.write(config, entry)
    except OSError as error:
        return f"cannot write the log in {config.state}: {error.strerror}"
    return ""


def daemon(config: Config, payload: Payload, budget: float) -> Report:
    """Hand *payload* to the daemon, or to the spool where none answers; *budget* is in
    seconds.
    """
    from oberonc.delivery import handover

    status, why = handover.submit(config, payload, budget)
    if status == "spooled":
        # the state folder may be the daemon's alone; it logs what it takes in
        with contextlib.suppress(OSError):
            log.write(config, log.record(payload, "spool", {}))
    line = f"{'spooled' if status == 'spooled' else 'queued'} {_what(payload)}"
    return Report(
        payload["id"],
        {},
        "; ".join([f"{line}: {why}" if why else line, *_cut(payload)]),
    )


def keep(config: Config, payload: Payload) -> str:
    """Keep *payload* for a configuration that is whole again; returns the line for
    people.
    """
    from oberonc.delivery import spool

    spool.put(config.spool, {"payload": payload, "services": None})
    return f"kept {_what(payload)}; once that is mended the next push or `oberonc send --spooled` delivers it"


def _what(payload: Payload) -> str:
    count = payload["commits_total"]
    what = f"{count} commit{'' if count == 1 else 's'}" if count else "the push"
    return f"{what} ({payload['id'][:8]})"


def _cut(payload: Payload) -> list[str]:
    """What to say of a payload that was cut to the limits."""
    new, published = payload["commits_total"], payload.get("published_total", 0)
    if not payload["truncated"]:
        return []
    if new <= len(payload["commits"]) and published <= len(payload["published"]):
        return [
            "names of files, refs or text that were larger than the limits were cut"
        ]
    kept = len(payload["commits"]) + len(payload["merged"])
    moved = [
        u
        for u in payload["updates"]
        if u["kind"] == "branch" and not (u["created"] or u["deleted"])
    ]
    rev = next(
        (
            f"{u['old'][:12]}..{u['new'][:12]}"
            for u in sorted(moved, key=lambda u: not u["publish"])
        ),
        "A..B",
    )
    return [
        f"the push was cut to {kept} of {max(new, published)} commits; `oberonc send --rev {rev}` sends all of them"
    ]


def _acts(config: Config, service: str) -> bool:
    """Whether who pushes expects something of *service* where a commit names an issue."""
    return config.services[service].broker == "issues"


def _line(payload: Payload, results: Results, left: list[str]) -> str:
    parts = [
        f"{name}: {_said(result)}"
        for name, result in results.items()
        if result.get("outcome") and _said(result)
    ]
    if any(result.get("outcome") in ("retry", "crash") for result in results.values()):
        parts.append(
            "what is not done is kept, and the next push with work for it or `oberonc send --spooled` goes on"
        )
    parts += left
    parts += _cut(payload)
    return f"{'; '.join(parts)} ({payload['id'][:8]})" if parts else ""


def _said(result: dict[str, Any]) -> str:
    outcome, note = result["outcome"], result.get("note", "")
    if outcome == "done":
        return _UNTOLD.sub("", str(note))
    if outcome == "dead":
        return f"failed for good: {note}"
    return f"not done yet: {note}"
