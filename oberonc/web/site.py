"""Django's part: which address is answered by what."""

import logging
from collections.abc import Callable
from typing import Any, Final

import django
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from oberonc.config import Config
from oberonc.piston import (
    Emitter,
    Problem,
    Resource,
    documentation_view,
    openapi_view,
)
from oberonc.piston.answers import problem_response
from oberonc.web.api import Prometheus, resources
from oberonc.web.forges.delivery import LARGEST
from oberonc.web.health import Health, Ready
from oberonc.web.page.live import Live
from oberonc.web.page.routes import pages
from oberonc.web.settings import Settings
from oberonc.web.webhooks import Door, Doorway

View = Callable[[HttpRequest], HttpResponse]

#: What all is sent as but the numbers for Prometheus.
FORMATS: Final = ("json", "yaml", "xml", "csv", "jsonl")
#: What Prometheus' text format is called.
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


def application(door: Door, config: Config, settings: Settings, live: Live) -> Any:
    """The ASGI application. Once in a process: Django's settings are the process's."""
    Ready.config = config
    django_settings.configure(
        DEBUG=False,
        ALLOWED_HOSTS=["*"],  # nothing that is answered depends on it
        # Answers for who asks again with a key; by default it would keep 300.
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
                "OPTIONS": {"MAX_ENTRIES": 50_000},
            }
        },
        DATA_UPLOAD_MAX_MEMORY_SIZE=LARGEST,
        FILE_UPLOAD_MAX_MEMORY_SIZE=LARGEST,
        INSTALLED_APPS=["oberonc.piston"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=["oberonc.web.access.access"],
        PISTON={"TITLE": "oberonc", "VERSION": "1", "FORMATS": FORMATS},
        ROOT_URLCONF=__name__,
        USE_TZ=True,
    )
    django.setup()
    Emitter.register("prometheus", Prometheus, METRICS)
    # It would write a line of its own for each refusal, with less in it.
    logging.getLogger("django.security").setLevel(logging.CRITICAL)
    global urlpatterns  # Django looks for it by this name
    urlpatterns = [
        path("health", Resource(Health)),
        path("health/ready", Resource(Ready)),
        path("api/", _read_only(documentation_view)),
        path("api/openapi.json", _read_only(openapi_view)),
        *(
            path(f"api/{at}", each)
            for at, each in resources(config, settings.tokens, door.counts).items()
        ),
        *pages(config, settings, live),
    ]
    return Doorway(door, get_asgi_application())


urlpatterns: list[Any] = []


def _read_only(view: View) -> View:
    def answer(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        problem = Problem(405, headers={"Allow": "GET, HEAD"})
        return problem_response(problem, "json")

    return answer


def handler400(_request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses by itself: too many fields, or what no text can be made of."""
    return problem_response(Problem(400, "This request cannot be read."), "json")


def handler404(_request: HttpRequest, exception: Exception) -> HttpResponse:
    """What no address is for."""
    return problem_response(Problem(404, "There is nothing at this address."), "json")


def handler500(_request: HttpRequest) -> HttpResponse:
    """What nobody expected: the log says where it was."""
    return problem_response(Problem(500, "The error is logged."), "json")
