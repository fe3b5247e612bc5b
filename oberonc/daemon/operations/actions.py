"""What people had the daemon do: who, what, when. Lines of JSON in
`<state>/actions/<day>.jsonl`.

Written here for the command line, the API and the page alike, which all ask the daemon.
"""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from oberonc.accounts import person
from oberonc.daemon.journal import Say
from oberonc.daemon.operations.answers import Answer
from oberonc.daemon.operations.request import Request, number, reason, speaker
from oberonc.daemon.threads import in_a_thread
from oberonc.delivery import log, runs
from oberonc.text import counted, listed, one_line, utc

Row = dict[str, Any]

#: Answers a request of the account with this uid.
Operation = Callable[[Request, int], Awaitable[Answer]]

#: Seconds for which they are kept at least: longer than what they were done to.
KEPT: Final = 90 * 86_400
#: Of one answer.
MOST: Final = 1000
#: What a person does, and what it is called.
NOTED: Final = {
    "dead.retry": "retry",
    "dead.drop": "drop",
    "lane.pause": "pause",
    "lane.resume": "resume",
    "service.test": "test",
    "rename": "rename",
    "reload": "reload",
    "backup": "backup",
}
#: What of a request says what it was about.
_ABOUT: Final = (
    "service",
    "repository",
    "delivery",
    "deliveries",
    "old",
    "new",
    "path",
    "partial",
)


class Actions:
    """The log of actions below *state*; *keep*: seconds that the daemon keeps its own."""

    def __init__(self, state: Path, keep: float, say: Say) -> None:
        self._folder = state / "actions"
        self._keep = max(keep, KEPT)
        self._say = say

    async def perform(self, request: Request, uid: int, operation: Operation) -> Answer:
        """The answer of *operation*, which is written down where it is an action of
        somebody. Where the disk does not take that, the daemon's log has it.
        """
        action = NOTED.get(request["op"])
        if action is None or request.get("check"):
            return await operation(request, uid)
        row = {
            "time": utc(time.time()),
            "account": person(uid),
            "by": speaker(request) or None,
            "action": action,
            "about": _about(request),
            **{key: request[key] for key in _ABOUT if request.get(key)},
            "reason": reason(request),
        }
        answer = await operation(request, uid)
        row["result"] = _result(answer)
        try:
            await in_a_thread(log.append, self._folder, row, self._keep)
        except OSError as error:
            why = error.strerror or error
            self._say(f"cannot write {self._folder}: {why}: {json.dumps(row)}")
        return answer

    async def newest(self, request: Request, _uid: int) -> Answer:
        """`actions`: the newest `limit`, newest first."""
        limit = min(number(request, "limit", 100), MOST)
        return {"ok": True, "actions": await in_a_thread(self._read, limit)}

    def _read(self, limit: int) -> list[Row]:
        found: list[Row] = []
        for row in runs.newest_first(self._folder):
            if len(found) >= limit:
                break
            found.append(row)
        return found


def _about(request: Request) -> str:
    """What it is done to, in words."""
    numbers = request.get("deliveries", [request.get("delivery")])
    if isinstance(numbers, list) and any(numbers):
        shown = listed([str(number) for number in numbers], 10)
        return one_line(f"{'delivery' if len(numbers) == 1 else 'deliveries'} {shown}")
    names = ("service", "repository", "old", "new", "path")
    return one_line(" ".join(str(request[key]) for key in names if request.get(key)))


def _result(answer: Answer) -> str:
    """What came of it, in words."""
    if "report" in answer:
        report = answer["report"]
        said = "taken" if report["accepted"] else "refused"
        return one_line(f"{said}: {report['message']}".removesuffix(": "))
    results = answer.get("results")
    if results is None:
        return "done"
    wrong = [row["error"] for row in results if "error" in row]
    said = f"{counted(len(results) - len(wrong), 'delivery', 'deliveries')} done"
    return one_line(f"{said}, {len(wrong)} not: {wrong[0]}") if wrong else said
