"""Every shipped broker, through the same: what a push of everything is on the way out,
byte by byte; that nothing hostile in it acts; and what a lost answer leads to.

What is sent stands in `sent/`, a file for each. To make one anew, remove it, run the
test, and look at what it wrote.
"""

import importlib
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import pytest

from oberonc import BaseBroker, testing
from oberonc.broker.request import Outcome
from tests.support import receivers
from tests.support.receivers import SECRET, Receiver

ROOT = Path(__file__).parents[2]
SENT = Path(__file__).parent / "sent"
PAGE = (ROOT / "docs" / "brokers.md").read_text()
SHIPPED = sorted(
    path.stem for path in (ROOT / "brokers").glob("*.py") if path.name[0] != "_"
)


class Case(NamedTuple):
    """One use of a broker.

    `once`: what came again is one post for its people. `said`: where the manual tells
    that, or that it is not so.
    """

    receiver: Callable[..., AbstractContextManager[Receiver]]
    said: str
    once: bool = True
    settings: dict[str, Any] = {}  # noqa: RUF012  never changed


AGAIN = "after an answer that was lost one may stand there twice"
BUILDS = "after an answer that was lost two builds may run"
SAME_ID = "`webhook-id` is the same on every try"
CI: dict[str, dict[str, Any]] = {
    "jenkins": {"user": "bot", "job": "web/shop"},
    "jenkins-git": {"job": "https://git.example.org/web/shop.git"},
    "buildbot": {"user": "bot"},
    "woodpecker": {"job": "7"},
    "drone": {"job": "web/shop"},
    "gitlab": {"job": "web/shop"},
    "github": {"job": "web/shop"},
    "buildkite": {"job": "org/pipe"},
    "teamcity": {"job": "Shop_Build"},
    "sourcehut": {"manifest": "image: debian/stable\n"},
    "argocd": {},
}
WEB = receivers.over_http
CASES: dict[str, Case] = {
    "slack": Case(WEB, AGAIN, False),
    "slack bot": Case(WEB, AGAIN, False, {"api": "", "token": SECRET, "channel": "C1"}),
    "mattermost": Case(WEB, AGAIN, False),
    "discord": Case(WEB, AGAIN, False),
    "teams": Case(WEB, AGAIN, False),
    "matrix": Case(
        WEB,
        "an answer that was lost makes no second one",
        settings={"token": SECRET, "room": "!r:example.org"},
    ),
    "mastodon": Case(WEB, "`Idempotency-Key`", settings={"token": SECRET}),
    "bluesky": Case(
        WEB,
        "putting it again puts the same post",
        settings={"user": "ann.example.org", "password": SECRET},
    ),
    "twitter": Case(
        WEB,
        "X takes no text twice",
        settings={
            "key": "k3y",
            "key_secret": SECRET,
            "token": "t0k",
            "token_secret": SECRET,
        },
    ),
    "webhook": Case(WEB, SAME_ID, settings={"secret": SECRET}),
    "webhook github": Case(WEB, SAME_ID, settings={"format": "github"}),
    "webhook form": Case(WEB, SAME_ID, settings={"format": "form"}),
    "irc": Case(
        receivers.irc, "IRC has no way to drop a line", False, {"channel": "#shop"}
    ),
    "irc irker": Case(
        receivers.irker,
        "irker does not say what becomes of a line",
        settings={"url": "irc://irc.example.org", "channel": "#shop"},
    ),
    "mail": Case(
        receivers.mailbox,
        "as the same mail, which lists and readers that know its `Message-ID` show once",
        settings={"sender": "Git <git@example.org>", "to": ["devs@example.org"]},
    ),
    "exec": Case(receivers.program, "`OBERONC_DELIVERY_ID` is the same on every try"),
    "jsonl": Case(receivers.line_file, "once, also when it is tried again"),
    "feed": Case(receivers.feed, "no try makes a second one"),
    "issues": Case(receivers.tracker, "each action once per issue and change"),
    **{
        f"ci {system}": Case(
            WEB, BUILDS, False, {"system": system, "token": SECRET, **more}
        )
        for system, more in CI.items()
    },
}
each_case = pytest.mark.parametrize("name", CASES)
FOR_PROGRAMS = ("ci", "exec", "jsonl", "webhook")


def _broker(name: str) -> type[BaseBroker]:
    file = name.partition(" ")[0]
    module = importlib.import_module(f"brokers.{file}")
    found: type[BaseBroker] = getattr(module, file.capitalize())
    return found


