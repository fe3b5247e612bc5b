"""What a chat is told of a push: the summary, or the administrator's `format`."""

from collections.abc import Callable, Mapping
from typing import Any

from oberonc.kit.markup import Markup
from oberonc.kit.summary import render, summary
from oberonc.kit.template import Template
from oberonc.text import counted

#: Commits that a message names at most, whatever the setting `most` says.
MOST = 100
#: What a broker notes where there is no message.
NOTHING = "nothing: the push has nothing that 'format' speaks of"


def check_settings(settings: Any) -> None:
    """Raise ValueError where `format` names what there is not, or `most` is no count."""
    Template(settings.format)
    if not 1 <= settings.most <= MOST:
        raise ValueError(f"setting 'most' must be from 1 to {MOST}")


def message(
    payload: Mapping[str, Any],
    settings: Any,
    markup: Markup,
    limit: int,
    size: Callable[[str], int] = len,
) -> str:
    """The text for *payload* in *markup*, whose *size* is at most *limit*; "" where the
    push has nothing that `format` speaks of.

    What is too long names fewer commits: a text that is cut may end within its markup.
    """
    for most in range(settings.most, 0, -1):
        text = _written(payload, settings.format, most, markup)
        if size(text) <= limit:
            return text
    # One commit and one ref are too much: names that are escaped to many times their
    # length. Their number is true in any case.
    count = payload["commits_total"]
    return markup.dead(
        f"a push with {counted(count, 'commit')} and names too long to show"
    )


def _written(payload: Mapping[str, Any], form: str, most: int, markup: Markup) -> str:
    if not form or payload["event"] in ("dead", "test"):
        return render(summary(payload, most), markup)
    template = Template(form)
    if not template.per_commit:
        return template.fill(payload, dead=markup.dead)
    commits = payload["commits"] or payload["merged"]
    lines = [template.fill(payload, each, markup.dead) for each in commits[:most]]
    if len(commits) > most:
        lines.append(markup.dead(f"and {len(commits) - most} more"))
    return "\n".join(lines)
