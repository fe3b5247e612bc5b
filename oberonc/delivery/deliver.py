"""A payload whose brokers run here: which services get it, and what is said of it.

Every decision and outcome goes to the log of runs. What a daemon takes goes by
`oberonc.delivery.handover`.
"""

from __future__ import annotations

import os
import sys

from oberonc.delivery import log
from oberonc.delivery.log import Result
from oberonc.payload import filters

TYPE_CHECKING = False
if TYPE_CHECKING:  # a push that no service wants needs none of it
    from oberonc.broker.budget import Budget
    from oberonc.config import Config
    from oberonc.delivery.report import Report
    from oberonc.payload.schema import Payload


#: Where an installed hook, which reads what we say, hands on the terminal.
TERMINAL = 3


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
    from oberonc.delivery.report import Report, cut

    choices = decide(config, payload)
    results = {name: Result(choice.reason) for name, choice in choices.items()}
    matching = {name: choice for name, choice in choices.items() if choice.payload}
    if matching:
        # Brokers run: now the cost of loading what runs them is due.
        if sys.flags.no_site:
            import site

            # a hook starts without it; brokers may be installed distributions
            site.main()
        from oberonc.delivery import local

        if os.isatty(TERMINAL):
            from oberonc.delivery import waiting

            with waiting.shown(matching, TERMINAL):
                results |= local.deliver(config, payload, matching, budget)
        else:
            results |= local.deliver(config, payload, matching, budget)
    parts = [
        f"{name}: {text}"
        for name, result in results.items()
        if (text := _in_words(result))
    ]
    if any(result.outcome in ("retry", "crash") for result in results.values()):
        parts.append(
            "what is not done is kept, and the next push with work for it or"
            " `oberonc send --spooled` goes on"
        )
    parts += [
        f"{name}: {choice.held_back}"
        for name, choice in choices.items()
        # who pushes expects something of it where a commit names an issue
        if choice.held_back and config.services[name].broker == "issues"
    ]
    parts += cut(payload)
    line = f"{'; '.join(parts)} ({payload['id'][:8]})" if parts else ""
    services = {name: result.as_json() for name, result in results.items()}
    entry = log.record(payload, "here", services)
    if payload["truncated"] and git_dir:
        entry["git_dir"] = git_dir
    line = "; ".join(filter(None, (line, _log(config, entry))))
    return Report(payload["id"], results, line)


def _in_words(result: Result) -> str:
    """What is said of *result* to who pushes; empty where that is nothing."""
    if result.outcome == "done":
        return _without_reasons(result.note)
    if result.outcome == "dead":
        return f"failed for good: {result.note}"
    return f"not done yet: {result.note}" if result.outcome else ""


def _without_reasons(note: str) -> str:
    """*note* up to where it says what is for the log."""
    if note.startswith("nothing: "):
        return ""
    return note.partition("; nothing: ")[0]


def nowhere(config: Config, payload: Payload, git_dir: str) -> str:
    """Log why no service gets *payload*, whose commits were not read; returns what to
    say of it.

    With *git_dir* the log can tell later which commits they were, so that the push need
    not wait for that.
    """
    services = {
        name: Result(choice.reason).as_json()
        for name, choice in decide(config, payload).items()
    }
    entry = log.record(payload, "nowhere", services) | {"git_dir": git_dir}
    return _log(config, entry)


def _log(config: Config, entry: log.Record) -> str:
    """Log what was done. Returns what to say where that fails:
    it was done all the same.
    """
    try:
        log.write(config, entry)
    except OSError as error:
        return f"cannot write the log in {config.state}: {error.strerror}"
    return ""
