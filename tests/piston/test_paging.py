"""Paging: limit and offset, the links, the total."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.piston import Page, Problem, paginate


def page_of(url: str, items: Any = range(120), **sizes: int) -> Page:
    return paginate(RequestFactory().get(url), items, **sizes)


def links_of(page: Page) -> dict[str, str]:
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', page.headers()["Link"])
    return {relation: url for url, relation in found}


def offset_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["offset"][0]


def test_without_parameters_it_is_the_first_page() -> None:
    page = page_of("/things/")
    assert list(page.items) == list(range(50))
    assert page.headers()["X-Total-Count"] == "120"
    assert links_of(page) == {
        "first": "/things/?limit=50&offset=0",
        "next": "/things/?limit=50&offset=50",
        "last": "/things/?limit=50&offset=100",
    }


def test_links_keep_all_other_parameters() -> None:
    page = page_of("/things/?q=a%20%26&tag=x&tag=y&offset=20&limit=10")
    for url in links_of(page).values():
        query = parse_qs(urlsplit(url).query)
        assert (query["q"], query["tag"], query["limit"]) == (
            ["a &"],
            ["x", "y"],
            ["10"],
        )
    assert offset_of(links_of(page)["prev"]) == "10"


@pytest.mark.parametrize(
    "path", ["//evil.example/x", "/a%22%3E%3Ceb/", "/%0d%0aSet-Cookie:x/", "/é/"]
)
def test_a_link_stays_on_this_host_and_in_its_header(path: str) -> None:
    request = RequestFactory().get("/")
    request.path = path
    header = paginate(request, range(100)).headers()["Link"]
    assert header.isascii() and header.isprintable()
    for url in re.findall(r"<(.*?)>", header):
        assert urlsplit(url).netloc == ""


def test_a_limit_above_the_highest_is_lowered() -> None:
    assert len(page_of("/?limit=100", max_size=7).items) == 7
    assert len(page_of("/", max_size=7).items) == 7
    assert len(page_of("/?limit=1" + "0" * 900, max_size=7).items) == 7


def test_the_sizes_come_from_the_settings_of_the_moment() -> None:
    with override_settings(PISTON={"PAGE_SIZE": 3, "MAX_PAGE_SIZE": 4}):
        assert len(page_of("/").items) == 3
        assert len(page_of("/?limit=9").items) == 4


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.5", "+1", " 1", "1_0", "١", "²", "0x1", "9" * 5000]
)
def test_no_number_is_400(name: str, text: str) -> None:
    request = RequestFactory().get("/", {name: text})
    with pytest.raises(Problem) as caught:
        paginate(request, range(3))
    assert (caught.value.status, caught.value.members) == (400, {"parameter": name})


def test_limit_zero_is_400() -> None:
    with pytest.raises(Problem):
        page_of("/?limit=0")


@pytest.mark.parametrize("offset", ["120", "1000", "9" * 40])
def test_beyond_the_end_there_is_nothing_and_the_way_back(offset: str) -> None:
    page = page_of(f"/?offset={offset}")
    assert list(page.items) == []
    assert "next" not in links_of(page)
    assert offset_of(links_of(page)["prev"]) == "70"


def test_an_empty_list_has_one_page() -> None:
    page = page_of("/", [])
    assert links_of(page)["first"] == links_of(page)["last"]
    assert page.headers()["X-Total-Count"] == "0"


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 70))
def test_who_follows_next_from_the_first_page_sees_each_item_once(
    total: int, limit: int, start: int
) -> None:
    page = page_of(f"/?limit={limit}&offset={start}", range(total))
    seen, url = [], links_of(page)["first"]
    while url:
        page = page_of(url, range(total))
        seen += list(page.items)
        last, url = url, links_of(page).get("next", "")
    assert seen == list(range(total))
    assert last == links_of(page)["last"]


def test_a_page_by_cursor_has_the_links_it_is_given_and_no_total() -> None:
    page = Page([1], links={"next": "/things/?after=a<b>é"})
    assert page.headers() == {"Link": '</things/?after=a%3Cb%3E%C3%A9>; rel="next"'}
    assert Page([1]).headers() == {}


def test_of_a_queryset_only_the_page_is_fetched(db: None) -> None:
    User.objects.bulk_create(User(username=f"u{number:03}") for number in range(30))
    with CaptureQueriesContext(connection) as queries:
        page = page_of("/?limit=2&offset=4", User.objects.order_by("username"))
        assert [user.username for user in page.items] == ["u004", "u005"]
    assert page.total == 30
    assert len(queries) == 2
    for offset in ("9" * 30, "30"):
        assert list(page_of(f"/?offset={offset}", User.objects.all()).items) == []
