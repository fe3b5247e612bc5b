"""The payload: what it holds, what is refused, how it is cut, and that its page
describes it.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from oberonc.config import Limits
from oberonc.errors import BadInput
from oberonc.payload import schema as payloads
from oberonc.payload.check import _are_usual, check, loads
from oberonc.source import entries
from oberonc.source.commits import Commit
from tests.support.pushes import Payload, Server
from tests.support.repo import Repo

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "oberonc" / "payload" / "sample.json"
COMMIT = Commit(
    "a" * 40,
    ["b" * 40],
    "Ann",
    "a@b",
    (0, "+0000"),
    "Bob",
    "b@b",
    (1, "+0000"),
    "message\n",
    [("M", "f")],
    False,
)


def sample() -> Payload:
    return loads(SAMPLE.read_bytes(), "the sample")


def test_the_sample_is_a_payload() -> None:
    assert check(sample()) == ""


def test_an_id_is_new_each_time_and_owes_nothing_to_commits() -> None:
    ids = {payloads.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_ids_that_are_made_one_after_the_other_begin_alike() -> None:
    began = time.time_ns() // 1_000_000
    first, second = (int(payloads.new_id()[:6], 16) for _ in range(2))
    took = time.time_ns() // 1_000_000 - began
    assert 0 <= (second - first) % (1 << 24) <= took


@pytest.mark.parametrize(
    ("keys", "value", "why"),
    [
        (["schema"], 2, "'schema' is 2, not 1"),
        (["schema"], True, "'schema' is true"),
        (["id"], "x", "'id' is not 32 hex digits"),
        (["id"], "A" * 32, "'id' is not 32 hex digits"),
        (["event"], "pull", "'event' is neither push nor commit"),
        (["repository"], [], "'repository' has the wrong type"),
        (["repository", "full_name"], "", "'repository.full_name' is missing"),
        (["foreign"], [1], "'foreign' holds something that is no id"),
        (["foreign"], ["HEAD"], "'foreign' holds something that is no id"),
        (["dropped"], [1], "'dropped[0]' is not an object"),
        (["published_total"], "1", "'published_total' has the wrong type"),
        (
            ["repository", "services"],
            [1],
            "'repository.services' is not a list of texts",
        ),
        (
            ["repository", "services"],
            "all",
            "'repository.services' is not a list of texts",
        ),
        (["commits_total"], True, "'commits_total' has the wrong type"),
        (["truncated"], 0, "'truncated' has the wrong type"),
        (["commits"], [3], "'commits[0]' is not an object"),
        (["commits", 0, "message"], None, "'commits[0].message' has the wrong type"),
        (
            ["commits", 1, "parents"],
            [1],
            "'commits[1].parents' holds something that is no id",
        ),
        (
            ["commits", 1, "parents"],
            ["a" * 39 + "\n"],
            "'commits[1].parents' holds something that is no id",
        ),
        (
            ["commits", 0, "node"],
            "abc\n\n/close\n@all",
            "'commits[0].node' is not the beginning of an id",
        ),
        (
            ["commits", 0, "node"],
            "abcd1234\n",
            "'commits[0].node' is not the beginning of an id",
        ),
        (["commits", 0, "node"], "", "'commits[0].node' is not the beginning of an id"),
        (["commits", 0, "raw_node"], "A" * 40, "'commits[0].raw_node' is no id"),
        (["commits", 0, "raw_node"], "a" * 41, "'commits[0].raw_node' is no id"),
        (
            ["commits", 0, "change"],
            "[x](http://y)",
            "'commits[0].change' is not 40 hex digits",
        ),
        (
            ["commits", 0, "branch"],
            "a\nb",
            "'commits[0].branch' holds a control character",
        ),
        (["commits", 0, "url"], {}, "'commits[0].url' has the wrong type"),
        (["updates", 0, "old"], "\u0661" * 40, "'updates[0].old' is no id"),
        (["updates", 0, "new"], "0" * 39, "'updates[0].new' is no id"),
        (
            ["updates", 0, "ref"],
            "refs/heads/a\x7f",
            "'updates[0].ref' holds a control character",
        ),
        (
            ["updates", 0, "name"],
            "\x1b[2J",
            "'updates[0].name' holds a control character",
        ),
        (
            ["repository", "full_name"],
            "a\nb",
            "'repository.full_name' must be at most 512 printable characters",
        ),
        (
            ["repository", "full_name"],
            "x" * 513,
            "'repository.full_name' must be at most 512 printable characters",
        ),
        (["commits", 0, "message"], "fixes #1 \ud800", "a text in it is no Unicode"),
        (["commits", 0, "author"], "\udcff", "a text in it is no Unicode"),
        (["unknown"], {"\udfff": [1]}, "a text in it is no Unicode"),
        (["commits", 1, "files"], ["a.txt"], "'commits[1].files' holds"),
        (["commits", 1, "files"], [{"type": "added"}], "'commits[1].files' holds"),
        (["updates", 0, "publish"], "yes", "'updates[0].publish' has the wrong type"),
        (["published"], [1], "'published' holds something that is no id"),
        (["push_options"], [None], "'push_options' holds something that is not text"),
    ],
)
@pytest.mark.parametrize("more", [0, 10], ids=["few", "many"])
def test_a_wrong_value_is_named_among_few_commits_and_among_many(
    keys: list[str | int], value: object, why: str, more: int
) -> None:
    payload: Any = sample()
    place = payload
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    payload["commits"] += sample()["commits"] * more
    with pytest.raises(
        BadInput, match=re.escape(f"it is not a payload of schema 1: {why}")
    ):
        loads(json.dumps(payload).encode(), "it")


def test_commits_as_our_client_makes_them_are_looked_at_together() -> None:
    made = [
        entries.commit_entry(COMMIT, "main", ""),
        entries.commit_entry(COMMIT._replace(files=[], parents=[]), None, "x/{oid}"),
    ]
    assert _are_usual(made)
    assert not _are_usual([*made, made[0] | {"later": 1}])
    assert not _are_usual([*made, {**made[0], "files": [{"file": ["a"]}]}])


def test_a_missing_key_is_named_unless_earlier_versions_lack_it() -> None:
    later = {"submitter", "foreign", "dropped", "published_total", "dropped_total"}
    assert (
        check({key: value for key, value in sample().items() if key not in later}) == ""
    )
    for key in set(sample()) - {"schema"} - later:
        payload = sample()
        del payload[key]
        assert check(payload) == f"'{key}' is missing"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b'"\\ud800"',
        b"9" * 5000,
        b"null",
    ],
    ids=[
        "empty",
        "cut",
        "no text",
        "nan",
        "twice",
        "deep",
        "half a character",
        "huge number",
        "null",
    ],
)
def test_what_is_no_json_is_refused_in_one_line(raw: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        loads(raw, "payload.json")
    assert str(caught.value).startswith("payload.json is n")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_keys_of_a_later_version_are_kept() -> None:
    later = sample() | {"later": {"x": [1]}}
    assert loads(payloads.dumps(later), "it") == later


def test_an_entry_has_the_words_of_2009_and_ours() -> None:
    entry = entries.commit_entry(COMMIT, "main", "https://x/{oid}")
    assert entry["node"] == "a" * 12
    assert entry["parents"] == ["b" * 12]
    assert entry["url"] == "https://x/" + "a" * 40
    assert (entry["revision"], entry["size"], entry["committer"]) == (
        None,
        -1,
        "Bob <b@b>",
    )
    assert entry["files"] == [{"file": "f", "type": "modified"}]
    assert "truncated" not in entry
    assert (
        entries.commit_entry(COMMIT._replace(cut=True), None, "")["truncated"] is True
    )
    assert entries.commit_entry(COMMIT, None, "")["url"] == ""


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("A", "added"),
        ("M", "modified"),
        ("D", "removed"),
        ("T", "modified"),
        ("U", "modified"),
    ],
)
def test_the_kinds_of_git_become_three_words(kind: str, word: str) -> None:
    entry = entries.commit_entry(COMMIT._replace(files=[(kind, "f")]), None, "")
    assert entry["files"] == [{"file": "f", "type": word}]


def test_times_are_the_authors_in_local_time_and_in_utc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    entry = entries.commit_entry(
        COMMIT._replace(author_date=(1767261600, "-0500")), None, ""
    )
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert entry["timestamp"] == "2026-01-01 11:00:00"
    assert entry["utctimestamp"] == "2026-01-01 10:00:00+00:00"


@pytest.mark.parametrize("seconds", [-1, -(10**12), 10**18, 10**30])
def test_any_number_may_be_a_date(seconds: int) -> None:
    entry = entries.commit_entry(
        COMMIT._replace(author_date=(seconds, "+0000")), None, ""
    )
    assert entry["utctimestamp"].endswith("+00:00")


def test_a_change_differs_with_author_date_and_message() -> None:
    name = entries.change("A <a@b>", (1, "+0000"), "fix")
    others = {
        entries.change("B <a@b>", (1, "+0000"), "fix"),
        entries.change("A <a@b>", (2, "+0000"), "fix"),
        entries.change("A <a@b>", (1, "+0100"), "fix"),
        entries.change("A <a@b>", (1, "+0000"), "fix it"),
    }
    assert len(others | {name}) == 5


def test_long_names_mails_and_paths_are_cut_and_that_is_flagged() -> None:
    for changes in (
        {"author": "n" * 200_000},
        {"author_email": "m" * 200_000},
        {"committer": "n" * 200_000},
        {"committer_email": "m" * 200_000},
        {"files": [("A", "p/" * 100_000)]},
    ):
        entry = entries.commit_entry(COMMIT._replace(**changes), None, "")
        assert entry["truncated"], changes.keys()
        assert len(payloads.dumps(entry)) < 10_000


def test_cutting_drops_files_then_the_oldest_commits_and_never_what_is_newest() -> None:
    def made() -> Payload:
        payload = sample()
        entry = payload["commits"][0] | {
            "message": "m" * 1000,
            "files": [{"file": "f" * 1000, "type": "added"}],
        }
        payload["commits"] = [entry | {"raw_node": f"{n:040x}"} for n in range(10)]
        payload["published"] = [c["raw_node"] for c in payload["commits"]]
        return payload

    size = len(payloads.dumps(made()))
    whole = payloads.fit(made(), Limits(bytes=size))
    assert whole == made()
    some = payloads.fit(made(), Limits(bytes=size - 1))
    assert [bool(c["files"]) for c in some["commits"]] == [False] + [True] * 9
    assert some["commits"][0]["truncated"]
    assert some["truncated"]
    few = payloads.fit(made(), Limits(bytes=size // 3))
    assert not any(c["files"] for c in few["commits"])
    assert (
        few["published"]
        == [c["raw_node"] for c in few["commits"]]
        == made()["published"][-len(few["commits"]) :]
    )
    assert few["commits"]


def test_diffs_go_first_the_oldest_of_them_and_nothing_else_is_called_cut() -> None:
    def made() -> Payload:
        payload = sample()
        entry = payload["commits"][0] | {"diff": "+\u00e9\n" * 1000}
        payload["commits"] = [entry | {"raw_node": f"{n:040x}"} for n in range(10)]
        payload["published"] = [c["raw_node"] for c in payload["commits"]]
        return payload

    size = len(payloads.dumps(made()))
    some = payloads.fit(made(), Limits(bytes=size - 1))
    assert [bool(c["diff"]) for c in some["commits"]] == [False] + [True] * 9
    assert some["commits"][0]["diff_truncated"]
    assert "diff_truncated" not in some["commits"][1]
    assert [c["files"] for c in some["commits"]] == [
        c["files"] for c in made()["commits"]
    ]
    assert some["truncated"] is False
    assert len(payloads.dumps(some)) < size
    few = payloads.fit(made(), Limits(bytes=size // 20))
    assert few["truncated"]
    assert not any(c["diff"] for c in few["commits"])


def test_a_flood_of_long_refs_and_options_is_cut_too() -> None:
    payload = sample()
    payload["updates"] *= 500
    payload["push_options"] = ["x" * 1000] * 500
    cut = payloads.fit(payload, Limits(bytes=100_000))
    assert len(payloads.dumps(cut)) <= 100_000
    assert cut["truncated"]


def _documented() -> dict[str, set[str]]:
    """{heading: keys of its table} of the payload's page."""
    found: dict[str, set[str]] = {}
    heading = ""
    for line in (ROOT / "docs" / "payload.md").read_text().splitlines():
        if line.startswith("## "):
            heading = line[3:].strip("` ").removesuffix("[]")
        elif row := re.match(r"\| `([a-z_]+)` \|", line):
            found.setdefault(heading, set()).add(row[1])
    return found


