"""Close, reopen, reference and log time on issues that commit messages name."""
# ruff: noqa: RUF012  defaults of settings are never changed

from typing import Any

from oberonc import BaseBroker, Check, Secret
from oberonc.issues.act import Actor
from oberonc.issues.comment import TEMPLATE
from oberonc.issues.ledger import Ledger
from oberonc.issues.plan import describe, make_plan, note
from oberonc.issues.settings import bound_to, check_settings, make_rules
from oberonc.issues.trackers import describe_plugins, load
from oberonc.issues.trackers.base import Tracker


class Issues(BaseBroker):
    """ "fixes #42" closes issue 42 with a comment that names the commit; "references
    #37" comments on 37.
    """

    timeout = 120

    class Settings:
        # local, github, gitlab, gitea, forgejo, jira, redmine, trac, bugzilla, ...
        tracker: str = "local"
        url: str = ""  # where it is
        token: Secret | None = None
        user: str = ""
        password: Secret | None = None
        # where `#42` is looked for; default: the project called like the repository
        project: str = ""
        # further projects that `owner/name#42` or `KEY-42` may name, `*` and `**` too
        projects: list[str] = []
        aliases: dict[str, str] = {}  # short names of projects
        # e-mail of a commit's author -> the tracker's user: to act for, and for #assign
        authors: dict[str, str] = {}
        # others act as the user with the mail address of the commit's author
        authors_by_mail: bool = False
        # "reference": comment on what commits outside the publish refs name
        other_refs: str = ""
        mentions: str = ""  # "comment": a bare `#42` comments
        import_above: int = 20
        max_actions: int = 1000
        template: str = TEMPLATE
        words: dict[str, Any] = {}  # the grammar's tables
        # the status or transition that closes, where the tracker's first is not the one
        # (Request Tracker: one for each lifecycle, { default = "resolved", ... })
        close: str | dict[str, str] = ""
        reopen: str | dict[str, str] = ""  # and the one that opens again
        # what the tracker calls fixed, wontfix, invalid, duplicate
        resolutions: dict[str, str] = {}
        activity: str = ""  # Redmine: of time entries
        pull_requests: bool = False  # GitHub, Gitea: `#42` may be a pull request
        notify: bool = True  # Trac, Jira, YouTrack, OpenProject: mail about it
        # markdown, textile, trac, jira, plain: where the tracker was told to use
        # another one
        markup: str = ""
        proxy: str = ""  # the environment's proxies are not looked at
        # a file with the certificates to trust, where the tracker's is not a public one
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)
        self._tracker()

    def plan(self, payload: dict[str, Any]) -> list[str]:
        """What `handle` would do, and why; touches nothing."""
        return describe(make_plan(payload, make_rules(self.settings, payload)))

    def has_work(self, payload: dict[str, Any]) -> bool:
        return bool(make_plan(payload, make_rules(self.settings, payload)).tasks)

    def handle(self, payload: dict[str, Any]) -> str:
        plan = make_plan(payload, make_rules(self.settings, payload))
        if not plan.tasks and not plan.held:
            return note(plan.notes, plan.remarks)
        ledger = Ledger(self.common_state, by_hand=not payload["updates"])
        try:
            actor = Actor(
                tracker=self._tracker(),
                ledger=ledger,
                payload=payload,
                template=self.settings.template,
                bound=bound_to(self.settings),
                remaining=self.remaining,
            )
            return actor.run(plan)
        finally:
            ledger.close()

    @classmethod
    def plugins(cls) -> dict[str, dict[str, Any]]:
        return describe_plugins()

    def check(self) -> list[Check]:
        return self._tracker().check()

    def _tracker(self) -> Tracker:
        return load(self.settings.tracker)(self)
