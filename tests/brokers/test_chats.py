"""Slack, Mattermost, Discord and Teams: what is posted, what is never posted, and what
their answers mean.

None of these can be run here; the servers answer as their documentation says.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from brokers.discord import Discord
from brokers.mattermost import Mattermost
from brokers.slack import Slack
from brokers.teams import Teams
from oberonc import BaseBroker, testing
from oberonc.testing import HOSTILE, Answer, Sent, Server

CHATS: dict[str, type[BaseBroker]] = {
    "slack": Slack,
    "mattermost": Mattermost,
    "discord": Discord,
    "teams": Teams,
}
SITE = "https://git.example.org/web/shop"
each_chat = pytest.mark.parametrize("chat", CHATS)


def _post(
    chat: str, tmp_path: Path, payload: dict[str, Any], **settings: Any
) -> list[Sent]:
    with Server() as server:
        url = f"{server.url}/hooks/s3cret-place"
        done = testing.deliver(CHATS[chat], payload, tmp_path, url=url, **settings)
    assert done.kind == "done", done.note
    return server.requests


def _text(sent: Sent) -> str:
    """What people read, of any of them."""
    body = sent.json()
    if "attachments" in body:
        blocks = body["attachments"][0]["content"]["body"]
        return "\n".join("".join(r["text"] for r in b["inlines"]) for b in blocks)
    text: str = body.get("text") or body["content"]
    return text


def _bare(text: str) -> str:
    """*text* without what cannot be seen and without escapes."""
    return re.sub(r"\\(?=[!-/:-@\[-`{-~])", "", text.replace("\u200b", ""))


def test_slack_gets_these_very_bytes(tmp_path: Path) -> None:
    payload = testing.payload("merge")
    old, new = (payload["updates"][0][key] for key in ("old", "new"))
    oid = payload["commits"][0]["raw_node"]
    [sent] = _post("slack", tmp_path, payload)
    assert sent.json() == {
        "text": (
            f"*ann* pushed <{SITE}/compare/{old}...{new}|1 commit> to branch *main* of "
            f"<{SITE}|web/shop>, which merges 1 commit\n"
            f"<{SITE}/commit/{oid}|{oid[:8]}> Merge branch 'feature/cart' (Ann Example)"
        ),
        "unfurl_links": False,
        "mrkdwn": True,
    }


def test_mattermost_gets_these_very_bytes(tmp_path: Path) -> None:
    [sent] = _post("mattermost", tmp_path, testing.payload("delete"), channel="town")
    assert sent.json() == {
        "text": f"**ann** deleted branch **feature\\/cart** of [web\\/shop](<{SITE}>)",
        "channel": "town",
    }


def test_discord_gets_these_very_bytes(tmp_path: Path) -> None:
    [sent] = _post("discord", tmp_path, testing.payload("tag"), thread="77")
    assert sent.path == "/hooks/s3cret-place?wait=true&thread_id=77"
    assert sent.json() == {
        "content": f"**ann** made tag **v1.0** in [web/shop](<{SITE}>)",
        "allowed_mentions": {"parse": []},
        "flags": 4,
    }


def test_teams_gets_a_card_of_runs(tmp_path: Path) -> None:
    [sent] = _post("teams", tmp_path, testing.payload("delete"))
    [attachment] = sent.json()["attachments"]
    assert attachment["content"]["body"] == [
        {
            "type": "RichTextBlock",
            "inlines": [
                {"type": "TextRun", "text": "ann", "weight": "Bolder"},
                {"type": "TextRun", "text": " deleted "},
                {"type": "TextRun", "text": "branch "},
                {"type": "TextRun", "text": "feature/cart", "weight": "Bolder"},
                {"type": "TextRun", "text": " of "},
                {
                    "type": "TextRun",
                    "text": "web/shop",
                    "selectAction": {"type": "Action.OpenUrl", "url": SITE},
                },
            ],
        }
    ]


@each_chat
def test_a_push_of_everything_is_told_in_one_message(chat: str, tmp_path: Path) -> None:
    [sent] = _post(chat, tmp_path, testing.payload("all"))
    text = _bare(_text(sent))
    for said in (
        "needs more work, references #37",
        "all done, fixes #42",
        "Merge branch 'feature/cart'",
        "made tag",
        "deleted branch",
    ):
        assert said in text


@each_chat
def test_hostile_text_pings_links_and_breaks_nothing(chat: str, tmp_path: Path) -> None:
    [sent] = _post(chat, tmp_path, testing.payload("hostile"))
    text = _text(sent)
    assert len(sent.body) < 24_000
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    if chat != "teams":  # whose runs have no markup, mention or link
        assert not re.search(r"@\w", text)
        assert "javascript:" not in text
        assert not re.search(r"(?<!\\)<[!@#]", text)
        assert not re.search(r"https?://(?!git\.example\.org)", text)


@each_chat
def test_the_administrators_format_takes_the_place_of_the_summary(
    chat: str, tmp_path: Path
) -> None:
    form = "${repository.name}: ${commit.message|first}"
    [sent] = _post(chat, tmp_path, testing.payload("many"), format=form, most=2)
    assert _bare(_text(sent)).split("\n") == [
        "shop: needs more work, references #37",
        "shop: all done, fixes #42",
        "and 28 more",
    ]


@each_chat
def test_a_push_without_what_the_format_speaks_of_posts_nothing(
    chat: str, tmp_path: Path
) -> None:
    sent = _post(chat, tmp_path, testing.payload("delete"), format="${commit.node}")
    assert sent == []


@each_chat
def test_what_is_too_long_names_fewer_commits(chat: str, tmp_path: Path) -> None:
    commits = [
        testing.commit(number, f"{number} " + "w" * 90) for number in range(1, 101)
    ]
    payload = testing.payload("push", commits=commits, commits_total=100)
    [sent] = _post(chat, tmp_path, payload, most=100)
    text = _bare(_text(sent))
    assert re.search(r"and \d\d more commits$", text)
    assert "wwww (Ann Example)" in text


@each_chat
@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(404, "no_service"), "dead", "404"),
        (Answer(429, '{"retry_after": 3.5}'), "retry", "rate limit"),
        (Answer(403, "invalid_token"), "retry", "CREDENTIALS"),
        (Answer(500), "retry", "500"),
    ],
    ids=["gone", "too many", "refused", "broken"],
)
def test_answers_are_told_apart_and_name_no_address(
    chat: str, tmp_path: Path, answer: Answer, kind: str, said: str
) -> None:
    with Server(answer) as server:
        url = f"{server.url}/hooks/s3cret-place"
        done = testing.deliver(CHATS[chat], testing.payload(), tmp_path, url=url)
    assert (done.kind, said in done.note) == (kind, True), done.note
    assert "s3cret" not in done.note
    if said == "rate limit":
        assert done.after == 3.5


@each_chat
def test_settings_that_cannot_work_are_refused(chat: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no"):
        testing.bound(CHATS[chat], tmp_path, url="http://x", format="${nothing}")
    with pytest.raises(ValueError, match="from 1 to 100"):
        testing.bound(CHATS[chat], tmp_path, url="http://x", most=0)


@each_chat
def test_what_it_would_say_can_be_read_before(chat: str, tmp_path: Path) -> None:
    broker = testing.bound(CHATS[chat], tmp_path, url="http://x")
    assert broker.plan(testing.payload())[0].startswith("ann pushed 2 commits")


SLACK_ERRORS = [
    ("ratelimited", "retry"),
    ("invalid_auth", "retry"),
    ("channel_not_found", "dead"),
    ("is_archived", "dead"),
]


@pytest.mark.parametrize(("error", "kind"), SLACK_ERRORS)
def test_slack_s_api_fails_inside_a_200(tmp_path: Path, error: str, kind: str) -> None:
    body = json.dumps({"ok": False, "error": error})
    with Server(Answer(200, body)) as server:
        settings: Any = {"api": server.url, "token": "xoxb-s3cret", "channel": "C1"}
        done = testing.deliver(Slack, testing.payload(), tmp_path, **settings)
    assert (done.kind, error in done.note) == (kind, True)
    assert "s3cret" not in done.note


def test_slack_s_bot_answers_in_a_thread(tmp_path: Path) -> None:
    said = Answer(200, '{"ok": true, "ts": "1700000000.0001"}')
    with Server(said) as server:
        settings: Any = {"api": server.url, "token": "xoxb-1", "channel": "C1"}
        done = testing.deliver(
            Slack, testing.payload(), tmp_path, thread="17.1", **settings
        )
    assert done.note == "posted 1700000000.0001"
    [sent] = server.requests
    assert sent.path == "/chat.postMessage"
    assert sent.headers["authorization"] == "Bearer xoxb-1"
    body = sent.json()
    assert (body["channel"], body["thread_ts"], body["parse"], body["link_names"]) == (
        "C1",
        "17.1",
        "none",
        False,
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"url": "http://x", "token": "t"}, {"token": "t"}],
    ids=["neither", "both", "no channel"],
)
def test_slack_wants_a_webhook_or_a_bot(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(ValueError, match=r"'url' or 'token'|needs 'channel'"):
        testing.bound(Slack, tmp_path, **settings)


def test_checks_post_nothing(tmp_path: Path) -> None:
    for chat, answer in (
        ("slack", Answer(400, "no_text")),
        ("mattermost", Answer(400, "{}")),
        ("discord", Answer(200, '{"name": "git"}')),
    ):
        with Server(answer) as server:
            broker = testing.bound(CHATS[chat], tmp_path, url=server.url + "/x")
            assert all(check.ok for check in broker.check())
        [sent] = server.requests
        assert sent.method == "GET" or sent.json() == {}


def test_hostile_text_is_hostile() -> None:
    assert all(part in HOSTILE for part in ("@everyone", "<!channel>", "javascript:"))


@each_chat
@pytest.mark.parametrize(
    "message",
    ["x" * 60_000, "漢字" * 20_000, "\n".join(map(str, range(9000))), "*_[&" * 9000],
    ids=["long", "wide", "many lines", "markup"],
)
def test_a_format_says_as_much_as_there_is_room_for(
    chat: str, message: str, tmp_path: Path
) -> None:
    payload = testing.payload(commits=[testing.commit(1, message)])
    [sent] = _post(chat, tmp_path, payload, format="${user}: ${commit.message}")
    text = _bare(_text(sent))
    assert text.startswith(f"ann: {message[:4]}")
    assert text.endswith("…")
    assert chat != "teams" or len(sent.body) < 28_000
    most = {"slack": 4000, "mattermost": 4900, "discord": 2000, "teams": 28_000}[chat]
    assert len(_text(sent)) <= most


def test_slack_s_api_says_when_to_come_again(tmp_path: Path) -> None:
    body = json.dumps({"ok": False, "error": "ratelimited"})
    with Server(Answer(200, body, {"Retry-After": "17"})) as server:
        settings: Any = {"api": server.url, "token": "xoxb-s3cret", "channel": "C1"}
        done = testing.deliver(Slack, testing.payload(), tmp_path, **settings)
    assert (done.kind, done.after) == ("retry", 17)


def test_what_rocket_chat_refuses_in_a_200_is_not_posted(tmp_path: Path) -> None:
    with Server(Answer(200, '{"success": false, "error": "no channel"}')) as server:
        done = testing.deliver(Mattermost, testing.payload(), tmp_path, url=server.url)
    assert (done.kind, "no channel" in done.note) == ("dead", True)


@each_chat
def test_a_page_in_place_of_the_chat_is_no_post(chat: str, tmp_path: Path) -> None:
    page = Answer(200, "<!doctype html><title>Sign in</title>")
    with Server(page) as server:
        done = testing.deliver(
            CHATS[chat], testing.payload(), tmp_path, url=f"{server.url}/s3cret-place"
        )
    assert (done.kind, "200 with a page: Sign in" in done.note) == ("retry", True)
    assert "s3cret" not in done.note
