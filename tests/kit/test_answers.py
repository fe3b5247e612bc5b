"""What HTTP answers mean, header by header."""

import pytest

from oberonc.errors import Retry
from oberonc.kit.answers import (
    Answer,
    Forbidden,
    Moved,
    NotDone,
    Refused,
    check,
    wait_hint,
)

NOW = 1_767_261_600.0  # 2026-01-01T10:00:00Z

HEADERS: list[tuple[dict[str, str], float | None]] = [
    ({"retry-after": "17"}, 17.0),
    ({"retry-after": "0"}, 1.0),
    ({"retry-after": "1e999"}, None),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "999999999999999"}, 86_400.0),
    ({"retry-after": "Thu, 01 Jan 2026 10:00:30 GMT"}, 30.0),
    ({"retry-after": "soon"}, None),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767261690"}, 90.0),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767261690000"}, 90.0),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-01-01T10:02Z"}, 120.0),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "45"}, 45.0),
    ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "1767261690"}, None),
    ({"ratelimit-remaining": "0", "ratelimit-reset": "1767261610"}, 10.0),
    (
        {
            "x-ratelimit-requests-remaining": "0",
            "x-ratelimit-requests-reset": "1767261690000",
        },
        90.0,
    ),
    (
        {
            "x-ratelimit-complexity-remaining": "0",
            "x-ratelimit-complexity-reset": "1767261690000",
        },
        90.0,
    ),
    ({"x-ratelimit-reset": "1767261690"}, 90.0),
    ({"x-ratelimit-reset-after": "1.5"}, 1.5),
    ({"x-ratelimit-reset": "1767261690", "retry-after": "3"}, 3.0),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "wait"), HEADERS)
def test_limits_of_every_product_become_a_wait(
    headers: dict[str, str], wait: float | None
) -> None:
    assert wait_hint(Answer(429, headers, ""), NOW) == wait


@pytest.mark.parametrize(
    ("body", "wait"),
    [
        ('{"retry_after_ms": 4060}', 4.06),
        ('{"retry_after": 2.5}', 2.5),
        ('{"retry_after": "3"}', 3.0),
        ('{"retry_after": NaN}', None),
        (f'{{"retry_after": {"9" * 400}}}', None),
        ("[1]", None),
        ("{", None),
        ("[" * 100_000, None),
    ],
)
def test_a_wait_may_stand_in_the_body(body: str, wait: float | None) -> None:
    assert wait_hint(Answer(429, {}, body), NOW) == wait


MEANINGS: list[tuple[int, type[Exception]]] = [
    *((status, Retry) for status in (408, 425, 500, 502, 503, 504, 599)),
    *((status, NotDone) for status in (401, 407, 429)),
    (403, Forbidden),
    *((status, Moved) for status in (301, 307, 308)),
    *(
        (status, Refused)
        for status in (
            300,
            302,
            303,
            400,
            402,
            404,
            405,
            409,
            410,
            412,
            413,
            422,
            451,
        )
    ),
]


@pytest.mark.parametrize(("status", "kind"), MEANINGS)
def test_every_status_has_a_meaning(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        check(Answer(status, {}, "<p>why</p>"), "GET https://x.example/y", NOW)
    assert type(caught.value) is kind
    assert str(status) in str(caught.value)
    assert "<p>" not in str(caught.value)


def test_a_success_is_one() -> None:
    answer = Answer(204, {}, "")
    assert check(answer, "PUT x", NOW) is answer


def test_what_is_no_json_is_no_answer() -> None:
    for text in ("<html>", "[" * 100_000):
        with pytest.raises(Retry, match="not JSON"):
            Answer(200, {}, text).json()


@pytest.mark.parametrize("error", ["ExpiredToken", "invalid_token", "invalid_grant"])
def test_a_400_may_mean_an_expired_token(error: str) -> None:
    with pytest.raises(NotDone, match="CREDENTIALS") as caught:
        check(Answer(400, {}, f'{{"error": "{error}", "message": "x"}}'), "GET x", NOW)
    assert caught.value.after == 600
    with pytest.raises(Refused):
        check(Answer(400, {}, f'{{"message": "about {error}"}}'), "GET x", NOW)


@pytest.mark.parametrize(
    "said",
    [
        "You have exceeded a secondary rate limit",
        "You have triggered an abuse detection mechanism. Please wait a few minutes",
        "RateLimitExceeded",
        "<h1>Too Many Requests</h1>",
    ],
)
def test_a_403_may_be_a_limit_and_waits_a_minute_where_it_does_not_say(
    said: str,
) -> None:
    with pytest.raises(NotDone, match="rate limit") as caught:
        check(Answer(403, {}, said), "GET x", NOW)
    assert caught.value.after == 60.0
