"""OpenProject, by its API v3. A status is set on the version of a work package that was
read; a comment is an activity of its own.
"""

from typing import Any
from urllib.parse import urlsplit

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import issue_number
from oberonc.issues.trackers.web import (
    Tried,
    WebTracker,
    is_before,
    is_said,
    known,
    one_of,
)
from oberonc.kit.answers import Forbidden, NotDone, Refused
from oberonc.text import one_line

#: How many projects above one are asked for their names.
_ANCESTORS = 10
#: Work packages that a check looks at.
_LOOKED_AT = 10


class OpenProject(WebTracker):
    """`tracker = "openproject"`."""

    kind = "openproject"
    api = "/api/v3"
    flavour = "markdown-visible"
    numbering = "all"
    missing = frozenset({"errorIdentifier"})
    moves = True

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        self.resolutions = frozenset(self.settings.resolutions)
        #: The work packages as they were read last.
        self._packages: dict[str, Any] = {}
        self._names: dict[str, list[str]] = {}
        self._known: list[dict[str, Any]] = []

    def auth(self) -> tuple[str, str]:
        return "apikey", str(self.settings.token)

    def whoami(self) -> None:
        self.get("users", "me")

    def is_closed(self, issue: Issue) -> bool:
        return self._counts_as_closed(_status(self._read(issue)))

    def _read(self, issue: Issue) -> Any:
        number = issue_number(issue)
        with known():
            self._packages[number] = self.get("work_packages", number)
        return self._packages[number]

    def _counts_as_closed(self, name: str) -> bool:
        own = (self.settings.close, *self.settings.resolutions.values())
        if name.casefold() in map(str.casefold, filter(None, own)):
            return True
        return any(
            status["isClosed"] for status in self._statuses() if status["name"] == name
        )

    def _statuses(self) -> list[dict[str, Any]]:
        if not self._known:
            self._known = self.get("statuses")["_embedded"]["elements"]
        return self._known

    def homes(self, issue: Issue) -> list[str]:
        link = str(self._packages[issue.number]["_links"]["project"]["href"])
        if link not in self._names:
            self._names[link] = self._lineage(link)
        return self._names[link]

    def _lineage(self, link: str) -> list[str]:
        """The identifiers and names of a project and of those above it that may be
        seen.
        """
        names: list[str] = []
        for _ in range(_ANCESTORS):
            answer = self.call("GET", self._own(link), errors=(403, 404))
            if answer.status >= 400:
                break
            found = answer.json()
            names += [str(found["identifier"]), str(found["name"])]
            link = str((found["_links"].get("parent") or {}).get("href") or "")
            if "/projects/" not in link:
                break
        return names

    def _own(self, link: str) -> str:
        """*link*, a path of the server, below our own address."""
        path = urlsplit(link).path
        return self.base + path[path.index(self.api) + len(self.api) :]

    def comment(self, issue: Issue, comment: Comment) -> None:
        number = issue_number(issue)
        url = self.url("work_packages", number, "activities")
        said = {"comment": {"raw": comment.text}}
        with known():
            self.call("POST", url, json=said, params=self._quietly())
        # its version may be another now
        self._packages.pop(number, None)

    def _quietly(self) -> dict[str, str] | None:
        return None if self.settings.notify else {"notify": "false"}

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return any(
            is_said((activity.get("comment") or {}).get("raw"), mark)
            for activity in self._activities(issue, since)
        )

    def _activities(self, issue: Issue, since: float) -> list[Any]:
        """What happened to it after *since*. OpenProject gives all of it at once."""
        found = self.get("work_packages", issue_number(issue), "activities")
        return [
            activity
            for activity in found["_embedded"]["elements"]
            # it joins what one person does within a few minutes
            if not is_before(activity.get("updatedAt", activity["createdAt"]), since)
        ]

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        return any(
            self._counts_as_closed(name) == closed
            for name in self._reached(issue, since)
        )

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        return state.casefold() in map(str.casefold, self._reached(issue, since))

    def _reached(self, issue: Issue, since: float) -> list[str]:
        """The statuses it was given after *since*. Of a change there is a sentence, in
        the language of the token's user, that names the old one and then the new one.
        """
        reached = []
        for activity in self._activities(issue, since):
            for detail in activity.get("details") or []:
                names = [str(status["name"]) for status in self._statuses()]
                places = _places(str(detail.get("raw"))[:1000], names)
                if len(places) > 1:
                    reached.append(places[-1])
        return reached

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        own = self.settings.resolutions.get(resolution) or self.settings.close
        self._set(issue, self._target(self._package(issue), own, closed=True))

    def reopen(self, issue: Issue, comment: Comment) -> None:
        own = self.settings.reopen
        self._set(issue, self._target(self._package(issue), own, closed=False))

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        package = self._package(issue)
        if _status(package).casefold() == state.casefold():
            return False
        self._set(issue, one_of(state, self._offered(package), "status", "words"))
        return True

    def _package(self, issue: Issue) -> Any:
        return self._packages.get(issue.number) or self._read(issue)

    def _offered(self, package: Any) -> dict[str, str]:
        """The statuses that the workflow offers to the token's user now: name and
        address.
        """
        body = {"lockVersion": package["lockVersion"]}
        number = str(package["id"])
        form = self.send("POST", "work_packages", number, "form", json=body).json()
        field = form["_embedded"]["schema"]["status"]
        links = (field.get("_links") or {}).get("allowedValues") or []
        return {str(link["title"]): str(link["href"]) for link in links}

    def _target(self, package: Any, own: str, *, closed: bool) -> str:
        """The address of the status that closes, or opens again: *own*, or the first
        that the workflow offers, the default one before others.
        """
        offered, setting = self._offered(package), "close" if closed else "reopen"
        if own:
            return str(one_of(own, offered, "status", setting))
        fit = [
            status
            for status in self._statuses()
            if status["isClosed"] == closed and status["name"] in offered
        ]
        fit.sort(key=lambda status: not status.get("isDefault"))
        if not fit:
            raise Refused(
                f"the workflow leads from {_status(package)} to no status that does: set `{setting}`"
            )
        return offered[str(fit[0]["name"])]

    def _set(self, issue: Issue, status: str) -> None:
        number, package = issue_number(issue), self._package(issue)
        change = {
            "lockVersion": package["lockVersion"],
            "_links": {"status": {"href": status}},
        }
        url = self.url("work_packages", number)
        params = self._quietly()
        with known():
            answer = self.call("PATCH", url, json=change, params=params, errors=(409,))
        if answer.status == 409:
            del self._packages[number]
            raise NotDone("somebody else changed the work package meanwhile", after=1.0)
        self._packages[number] = found = answer.json()
        if found["_links"]["status"]["href"] != status:
            raise Refused(f"OpenProject answered, and left the status {_status(found)}")

    def check(self) -> list[Check]:
        project = self.settings.project
        need = "give the token's user View and Edit work packages, Add notes, and the workflow of each type"
        where = []
        if project:
            what = f"there is the project {project}"
            mend = "set `project` to the identifier of a project whose member the token's user is"
            where.append((what, mend, lambda: bool(self._project(project))))
        return self.looks(
            (
                "OpenProject answers, and takes the token",
                "set `url` and `token`",
                lambda: self.get("users", "me")["_type"] == "User",
            ),
            *where,
            (
                "work packages can be commented on and closed",
                need,
                lambda: self._leads(need, closed=True),
            ),
            (
                "work packages can be reopened",
                need,
                lambda: self._leads(need, closed=False),
            ),
        )

    def _project(self, name: str) -> Any:
        with known():
            return self.get("projects", name)

    def _leads(self, mend: str, *, closed: bool) -> Check:
        """Whether the workflow leads the newest work package of each type to a status
        that closes (or a closed one back), for this user, and they may comment.
        """
        tried = Tried()
        types: dict[str, bool | None] = {}
        for package in self._newest():
            kind = str(package["_links"]["type"]["title"])
            if self._counts_as_closed(_status(package)) == closed:
                types.setdefault(kind, None)
            elif types.get(kind) is None:
                types[kind] = self._may(package, closed=closed)
        for kind, allowed in (types or {"any": None}).items():
            tried.add(kind, allowed)
        what = "commented on and closed" if closed else "reopened"
        return tried.check(f"work packages can be {what}", mend)

    def _newest(self) -> list[Any]:
        """The work packages that were changed last, in the project where one is named:
        open ones and closed ones.
        """
        project = self.settings.project
        place = ["projects", project] if project else []
        return [
            package
            for state in ("o", "c")
            for package in self.get(
                *place,
                "work_packages",
                filters=f'[{{"status":{{"operator":"{state}","values":[]}}}}]',
                sortBy='[["updatedAt","desc"]]',
                pageSize=_LOOKED_AT,
            )["_embedded"]["elements"]
        ]

    def _may(self, package: Any, *, closed: bool) -> bool:
        own = self.settings.close if closed else self.settings.reopen
        try:
            self._target(package, own, closed=closed)
        except (Refused, Forbidden):
            return False
        links = package["_links"]
        return "updateImmediately" in links and "addComment" in links


def _status(package: Any) -> str:
    return one_line(str(package["_links"]["status"]["title"]), 100)


def _places(text: str, names: list[str]) -> list[str]:
    """Those of *names* that stand in *text*, in its order; of two in one place the
    longer.
    """
    found: list[tuple[int, int, str]] = []
    for name in sorted(names, key=len, reverse=True):
        at = text.find(name)
        while at >= 0:
            end = at + len(name)
            if all(end <= first or last <= at for first, last, _ in found):
                found.append((at, end, name))
            at = text.find(name, end)
    return [name for _, _, name in sorted(found)]
