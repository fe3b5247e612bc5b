"""Which service gets what of a push, and the reason that is logged."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oberonc.config import Service
from oberonc.payload import filters, globs


def service(**filtering: Any) -> Service:
    return Service("chat", "notify", {}, **filtering)


def update(ref: str, **more: Any) -> dict[str, Any]:
    kind = {"heads": "branch", "tags": "tag"}.get(ref.split("/")[1], "other")
    return {
        "ref": ref,
        "kind": kind,
        "name": ref.split("/", 2)[2],
        "new": "f" * 40,
        "publish": False,
        **more,
    }


def commit(
    letter: str,
    branch: str | None = "main",
    *files: str,
    author: str = "Ann <ann@example.org>",
) -> dict[str, Any]:
    return {
        "raw_node": letter * 40,
        "message": "a change",
        "branch": branch,
        "files": [{"file": name, "type": "added"} for name in files],
        "author": author.partition(" <")[0],
        "raw_author": author,
    }


def push(
    *commits: dict[str, Any], refs: tuple[str, ...] = ("refs/heads/main",), **more: Any
) -> dict[str, Any]:
    return {
        "repository": {"full_name": "web/shop"},
        "updates": [update(ref) for ref in refs],
        "commits": list(commits),
        "merged": [],
        "published": [c["raw_node"] for c in commits],
        "push_options": [],
        **more,
    }


def chosen(service: Service, payload: dict[str, Any]) -> str:
    """The letters of the commits that *service* gets, or the reason for none."""
    choice = filters.choose(service, payload)
    return (
        choice.reason
        if choice.payload is None
        else "".join(c["raw_node"][0] for c in choice.payload["commits"])
    )


@pytest.mark.parametrize(
    ("pattern", "passing", "failing"),
    [
        ("web/*", ["web/shop", "web/"], ["web", "web/shop/attic", "xweb/shop"]),
        ("web/**", ["web/shop", "web/shop/attic"], ["web"]),
        ("**/shop", ["shop", "web/shop", "a/b/shop"], ["webshop", "shop/x"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb"]),
        ("a**/b", ["a/b", "ax/y/b"], ["ab", "axb"]),
        ("v?.*", ["v1.0", "v2."], ["v10.0", "v/.0", "v1"]),
        ("a[b].(c)+$", ["a[b].(c)+$"], ["ab.c"]),
        ("**", ["", "a", "a/b", "a\nb"], []),
        ("*", ["", "a", "a\nb"], ["a/b"]),
    ],
)
def test_globs_stay_within_a_part_unless_doubled(
    pattern: str, passing: list[str], failing: list[str]
) -> None:
    assert [value for value in passing if not globs.matches(pattern, value)] == []
    assert [value for value in failing if globs.matches(pattern, value)] == []


@given(
    st.lists(
        st.sampled_from(["a", "b", "/", ".", "*", "**", "**/", "?", "\ue000"]),
        max_size=8,
    ).map("".join),
    st.text("ab/.\ue000\u00e9", max_size=10),
)
@example("a\ue000", "a\u00e9")
def test_globs_agree_with_a_regular_expression(pattern: str, value: str) -> None:
    wild = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"((?:^|(?<=/))\*\*/|\*\*|\*|\?)", pattern)
    expression = "".join(wild.get(part) or re.escape(part) for part in parts)
    assert globs.matches(pattern, value) == bool(
        re.fullmatch(expression, value, re.DOTALL)
    )


class Counted(str):
    """Text that counts how many of its characters were looked at."""

    looks = 0

    def translate(self, table: Any, /) -> "Counted":
        return self

    def __iter__(self) -> Iterator[str]:
        for char in str.__iter__(self):
            self.looks += 1
            yield char


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("*bot*", "bo" * 5000),
        ("**/tests/**/*.py", "tests/" * 2000),
        ("**/**/**/**/x", "a/" * 5000),
        ("*a*a*a*a*a*b", "a" * 10_000),
        ("**a?" * 8, "ab" * 5000),
        ("*a" + "?" * 12, "aab" * 3000),
    ],
)
def test_a_hostile_value_is_looked_at_once_whatever_the_pattern(
    pattern: str, value: str
) -> None:
    counted = Counted(value)
    globs.matches(pattern, counted)
    assert counted.looks <= len(value)


def test_what_a_pattern_remembers_is_bounded_whatever_the_values() -> None:
    glob = globs._Glob("*a" + "?" * 20)
    for number in range(3000):
        glob.matches(f"{number:b}".replace("0", "a").replace("1", chr(0x4E00 + number)))
    assert len(glob._states) <= globs._MOST_STATES
    assert max(map(len, glob._states.values())) <= 3


def test_without_filters_everything_arrives() -> None:
    assert chosen(service(), push(commit("a"), commit("b", None))) == "ab"
    assert (
        filters.choose(service(), push(refs=("refs/heads/gone",))).payload is not None
    )


def test_repositories_choose_by_full_name() -> None:
    assert (
        chosen(service(repositories=("web/*", "!web/attic-*")), push(commit("a")))
        == "a"
    )
    assert "repository web/shop is not in `repositories`" in chosen(
        service(repositories=("!web/*",)), push(commit("a"))
    )


def test_refs_choose_updates_and_the_commits_on_them_by_full_or_short_name() -> None:
    payload = push(
        commit("a"),
        commit("b", "topic"),
        commit("c", None),
        refs=("refs/heads/main", "refs/heads/topic", "refs/tags/v1"),
    )
    assert chosen(service(refs=("main",)), payload) == "a"
    assert chosen(service(refs=("refs/heads/*", "!topic")), payload) == "a"
    assert chosen(service(refs=("refs/tags/**",)), payload) == "c"
    assert chosen(service(refs=("!main",)), payload) == "bc"
    assert (
        chosen(service(refs=("release/*",)), payload)
        == "no ref of the push is in `refs`"
    )
    got = filters.choose(service(refs=("main",)), payload).payload
    assert got is not None
    assert [u["name"] for u in got["updates"]] == ["main"]
    assert got["published"] == ["a" * 40]


EVERYTHING = push(
    commit("a"),
    commit("b", None),
    updates=[
        update("refs/heads/main"),
        update("refs/tags/v1"),
        update("refs/heads/old", new="0" * 40),
        update("refs/tags/v0", new="0" * 40),
        update("refs/notes/commits"),
    ],
)


@pytest.mark.parametrize(
    ("events", "names", "letters"),
    [
        (None, ["main", "v1", "old", "v0", "commits"], "ab"),
        (["push"], ["main", "commits"], "a"),
        (["tag"], ["v1"], "b"),
        (["delete"], ["old", "v0"], ""),
        (["push", "dead"], ["main", "commits"], "a"),
    ],
    ids=str,
)
def test_events_cut_a_push_to_the_kinds_a_service_wants(
    events: list[str] | None, names: list[str], letters: str
) -> None:
    wanting = service(events=tuple(events)) if events else service()
    got = filters.choose(wanting, EVERYTHING).payload
    assert got is not None
    assert [u["name"].split("/")[-1] for u in got["updates"]] == names
    assert "".join(c["raw_node"][0] for c in got["commits"]) == letters
    assert filters.possible(wanting, EVERYTHING)


def test_a_push_of_no_wanted_kind_is_not_handed_over_and_the_reason_is_told() -> None:
    tag = push(commit("a", None) | {"message": "fixes #7"}, refs=("refs/tags/v1",))
    chat = service(events=("push", "delete"))
    assert not filters.possible(chat, tag)
    choice = filters.choose(chat, tag)
    assert (choice.payload, choice.reason) == (
        None,
        "#7 is named, and nothing is done: nothing in the push is one of `events`",
    )
    quiet = push(refs=("refs/tags/v1",))
    assert chosen(chat, quiet) == "nothing in the push is one of `events`"
    by_hand = push(commit("a"), refs=())
    assert chosen(chat, by_hand) == "a"
    assert chosen(service(events=("tag",)), by_hand) == "it is no push, tag or delete"


def test_commits_of_refs_that_events_leave_out_are_left_out_with_the_reason() -> None:
    both = push(
        commit("a") | {"message": "fixes #7"},
        refs=("refs/heads/main", "refs/tags/v1"),
    )
    choice = filters.choose(service(events=("tag",)), both)
    assert choice.payload is not None
    assert (choice.payload["commits"], choice.payload["published"]) == ([], [])
    assert choice.held_back == (
        "#7 is named, and nothing is done: its commit came by none of `events`"
    )


def test_diffs_are_for_those_who_ask_for_them() -> None:
    plain = commit("a")
    payload = push(plain | {"diff": "+x", "diff_truncated": True})
    with_diffs = filters.choose(service(diffs=True), payload).payload
    assert with_diffs is payload
    without = filters.choose(service(), payload).payload
    assert without is not None
    assert without["commits"] == [plain]
    assert payload["commits"] != [plain], "what others get is not touched"
    held = service(paths=("docs/**",))
    assert filters.promised(held, payload)["commits"] == [plain]


@pytest.mark.parametrize(
    ("filtering", "body", "cut"),
    [
        ({}, b'{"message":"a \\"diff\\""}', False),
        ({}, b'{"diff":"+"}', True),
        ({"diffs": True}, b'{"diff":"+"}', False),
        ({"events": ("push", "tag", "delete", "dead")}, b"{}", False),
        ({"events": ("dead",)}, b"{}", True),
        ({"refs": ("main",)}, b"{}", True),
    ],
    ids=str,
)
def test_a_body_is_read_again_only_where_it_may_be_cut(
    filtering: dict[str, Any], body: bytes, cut: bool
) -> None:
    assert filters.cuts(service(**filtering), body) == cut


def test_a_tag_called_like_a_branch_is_no_branch() -> None:
    assert (
        chosen(
            service(refs=("main",)), push(commit("a", None), refs=("refs/tags/main",))
        )
        == "no ref of the push is in `refs`"
    )


def test_paths_choose_commits_by_any_of_their_files() -> None:
    payload = push(
        commit("a", "main", "apps/x.py", "README"),
        commit("b", "main", "docs/x"),
        commit("c", "main"),
    )
    assert chosen(service(paths=("apps/**",)), payload) == "a"
    assert chosen(service(paths=("!docs/**",)), payload) == "a"
    assert (
        chosen(service(paths=("attic/**",)), payload)
        == "no commit touches a file in `paths`"
    )


def test_authors_choose_by_name_mail_or_both() -> None:
    payload = push(commit("a"), commit("b", author="Bot <bot@ci>"))
    for pattern in ("Ann", "ann@example.org", "*@example.org", "Ann <*", "!bot@ci"):
        assert chosen(service(authors=(pattern,)), payload) == "a", pattern
    assert (
        chosen(service(authors=("Eve",)), payload)
        == "no commit is by an author in `authors`"
    )


def test_filters_together_choose_what_passes_all() -> None:
    payload = push(
        commit("a", "main", "x"), commit("b", "main", "y"), commit("c", "topic", "x")
    )
    assert (
        chosen(service(refs=("main",), paths=("x",), authors=("Ann",)), payload) == "a"
    )


def test_merged_commits_are_chosen_as_new_ones_are() -> None:
    payload = push(
        merged=[commit("a", "main", "x"), commit("b", "main", "y")],
        published=["a" * 40, "b" * 40],
    )
    got = filters.choose(service(paths=("x",)), payload).payload
    assert got is not None
    assert [c["raw_node"] for c in got["merged"]] == got["published"] == ["a" * 40]


def test_a_push_option_skips_all_or_one() -> None:
    assert (
        chosen(service(), push(commit("a"), push_options=["oberonc.skip"]))
        == "skipped by a push option"
    )
    assert (
        chosen(service(), push(commit("a"), push_options=["oberonc.skip=chat"]))
        == "skipped by a push option"
    )
    assert (
        chosen(
            service(), push(commit("a"), push_options=["oberonc.skip=other", "ci.skip"])
        )
        == "a"
    )


def test_a_repository_may_ask_for_some_of_the_services() -> None:
    asking = push(
        commit("a"), repository={"full_name": "web/shop", "services": ["issues"]}
    )
    assert "oberonc.service" in chosen(service(), asking)
    asking["repository"]["services"].append("chat")
    assert chosen(service(), asking) == "a"


def test_without_updates_the_branch_of_a_commit_counts() -> None:
    payload = push(commit("a"), commit("b", "topic"), commit("c", None), refs=())
    assert chosen(service(), payload) == "abc"
    assert chosen(service(refs=("main",)), payload) == "ac"
    assert chosen(service(), push(refs=())) == "there is no commit"


def test_what_is_impossible_is_known_before_commits_are_read() -> None:
    assert filters.possible(service(refs=("main",)), push())
    assert not filters.possible(service(refs=("topic",)), push())
    assert not filters.possible(service(repositories=("x",)), push())
    assert not filters.possible(service(), push(push_options=["oberonc.skip"]))
    assert not filters.possible(
        service(), push(repository={"full_name": "x", "services": []})
    )


@pytest.mark.parametrize(
    ("filtering", "why"),
    [
        ({"paths": ("docs/**",)}, "its commit touches no file in `paths`"),
        ({"authors": ("!*ann*",)}, "its commit is by no author in `authors`"),
        ({"refs": ("release",)}, "its commit is on no ref in `refs`"),
    ],
)
def test_what_a_filter_keeps_back_is_told_with_the_issues_it_names(
    filtering: dict[str, Any], why: str
) -> None:
    named = commit("a", "main", "src/a.c") | {
        "message": "fixes #2, web/shop#4 & and &#39; (#3), #0, a#5, #6x"
    }
    kept = commit("b", "release", "docs/x", author="Bob <bob@example.org>")
    payload = push(named, kept, refs=("refs/heads/main", "refs/heads/release"))
    choice = filters.choose(service(**filtering), payload)
    assert choice.payload is not None
    assert choice.reason == f"matches; #2 and #3 are named, and nothing is done: {why}"
    assert choice.held_back == choice.reason.removeprefix("matches; ")
    alone = push(named, refs=("refs/heads/main",))
    choice = filters.choose(service(**filtering), alone)
    assert choice.payload is None
    assert choice.reason == choice.held_back
    assert choice.held_back.startswith("#2 and #3 are named, and nothing is done: ")


def test_keys_are_told_where_the_service_has_their_project() -> None:
    named = commit("a") | {"message": "PROJ-7, XPROJ-8, UTF-8, OPS-1; fixes #9"}
    jira = Service(
        "chat",
        "issues",
        {"project": "PROJ", "projects": ["OPS", "a/b", 3]},
        paths=("docs/**",),
    )
    assert filters.choose(jira, push(named)).held_back.startswith(
        "PROJ-7, OPS-1 and #9 are named, and nothing is done"
    )
    odd = Service(
        "chat", "issues", {"project": 3, "projects": "OPS"}, paths=("docs/**",)
    )
    assert filters.choose(odd, push(named)).held_back.startswith(
        "#9 is named, and nothing is done"
    )


def test_what_is_told_of_a_flood_is_short_and_reads_little_of_it() -> None:
    flood = [
        commit("a") | {"raw_node": f"{n:040x}", "message": f"#{n} " * 20_000}
        for n in range(1, 500)
    ]
    left = filters.choose(service(paths=("docs/**",)), push(*flood)).held_back
    assert left.startswith("#1, #2, #3, #4, #5, #6 and 94 more are named")