def _deliver(
    name: str, payload: dict[str, Any], place: Path, *, lose: int = 0
) -> tuple[Receiver, list[Outcome]]:
    """What arrived, and the outcomes of tries until one is none to go on with."""
    case, outcomes = CASES[name], []
    place.mkdir()
    with case.receiver(name.partition(" ")[0], place, **case.settings) as made:
        made.lose = lose
        for attempt in range(1, 5):
            made.ready()
            done = testing.deliver(
                _broker(name), payload, place, attempt=attempt, **made.settings
            )
            outcomes.append(done)
            if done.kind != "retry":
                break
        if name == "irc irker":
            receivers.until_all_came(made, int(done.note.split()[1]))
        made.look()
    assert done.kind == "done", done.note
    return made, outcomes


def test_no_broker_is_forgotten() -> None:
    """Those with a server of their own go through the same with that one."""
    here = {name.partition(" ")[0] for name in CASES}
    for name in set(SHIPPED) - here:
        module = (Path(__file__).parent / f"test_{name}.py").read_text()
        assert re.search(r"\bKINDS\b|\"hostile\"", module), f"{name}: hostile text"
        lost = r"def test_\w*(answer_that|lost|once|twice)"
        assert re.search(lost, module), f"{name}: an answer that is lost"
    assert here <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_manual_says_what_a_lost_answer_leads_to(name: str) -> None:
    section = PAGE.partition(f"### {name}\n")[2].partition("\n### ")[0]
    if section.strip().startswith("As `slack`"):
        section = PAGE.partition("### slack\n")[2].partition("\n### ")[0]
    told = [case.said for key, case in CASES.items() if key.partition(" ")[0] == name]
    for said in told:
        assert said in " ".join(section.split())
    assert told or re.search(r"\bonce\b|\btwice\b|second", section), name


@each_case
def test_a_push_of_everything_is_these_very_bytes(name: str, tmp_path: Path) -> None:
    """Three commits, a merge, a tag and a deleted branch."""
    made, _ = _deliver(name, testing.payload("all"), tmp_path / "x")
    shown = b"\n----\n".join(made.came)
    shown = shown.replace(str(tmp_path).encode(), b"FOLDER")
    file = SENT / f"{name.replace(' ', '-')}.txt"
    if not file.exists():
        file.write_bytes(shown)
        pytest.fail(f"{file} was not there: look at what is in it now")
    assert shown == file.read_bytes(), f"if that is meant, remove {file.name}"


@each_case
@pytest.mark.parametrize("number", [1, 2])
def test_after_a_lost_answer_it_is_there_once_where_the_service_can(
    name: str, number: int, tmp_path: Path
) -> None:
    payload = testing.payload("all")
    quiet, _ = _deliver(name, payload, tmp_path / "quiet")
    made, outcomes = _deliver(name, payload, tmp_path / "lost", lose=number)
    lost = number <= len(quiet.came) and name not in ("irc irker", *LOCAL)
    assert len(outcomes) == 1 + lost
    if CASES[name].once:
        assert list(made.posts.values()) == list(quiet.posts.values())
    elif name != "irc":
        # What was answered is not sent again, whatever came after it.
        assert len(made.came) == len(quiet.came) + lost


LOCAL = ("jsonl", "feed", "issues")


@pytest.mark.parametrize("name", LOCAL)
def test_what_is_done_here_is_done_once(name: str, tmp_path: Path) -> None:
    """Nobody heard that the first try did it."""
    payload = testing.payload("all")
    case = CASES[name]
    with case.receiver(name, tmp_path, **case.settings) as made:
        shown = []
        for attempt in (1, 2):
            testing.deliver(
                _broker(name), payload, tmp_path, attempt=attempt, **made.settings
            )
            made.look()
            shown.append(list(made.came))
    assert shown[0] == shown[1] != []


def _texts(name: str, raw: bytes) -> list[str]:
    """What people read of *raw*."""
    broker = name.partition(" ")[0]
    if broker == "mail":
        return [raw.partition(b"\r\n\r\n")[2].decode()]
    if broker == "irc":
        return [json.loads(raw)["privmsg"] if b"{" in raw[:1] else raw.decode()]
    if broker == "issues":
        return [raw.decode()]
    if broker == "feed":
        return [element.text or "" for element in ET.fromstring(raw).iter()]
    body = json.loads(raw.partition(b"\n")[2])
    if broker == "teams":
        return [
            run["text"]
            for block in body["attachments"][0]["content"]["body"]
            for run in block["inlines"]
        ]
    if broker == "bluesky":
        body = body["record"]
    keys = ("text", "content", "status", "body", "formatted_body")
    return [body[key] for key in keys if key in body]


