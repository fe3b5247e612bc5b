"""Which page is at which address."""

from typing import Any

from django.urls import path, re_path

from oberonc.config import Config
from oberonc.web.page import letters, now, playground, pushes, services, static
from oberonc.web.page.entry import Entry
from oberonc.web.page.frame import Frame, nowhere
from oberonc.web.page.live import Live
from oberonc.web.settings import Settings


def pages(config: Config, settings: Settings, live: Live) -> list[Any]:
    """Django's routes."""
    frame = Frame(config, settings)
    entry = Entry(frame.sessions)
    tries = None if settings.public_try else "read"
    views = {
        "": frame.view(now.show),
        "pushes": frame.view(pushes.show),
        "pushes/<str:id>": frame.view(pushes.one),
        "letters": frame.view(letters.show, letters.change),
        "services": frame.view(services.show, services.change),
        # Its report stands at this address, which a person may open again.
        "reload": frame.view(services.reloaded, services.reload, acts="admin"),
        "actions": frame.view(services.actions),
        "try": frame.view(playground.show, playground.read, right=tries, acts=tries),
        "login": frame.view(entry.show, entry.enter, right=None, acts=None),
        "logout": frame.view(post=entry.leave, acts="read"),
        "live": live.view(frame),
        "static/<str:name>": static.view,
    }
    rest = frame.view(nowhere, nowhere, right=None, acts=None)
    return [
        *(path(where, view) for where, view in views.items()),
        re_path("^(?!api/|in/)", rest),
    ]
