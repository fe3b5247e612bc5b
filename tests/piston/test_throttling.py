"""Throttling: exact, for each user or address and each handler method."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import cache
from django.test import RequestFactory, override_settings

from oberonc.piston import Principal, Problem, throttle
from oberonc.piston.handler import declared

#: A window whose end is years away.
LONG = 10**9


class Handler:
    pass


class Other:
    pass


def passes(
    limit: Any,
    handler: type = Handler,
    method: str = "GET",
    user: str = "",
    **meta: str,
) -> bool:
    request = RequestFactory().get("/", **meta)
    if user:
        request.user = Principal(user)
    try:
        declared(limit)["throttle"].check(request, handler, method)
    except Problem as problem:
        assert problem.status == 429
        return False
    return True


def limited(*arguments: Any, **keywords: Any) -> Any:
    def read() -> None:
        pass

    return throttle(*arguments, **keywords)(read)


def test_exactly_that_many_pass_in_a_window() -> None:
    limit = limited(3, LONG)
    assert [passes(limit) for _ in range(5)] == [True] * 3 + [False] * 2


def test_exactly_that_many_pass_from_sixteen_threads() -> None:
    limit = limited(100, LONG)
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(lambda _: passes(limit), range(400))) == 100


def test_retry_after_says_when_the_window_ends() -> None:
    limit = limited(1, 3600)
    request = RequestFactory().get("/")
    check = declared(limit)["throttle"].check
    check(request, Handler, "GET")
    with pytest.raises(Problem) as caught:
        for _ in range(2):  # a window may end in between
            check(request, Handler, "GET")
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 3600


def test_a_new_window_lets_pass_again(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = limited(1, 60)
    passed = []
    for moment in (120.0, 179.9, 180.0):
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        passed.append(passes(limit))
    assert passed == [True, False, True]


def test_users_addresses_methods_and_handlers_have_counts_of_their_own() -> None:
    limit = limited(1, LONG)
    assert passes(limit)
    assert passes(limit, method="POST")
    assert passes(limit, handler=Other)
    assert passes(limit, user="ann")
    assert passes(limit, user="bob")
    assert passes(limit, REMOTE_ADDR="192.0.2.7")
    assert not passes(limit, user="ann", REMOTE_ADDR="192.0.2.7")


def test_head_counts_as_get() -> None:
    limit = limited(1, LONG)
    assert passes(limit)
    assert not passes(limit, method="HEAD")


def test_methods_with_an_equal_extra_share_a_count() -> None:
    one, other = limited(2, LONG, "both"), limited(2, LONG, "both")
    assert passes(one)
    assert passes(other, handler=Other, method="POST")
    assert not passes(one)
    assert passes(limited(2, LONG, "else"))


@pytest.mark.parametrize("user", ["a b\n", "é" * 400], ids=["blanks", "long"])
def test_names_are_in_no_key_of_the_cache(user: str) -> None:
    passes(limited(1, LONG), user=user)
    keys = list(cache._cache)
    assert len(keys) == 1
    assert user not in keys[0] and keys[0].isascii() and len(keys[0]) < 200


def test_forwarded_addresses_count_for_nothing_without_proxies() -> None:
    limit = limited(1, LONG)
    assert passes(limit, HTTP_X_FORWARDED_FOR="192.0.2.1")
    assert not passes(limit, HTTP_X_FORWARDED_FOR="192.0.2.2")


@override_settings(PISTON={"PROXIES": 2})
def test_behind_two_proxies_what_a_client_writes_itself_counts_for_nothing() -> None:
    limit = limited(1, LONG)
    # [what the client wrote,] the client as the first proxy saw it, the first proxy
    assert passes(limit, HTTP_X_FORWARDED_FOR="192.0.2.1, 10.0.0.1")
    assert not passes(limit, HTTP_X_FORWARDED_FOR="198.51.100.9, 192.0.2.1,10.0.0.1")
    assert passes(limit, HTTP_X_FORWARDED_FOR="192.0.2.1, 192.0.2.2, 10.0.0.1")


@override_settings(PISTON={"PROXIES": 2})
def test_who_went_round_the_proxies_is_counted_by_his_own_address() -> None:
    limit = limited(1, LONG)
    assert passes(limit)
    assert not passes(limit, HTTP_X_FORWARDED_FOR="192.0.2.1")
    assert not passes(limit, HTTP_X_FORWARDED_FOR=" , 192.0.2.1")


@override_settings(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
)
def test_a_cache_that_keeps_nothing_limits_nothing() -> None:
    limit = limited(1, LONG)
    assert passes(limit) and passes(limit)


@override_settings(
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
        "counts": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": "counts",
        },
    },
    PISTON={"CACHE": "counts"},
)
def test_the_cache_is_the_one_of_the_setting() -> None:
    limit = limited(1, LONG)
    assert passes(limit) and not passes(limit)


@pytest.mark.parametrize(
    "arguments",
    [(0, 1), (-1, 1), (1, 0), (1, -1), (1, float("inf")), (1, float("nan"))],
)
def test_a_limit_that_lets_nothing_pass_is_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match="nothing"):
        throttle(*arguments)