@pytest.mark.parametrize(
    "name", [name for name in CASES if name.partition(" ")[0] not in FOR_PROGRAMS]
)
def test_hostile_text_pings_links_and_breaks_nothing(name: str, tmp_path: Path) -> None:
    payload = testing.payload("hostile")
    if name == "issues":  # which says nothing but of a commit that names one
        payload["repository"] = testing.payload()["repository"]
        payload["commits"][0]["message"] = f"fixes #42\n\n{testing.HOSTILE}"
    made, _ = _deliver(name, payload, tmp_path / "x")
    assert made.came
    for raw in made.came:
        assert len(raw) < 600_000
        for text in _texts(name, raw):
            _assert_visible(text)
            # The texts of these have no markup, and nobody is pinged by them.
            if name not in ("teams", "mail", "issues"):
                _assert_dead(name, text)


def _assert_visible(text: str) -> None:
    unseen = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    assert not re.search(unseen, text), text[:500]
    assert not re.search(r"\r(?!\n)", text)


def _assert_dead(name: str, text: str) -> None:
    assert not re.search(r"@\w", text), text[:500]
    assert "javascript:" not in text
    assert not re.search(r"https?://(?!git\.example\.org)\w", text)
    if name.startswith("slack"):
        assert not re.search(r"<(?!https://git\.example\.org/)", text)


@pytest.mark.parametrize("name", ["feed", "matrix"])
def test_hostile_text_is_no_html(name: str, tmp_path: Path) -> None:
    made, _ = _deliver(name, testing.payload("hostile"), tmp_path / "x")
    [raw] = made.came
    if name == "feed":
        import feedparser

        found = feedparser.parse(raw)
        assert not found.bozo
        html = found.entries[0].content[0].value
    else:
        html = json.loads(raw.partition(b"\n")[2])["formatted_body"]

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            assert tag in ("br", "strong"), (tag, attrs)

    reader = Reader()
    reader.feed(html)
    reader.close()


def test_hostile_text_adds_nothing_to_a_mail(tmp_path: Path) -> None:
    import email
    import email.policy

    made, _ = _deliver("mail", testing.payload("hostile"), tmp_path / "x")
    known = {
        "date",
        "from",
        "to",
        "subject",
        "message-id",
        "reply-to",
        "auto-submitted",
    }
    known |= {"mime-version", "content-type", "content-transfer-encoding"}
    for raw in made.came:
        rcpt, _, source = raw.partition(b"\n")
        assert rcpt == b"RCPT devs@example.org"
        mail = email.message_from_bytes(source, policy=email.policy.default)
        names = {key.lower() for key in mail}
        assert {key for key in names if not key.startswith("x-git-")} <= known
        assert mail.get_content_type() == "text/plain"
        assert not mail.defects
        for line in source.split(b"\r\n"):
            assert len(line) < 998


@pytest.mark.parametrize("name", ["exec", "jsonl", "webhook", "webhook form"])
def test_programs_get_hostile_text_whole_and_as_ascii(
    name: str, tmp_path: Path
) -> None:
    payload = testing.payload("hostile")
    made, _ = _deliver(name, payload, tmp_path / "x")
    [raw] = made.came
    body = raw.partition(b"\n")[2] if name.startswith("webhook") else raw
    if name == "webhook form":
        body = parse_qs(body.decode())["payload"][0].encode()
    assert body.isascii()
    assert b"\n" not in body.rstrip(b"\n")
    read = json.loads(body)
    assert {key: read[key] for key in payload} == payload
    assert "service" not in read


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("ci")])
def test_hostile_text_leaves_its_place_in_no_request_for_a_build(
    name: str, tmp_path: Path
) -> None:
    made, _ = _deliver(name, testing.payload("hostile"), tmp_path / "x")
    quiet, _ = _deliver(name, testing.payload("push"), tmp_path / "quiet")
    assert len(made.came) == len(quiet.came) == 1
    [raw], [other] = made.came, quiet.came
    assert raw.isascii()
    assert _shape(raw) == _shape(other)


def _shape(raw: bytes) -> Any:
    """The address of a request, and the names of what it says."""
    line, _, body = raw.decode().partition("\n")
    path, _, query = line.partition("?")
    if body.startswith("{"):
        said = json.loads(body)
        names = {
            key: sorted(v) if isinstance(v, dict) else "" for key, v in said.items()
        }
    else:
        names = dict.fromkeys(parse_qs(body, keep_blank_values=True), "")
    return path, sorted(parse_qs(query)), names
