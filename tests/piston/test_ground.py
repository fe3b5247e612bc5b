"""Section 2 and 3: names, settings, declarations, problems and replies."""

import subprocess
import sys

import pytest
from django.test import override_settings

import oberonc.piston
from oberonc.piston import AnonymousBaseHandler, BaseHandler, Problem, computed, rc
from oberonc.piston.conf import setting
from oberonc.piston.handler import declare, declared


def test_the_package_loads_without_settings_and_without_django() -> None:
    script = (
        "import sys, oberonc.piston; print([m for m in sys.modules if m[:6]=='django'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr


def test_names_load_before_settings_are_configured() -> None:
    script = "from oberonc.piston import BaseHandler, Problem, computed; print('fine')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert done.stdout == "fine\n", done.stderr


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Viewset'"):
        oberonc.piston.Viewset  # noqa: B018


def test_settings_are_read_each_time_and_have_defaults() -> None:
    assert setting("PAGE_SIZE") == 50
    with override_settings(PISTON={"PAGE_SIZE": 7}):
        assert (setting("PAGE_SIZE"), setting("MAX_DEPTH")) == (7, 32)
    assert setting("PAGE_SIZE") == 50


def test_a_declaration_leaves_the_function_itself() -> None:
    def create() -> None: ...

    assert declare(declare(create, "throttle", 1), "validate", "a") is create
    declare(create, "validate", "b")
    assert declared(create) == {"throttle": 1, "validate": ["a", "b"]}


def test_a_computed_field_has_the_name_of_its_method_or_another() -> None:
    class Handler(BaseHandler):
        @computed
        def age(self, thing: object) -> int:
            return 7

        @computed("read")
        def read_field(self, thing: object) -> bool:
            return True

    assert declared(Handler.age)["computed"] == "age"
    assert declared(Handler.read_field)["computed"] == "read"


def test_an_anonymous_handler_allows_only_get_unless_it_says_otherwise() -> None:
    assert AnonymousBaseHandler.allowed_methods == ("GET",)


def test_a_problem_has_the_members_of_rfc_9457_and_its_own() -> None:
    problem = Problem(413, "too much", type="urn:x", limit=7)
    assert problem.document() == {
        "type": "urn:x",
        "title": "Content Too Large",
        "status": 413,
        "detail": "too much",
        "limit": 7,
    }
    assert "detail" not in Problem(404).document()
    with pytest.raises(ValueError, match="from 400 to 599"):
        Problem(200)


def test_rc_is_fresh_at_each_access_and_has_the_statuses_of_section_3() -> None:
    names = """
        ALL_OK 200 CREATED 201 ACCEPTED 202 DELETED 204 BAD_REQUEST 400
        UNAUTHORIZED 401 FORBIDDEN 403 NOT_FOUND 404 DUPLICATE_ENTRY 409 NOT_HERE 410
        PRECONDITION_FAILED 412 UNPROCESSABLE 422 THROTTLED 429 INTERNAL_ERROR 500
        NOT_IMPLEMENTED 501 UNAVAILABLE 503
    """.split()  # noqa: SIM905 - a table
    for name, status in zip(names[::2], names[1::2], strict=True):
        assert getattr(rc, name).status_code == int(status)
    assert rc.CREATED is not rc.CREATED
    with pytest.raises(AttributeError, match="rc has no 'TEAPOT'"):
        rc.TEAPOT  # noqa: B018


def test_rc_carries_data_and_headers() -> None:
    reply = rc.CREATED({"id": 1}, location="/1/", headers={"X-A": "b"})
    assert (reply.content, reply["Location"], reply["X-A"]) == ({"id": 1}, "/1/", "b")
    assigned = rc.ALL_OK
    assert assigned.empty
    assigned.content = ["a"]
    assert assigned.content == ["a"]


def test_rc_from_400_on_is_a_problem() -> None:
    assert rc.FORBIDDEN("not yours").problem().detail == "not yours"
    document = rc.DUPLICATE_ENTRY({"headers": 1, "status": 2, "of": 3}).problem()
    assert document.document() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "headers": 1,
        "of": 3,
    }
