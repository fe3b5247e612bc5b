"""From the settings of the service to the rules of the policy and the tracker that
acts.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from oberonc.grammar.reference import Reference
from oberonc.grammar.vocabulary import Words
from oberonc.grammar.words import PRESETS, words_for
from oberonc.issues.comment import check_template
from oberonc.issues.plan import Rules
from oberonc.issues.tasks import Issue, Payload
from oberonc.issues.trackers import load
from oberonc.issues.trackers.base import Tracker
from oberonc.kit.markup import FLAVOURS
from oberonc.payload.globs import passes

OTHER_REFS = ("", "reference")
MENTIONS = ("", "comment")


def check_settings(settings: SimpleNamespace) -> None:
    """Raise ValueError where the settings make no sense together."""
    kind = load(settings.tracker)
    for name in kind.needs:
        if not any(getattr(settings, choice) for choice in name.split("|")):
            raise ValueError(
                f"tracker = '{settings.tracker}' needs the setting {name.replace('|', ' or ')}"
            )
    for name in ("close", "reopen"):
        if isinstance(getattr(settings, name), dict) and settings.tracker != "rt":
            raise ValueError(f"{name} may be a table where tracker = 'rt' alone")
    if settings.authors_by_mail and kind.find_user is Tracker.find_user:
        raise ValueError(
            f"tracker = '{settings.tracker}' finds nobody by their mail address: leave out authors_by_mail"
        )
    _choice("other_refs", settings.other_refs, OTHER_REFS)
    _choice("mentions", settings.mentions, MENTIONS)
    _choice("markup", settings.markup, ("", *FLAVOURS))
    check_template(settings.template)
    make_words(settings)


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(repr(choice) for choice in choices)}, not '{value}'"
        )


def make_words(settings: SimpleNamespace) -> Words:
    """The grammar's words for the service: the tracker's preset, its keys and address,
    and `words` on top.
    """
    projects = [
        project for project in (settings.project, *settings.projects) if project
    ]
    known: dict[str, Any] = (
        {"aliases": list(settings.aliases)} if settings.aliases else {}
    )
    kind = load(settings.tracker)
    preset = kind.kind if kind.kind in PRESETS else "local"
    if kind.numbering == "key":
        known["keys"] = projects
    if settings.url:
        known["urls"] = [settings.url]
    own = settings.words.get("keys")
    if known.get("keys") and isinstance(own, list):
        # further keys do not take the project's own away
        known["keys"] = [*known["keys"], *own]
        return words_for(
            preset,
            known
            | {name: value for name, value in settings.words.items() if name != "keys"},
            kind.words,
        )
    return words_for(preset, known | settings.words, kind.words)


def make_rules(settings: SimpleNamespace, payload: Payload) -> Rules:
    """The policy's rules for one payload."""
    own = payload["repository"]["full_name"]
    project = settings.project or own
    foreign = bool(payload["repository"].get("fork")) and project != own
    return Rules(
        words=make_words(settings),
        resolve=_resolver(settings, load(settings.tracker), own, project),
        other_refs=settings.other_refs,
        mentions=settings.mentions,
        import_above=settings.import_above,
        max_actions=settings.max_actions,
        may_change_state=not foreign,
        moves=load(settings.tracker).moves,
        users={
            name.casefold(): user
            for pair in settings.authors.items()
            for name in pair
            for user in pair[1:]
        },
    )


def bound_to(settings: SimpleNamespace) -> tuple[str, ...]:
    """The patterns of the projects whose issues are acted on, in lower case, where a
    number alone does not say which project it is of; none: every project.
    """
    if load(settings.tracker).numbering != "all":
        return ()
    names = (settings.project, *settings.projects)
    return tuple(name.casefold() for name in names if name)


def _resolver(
    settings: SimpleNamespace, kind: type[Tracker], own: str, project: str
) -> Callable[[Reference], Issue | None]:
    """What finds the issue a reference means: only in projects the service is bound to."""
    bound = {name.casefold(): name for name in (project, *settings.projects)}
    patterns = tuple(pattern.casefold() for pattern in settings.projects)

    def find_project(reference: Reference) -> str | None:
        named = settings.aliases.get(reference.repository, reference.repository)
        if named in (None, own):
            return project
        key = named.casefold()
        found = bound.get(key)
        return named if not found and patterns and passes(patterns, [key]) else found

    def resolve(reference: Reference) -> Issue | None:
        where = (
            bound.get(reference.key.casefold())
            if reference.key
            else find_project(reference)
        )
        if where is None or (reference.key and kind.numbering != "key"):
            return None
        if kind.numbering == "key":
            name = f"{where}-{reference.issue}"
            return Issue(where, name, name)
        sign = kind.sign if reference.issue.isdigit() else ""
        shown = f"{sign}{reference.issue}"
        if kind.numbering == "all":
            return Issue("", reference.issue, shown)
        if where != project:
            shown = f"{where}{shown}"
        return Issue(where, reference.issue, shown)

    return resolve
