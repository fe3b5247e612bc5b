"""Services and brokers: paused, resumed, reloaded."""

from typing import Any, Final
from urllib.parse import quote

from oberonc.piston import Problem
from oberonc.web.daemon import ask
from oberonc.web.page import words
from oberonc.web.page.frame import Asked, Moved, Shown

#: Actions of a page.
LISTED: Final = 200


def show(asked: Asked) -> Shown:
    """All of them, the brokers in service, and the generations before."""
    found = ask(asked.config, "brokers")
    paused = found.get("paused_lanes", ())  # a daemon of before an upgrade
    services = [
        row
        | {
            "name": name,
            "state": words.state(row),
            "resting": [repo for of, repo in paused if of == name],
        }
        for name, row in found["services"].items()
    ]
    generations = [
        row | {"created": words.moment(row["created_ms"])}
        for row in ask(asked.config, "generation")["generations"]
    ]
    context = {
        "services": services,
        "used": [row for row in found["brokers"] if row["services"]],
        "unused": [row for row in found["brokers"] if not row["services"]],
        "generation": found["generation"],
        "generations": generations,
    }
    return Shown("services.html", context)


def change(asked: Asked) -> Shown | Moved:
    """Pause or resume a service, all of it or one repository; or prove that it could do
    its work. Raises Problem.
    """
    verb, name = asked.field("verb"), asked.field("service")
    if verb == "test":
        return _tested(asked, name)
    if verb not in ("pause", "resume"):
        raise Problem(400, "Choose to pause, to resume or to test.")
    repository = asked.field("repository") or None
    fields = {"service": name, "repository": repository, **asked.acts()}
    ask(asked.config, f"lane.{verb}", missing=404, **fields)
    of = f" for {repository}" if repository else ""
    return Moved(f"/services#{quote(name, safe='')}", f"{name} is {verb}d{of}.")


def _tested(asked: Asked, name: str) -> Shown:
    """What the test of the service *name* found. Raises Problem."""
    fields = {"service": name, **asked.acts()}
    found = ask(asked.config, "service.test", missing=404, **fields)["findings"]
    good = all(row["ok"] for row in found)
    return Shown("tested.html", {"service": name, "findings": found, "good": good})


def reload(asked: Asked) -> Shown:
    """Take what is in the files into service, or only say what that would do. Raises
    Problem.
    """
    how = asked.field("how")
    if how not in ("check", "reload", "partial"):
        raise Problem(400, "Choose to check or to reload.")
    report: dict[str, Any] = ask(
        asked.config,
        "reload",
        check=how == "check",
        partial=how == "partial",
        **asked.acts(),
    )["report"]
    broken = [row["broker"] for row in report["brokers"] if row["verdict"] != "ok"]
    return Shown("report.html", {"report": report, "how": how, "broken": broken})


def reloaded(_asked: Asked) -> Moved:
    """Where the generations are."""
    return Moved("/services")


def actions(asked: Asked) -> Shown:
    """What people had the daemon do, the newest first."""
    found = ask(asked.config, "actions", limit=LISTED)["actions"]
    return Shown("actions.html", {"actions": found})
