"""Django, configured once in a process, and a database that forgets each test."""

import importlib.util
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings
from django.test.utils import setup_test_environment, teardown_test_environment
from django.urls import clear_url_caches, path

#: Models of the tests, where there are some.
_PROJECT = "tests.piston.project"

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        },
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "oberonc.piston",
            *([_PROJECT] if importlib.util.find_spec(_PROJECT) else []),
        ],
        LOGGING_CONFIG=None,  # the loggers are the whole suite's
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="of the tests",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
            }
        ],
        TIME_ZONE="UTC",
        USE_TZ=True,
    )
    django.setup()

urlpatterns: list[Any] = []


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """What Django's own test runner sets up: no mails, templates one can look at."""
    setup_test_environment()
    yield
    teardown_test_environment()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Buckets, stored answers and settings of one test are not another's.

    A decorator `override_settings` ends before the settings of `serve` do, which then
    come back with its values in them: give them to `serve`.
    """
    before = settings._wrapped
    cache.clear()
    yield
    cache.clear()
    assert settings._wrapped is before, "override_settings and serve() are crossed"


@pytest.fixture(scope="session")
def database() -> Iterator[None]:
    """The tables, in memory."""
    from django.db import connection

    connection.creation.create_test_db(verbosity=0)
    yield
    connection.creation.destroy_test_db(":memory:", verbosity=0)


@pytest.fixture
def db(database: None) -> Iterator[None]:
    """A database that is as it was once the test is over."""
    from django.db import transaction

    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def rf() -> RequestFactory:
    return RequestFactory()


#: `serve(path, view, ...)` or `serve(path("a/", view), ...)` gives a client for it.
Serve = Callable[..., Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A client of a URLconf that lasts as long as the test.

    Called with a view, it is at `/things/` and `/things/<int:id>/`; called with results
    of `path()`, they are the URLconf. Errors become answers, as on a real server.
    """
    stack: list[Any] = []

    def start(*patterns: Any, middleware: tuple[str, ...] = (), **given: Any) -> Client:
        urls = ModuleType("urls_of_the_test")
        if len(patterns) == 1 and callable(patterns[0]):
            view: Callable[[HttpRequest], Any] = patterns[0]
            patterns = (
                path("things/", view, name="things"),
                path("things/<int:id>/", view, name="thing"),
            )
        urls.urlpatterns = list(patterns)  # type: ignore[attr-defined]
        context = override_settings(
            ROOT_URLCONF=urls, MIDDLEWARE=list(middleware), **given
        )
        context.enable()
        stack.append(context)
        clear_url_caches()
        return Client(raise_request_exception=False)

    yield start
    for context in reversed(stack):
        context.disable()
    clear_url_caches()
