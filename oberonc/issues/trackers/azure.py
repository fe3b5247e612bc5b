"""Azure Boards, by the REST interface of Azure DevOps. Comment and state are one change
of a work item, which is made only of the revision that was read.
"""

from typing import Any, ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import issue_number
from oberonc.issues.trackers.web import (
    PAGE,
    PAGES,
    Tried,
    WebTracker,
    is_before,
    is_said,
    known,
    one_of,
)
from oberonc.kit.answers import CREDENTIALS_AFTER, Answer, Forbidden, NotDone, Refused

#: Since 2020, and what Azure DevOps Server of that year has.
_VERSION = "6.0"
_PATCH = {"Content-Type": "application/json-patch+json"}
_STATE, _TYPE = "System.State", "System.WorkItemType"
_PROJECT, _SAID = "System.TeamProject", "System.History"
#: The categories of states in which a work item is closed, and those that open it
#: again, the likeliest first.
_CLOSED = ("Completed", "Removed")
_OPEN = ("InProgress", "Proposed", "Resolved")
#: Work items that a check looks at.
_LOOKED_AT = 50


class Azure(WebTracker):
    """`tracker = "azure"`."""

    kind = "azure"
    flavour = "html"
    numbering = "all"
    missing = frozenset({"typeKey"})
    moves = True
    needs: ClassVar[tuple[str, ...]] = ("url", "token")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        self.resolutions = frozenset(self.settings.resolutions)
        #: The work items as they were read last.
        self._items: dict[str, Any] = {}
        #: The types of work items, by project and name.
        self._types: dict[tuple[str, str], Any] = {}

    def headers(self) -> dict[str, str]:
        # without the second, a page to sign in at is shown instead of a refusal
        return {
            "Accept": f"application/json; api-version={_VERSION}",
            "X-TFS-FedAuthRedirect": "Suppress",
        }

    def auth(self) -> tuple[str, str]:
        return "", str(self.settings.token)

    def call(
        self, method: str, url: str, errors: tuple[int, ...] = (), **request: Any
    ) -> Answer:
        answer = super().call(method, url, errors=(*errors, 203), **request)
        if answer.status == 203:  # the page to sign in at, all the same
            raise NotDone(
                "CREDENTIALS refused: Azure DevOps asks to sign in; check the token, and whether it has expired",
                after=CREDENTIALS_AFTER,
            )
        return answer

    def says_missing(self, answer: Answer) -> bool:
        """Of a work item or a project; not that there is no such call, or collection."""
        said = any(code in answer.text for code in ("TF401232", "TF200016"))
        return said and super().says_missing(answer)

    def whoami(self) -> None:
        self.get("_apis", "wit", "fields", _STATE)

    def is_closed(self, issue: Issue) -> bool:
        return self._counts_as_closed(self._read(issue))

    def homes(self, issue: Issue) -> list[str]:
        return [str(self._items[issue.number]["fields"][_PROJECT])]

    def _read(self, issue: Issue) -> Any:
        number = issue_number(issue)
        with known():
            found = self.get("_apis", "wit", "workitems", number)
        self._items[number] = found
        return found

    def _counts_as_closed(self, item: Any, state: str = "") -> bool:
        """Whether *state*, or that of the work item itself, is one of its type's that
        close.
        """
        name = (state or str(item["fields"][_STATE])).casefold()
        own = (self.settings.close, *self.settings.resolutions.values())
        if name in map(str.casefold, filter(None, own)):
            return True
        return self._categories(item).get(name, "") in _CLOSED

    def _categories(self, item: Any) -> dict[str, str]:
        """The states of the work item's type, in lower case, and their categories."""
        return {
            str(state["name"]).casefold(): str(state.get("category"))
            for state in self._type(item)["states"]
        }

    def _type(self, item: Any) -> Any:
        project, kind = (str(item["fields"][name]) for name in (_PROJECT, _TYPE))
        if (project, kind) not in self._types:
            found = self.get(project, "_apis", "wit", "workitemtypes", kind)
            self._types[project, kind] = found
        return self._types[project, kind]

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._patch(issue, [_add(_SAID, comment.text)])

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return any(is_said(text, mark) for text in self._updates(issue, _SAID, since))

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        item = self._read(issue)
        return any(
            self._counts_as_closed(item, state) == closed
            for state in self._updates(issue, _STATE, since)
        )

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        reached = self._updates(issue, _STATE, since)
        return state.casefold() in map(str.casefold, reached)

    def _updates(self, issue: Issue, field: str, since: float) -> list[str]:
        """What *field* was set to after *since*."""
        values = []
        for page in range(PAGES):
            window = {"$top": PAGE, "$skip": page * PAGE}
            number = issue_number(issue)
            found = self.get("_apis", "wit", "workItems", number, "updates", **window)
            for update in found["value"]:
                fields = update.get("fields") or {}
                when = fields.get("System.ChangedDate", {}).get("newValue")
                if field in fields and not is_before(when, since):
                    values.append(str(fields[field].get("newValue")))
            if len(found["value"]) < PAGE:
                break
        return values

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        own = self.settings.resolutions.get(resolution) or self.settings.close
        self._set(issue, self._target(self._item(issue), _CLOSED, own), comment)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        own = self.settings.reopen
        self._set(issue, self._target(self._item(issue), _OPEN, own), comment)

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        item = self._item(issue)
        names = {str(each["name"]): each["name"] for each in self._type(item)["states"]}
        wanted = str(one_of(state, names, "state", "words"))
        if item["fields"][_STATE] == wanted:
            return False
        self._set(issue, wanted, comment)
        return True

    def _item(self, issue: Issue) -> Any:
        return self._items.get(issue.number) or self._read(issue)

    def _target(self, item: Any, categories: tuple[str, ...], own: str) -> str:
        """The state that closes, or opens again: the configuration's *own*, where the
        work item's type has it, else the first of *categories* that its state leads to.
        """
        kind, now = self._type(item), str(item["fields"][_STATE])
        leads = [str(way["to"]) for way in kind.get("transitions", {}).get(now) or ()]
        states = {str(state["name"]): state.get("category") for state in kind["states"]}
        for name in states:
            if own and name.casefold() == own.casefold():
                return name
        offered = [name for name in states if name in leads or not leads]
        for category in categories:
            for name in offered:
                if states[name] == category:
                    return name
        setting = "close" if categories is _CLOSED else "reopen"
        raise Refused(
            f"no state of a {kind['name']} that is {now} does; set `{setting}` to one of {', '.join(states)}"
        )

    def _set(self, issue: Issue, state: str, comment: Comment) -> None:
        """Give the state, and say *comment*, unless somebody changed the work item
        since it was read.
        """
        change = [
            {"op": "test", "path": "/rev", "value": self._item(issue)["rev"]},
            _add(_STATE, state),
        ]
        if comment.text:
            change.append(_add(_SAID, comment.text))
        found = self._patch(issue, change)["fields"][_STATE]
        if found != state:
            raise Refused(f"Azure DevOps answered, and left the state {found}")

    def _patch(self, issue: Issue, change: list[Any], **params: str) -> Any:
        number = issue_number(issue)
        url = self.url("_apis", "wit", "workitems", number)
        request = {"json": change, "headers": _PATCH, "params": params or None}
        with known():
            answer = self.call("PATCH", url, errors=(409, 412), **request)
        if answer.status in (409, 412):
            del self._items[number]
            raise NotDone("somebody else changed the work item meanwhile", after=1.0)
        found = answer.json()
        if not params:
            self._items[number] = found
        return found

    def check(self) -> list[Check]:
        project = self.settings.project
        where = []
        if project:
            need = "set `project` to the name of a project that the token's user may see, or leave it out"
            what = f"there is the project {project}"
            where.append((what, need, lambda: self._has_project(project)))
        need = "give the token the scope Work Items (Read & write), and its user the right to edit them"
        return self.looks(
            (
                "Azure DevOps answers, and takes the token",
                "set `url` to the organization's or the collection's address, and `token`",
                lambda: bool(self.get("_apis", "wit", "fields", _STATE)),
            ),
            *where,
            ("work items can be closed", need, lambda: self._leads(need, closed=True)),
            (
                "work items can be reopened",
                need,
                lambda: self._leads(need, closed=False),
            ),
        )

    def _has_project(self, project: str) -> bool:
        with known():
            return bool(self.get(project, "_apis", "wit", "workitemtypes")["value"])

    def _leads(self, mend: str, *, closed: bool) -> Check:
        """Whether Azure DevOps finds nothing wrong with closing (or reopening) the
        newest work item of each type, which it is asked to say and not to do.
        """
        tried, seen = Tried(), dict[str, bool]()
        for item in self._newest():
            kind = str(item["fields"][_TYPE])
            if seen.get(kind) or self._counts_as_closed(item) == closed:
                seen.setdefault(kind, False)
                continue
            seen[kind] = True
            tried.add(kind, self._would(item, _CLOSED if closed else _OPEN))
        for kind, looked in seen.items():
            if not looked:
                tried.add(kind, None)
        if not seen:
            tried.add("any", None)
        what = "can be closed" if closed else "can be reopened"
        return tried.check(f"work items {what}", mend)

    def _newest(self) -> list[Any]:
        """The work items that were changed last, in the project where one is named."""
        only = "WHERE [System.TeamProject] = @project " if self.settings.project else ""
        query = f"SELECT [System.Id] FROM WorkItems {only}ORDER BY [System.ChangedDate] DESC"  # noqa: S608  nothing of it is foreign
        parts = [*filter(None, [self.settings.project]), "_apis", "wit", "wiql"]
        body, top = {"query": query}, {"$top": str(_LOOKED_AT)}
        found = self.call("POST", self.url(*parts), json=body, params=top).json()
        ids = ",".join(str(int(each["id"])) for each in found["workItems"])
        if not ids:
            return []
        read = self.get("_apis", "wit", "workitems", ids=ids, errorPolicy="omit")
        return [item for item in read["value"] if item]

    def _would(self, item: Any, categories: tuple[str, ...]) -> bool:
        setting = "close" if categories is _CLOSED else "reopen"
        number = str(item["id"])
        try:
            state = self._target(item, categories, getattr(self.settings, setting))
            change = [_add(_STATE, state), _add(_SAID, "oberonc")]
            issue = Issue("", number, f"#{number}")
            self._patch(issue, change, validateOnly="true")
        except (Refused, Forbidden):
            return False
        return True


def _add(field: str, value: str) -> dict[str, Any]:
    return {"op": "add", "path": f"/fields/{field}", "value": value}