def _keys(payload: Payload) -> dict[str, set[str]]:
    commits = [*payload["commits"], *payload["merged"]]
    return {
        "The payload": set(payload),
        "repository": set(payload["repository"]),
        "updates": {key for update in payload["updates"] for key in update},
        "commits": {key for commit in commits for key in commit},
    }


def test_the_page_lists_every_key_and_no_other(home: Path, bare: Repo) -> None:
    server = Server(
        home,
        bare,
        '[limits]\nmessage = 10\n[services.issues]\nbroker = "issues"\ndiffs = true',
    )
    bare.git("config", "oberonc.service", "issues")
    server.work.commit("a message above the limit", text="a line\n" * 50_000)
    real, kept = _keys(server.push("main")), _keys(sample())
    said = _documented()
    assert said.pop("At delivery") == {
        "broker",
        "service",
        "delivery_id",
        "attempt",
        "order",
    }
    notice = {
        "dead_total",
        "dead",
        "delivery",
        "service",
        "repository",
        "push",
        "error",
    }
    assert said.pop("A notice of what was given up") == notice
    # What is joined, and what a forge says, have one more each.
    for part, key in (("The payload", "digest"), ("updates", "compare")):
        said[part].remove(key)
    assert said == real
    for part, keys in kept.items():
        rare = {"services", "truncated", "diff", "diff_truncated"}
        assert keys >= real[part] - rare, part
        assert keys <= real[part] | {
            "broker",
            "service",
            "delivery_id",
            "attempt",
            "order",
        }, part


def test_what_the_system_says_that_is_no_text_is_mended_before_it_is_judged() -> None:
    made = sample() | {
        "user": "caf\udce9",
        "canon_url": "\ud83d\ude00 \ud800",
        "unknown": [{"\udcff": "fine"}],
    }
    mended = payloads.fit(made, Limits())
    assert (mended["user"], mended["canon_url"]) == ("caf\ufffd", "\U0001f600 \ufffd")
    assert check(mended) == ""
    assert check(json.loads(payloads.dumps(mended))) == ""
