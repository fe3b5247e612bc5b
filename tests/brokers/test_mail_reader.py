"""The mail broker's mails in a mail reader: notmuch, which threads, decodes and counts."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.mail import Mail
from oberonc import testing
from tests.support.trackers.servers import need, run

pytestmark = pytest.mark.server
#: A sendmail that delivers into a Maildir, which is its first word.
DELIVER = """
import mailbox, sys
mailbox.Maildir(sys.argv[1]).add(sys.stdin.buffer.read())
"""


class Reader:
    """A person's mail, as notmuch shows it."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("notmuch")
        need(program is not None, "notmuch")
        self._program, self._folder = str(program), folder
        self.box = folder / "box"
        (folder / "config").write_text(
            f"[database]\npath={self.box}\n"
            "[user]\nname=Dev\nprimary_email=devs@example.org\n"
        )

    def get(self, payload: dict[str, Any], state: Path, **more: Any) -> str:
        """What the broker says of a delivery of *payload* to this person."""
        program = [sys.executable, "-c", DELIVER, str(self.box)]
        settings: dict[str, Any] = {
            "sender": "Git <git@example.org>",
            "to": ["devs@example.org"],
        }
        settings |= {"sendmail": program, **more}
        done = testing.deliver(Mail, payload, state, **settings)
        assert done.kind == "done", done.note
        return done.note

    def threads(self) -> list[Any]:
        """The threads: lists of [mail, answers to it]."""
        base = [self._program, "--config", str(self._folder / "config")]
        run([*base, "new", "--quiet"], self._folder)
        show = [*base, "show", "--format=json", "--entire-thread=true", "*"]
        found: list[Any] = json.loads(run(show, self._folder))
        return found


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def _mails(threads: list[Any]) -> Iterator[dict[str, Any]]:
    for mail, answers in threads:
        yield mail
        yield from _mails(answers)


def _text(mail: dict[str, Any]) -> str:
    [part] = mail["body"]
    assert part["content-type"] == "text/plain"
    text: str = part["content"]
    return text


def test_commits_are_answers_to_the_summary(reader: Reader, tmp_path: Path) -> None:
    reader.get(testing.payload("commits"), tmp_path)
    [[[top, answers]]] = reader.threads()
    assert top["headers"]["Subject"].startswith("[shop] branch main updated (")
    assert sorted(mail["headers"]["Subject"] for mail, _ in answers) == [
        "[shop] 1/3: needs more work, references #37",
        "[shop] 2/3: all done, fixes #42",
        "[shop] 3/3: tidy up",
    ]
    assert all(further == [] for _, further in answers)


def test_a_mail_that_comes_again_is_the_same_mail(
    reader: Reader, tmp_path: Path
) -> None:
    for number in range(2):  # as where the state of the first try was lost
        state = tmp_path / str(number)
        assert reader.get(testing.payload("all"), state) == "sent 7 mails"
    mails = [mail for thread in reader.threads() for mail in _mails(thread)]
    assert len(mails) == 7
    assert [len(mail["filename"]) for mail in mails] == [2] * 7


def test_names_and_texts_of_any_language_are_read_as_written(
    reader: Reader, tmp_path: Path
) -> None:
    payload = testing.payload("forced")
    words = "größer ✓ \U0001f600 שלום " + "längere Zeile " * 20
    [commit] = payload["commits"]
    commit["message"] = f"größer ✓ \U0001f600\n\n{words}\n"
    commit["raw_author"] = "Änn Çelik <ann@example.org>"
    commit["committer"] = "Jürgen <juergen@example.org>"
    reader.get(payload, tmp_path, reply_to="Die Bücher <devs@example.org>")
    [[[mail, _]]] = reader.threads()
    assert mail["headers"]["Subject"].endswith("updated: größer ✓ \U0001f600")
    assert mail["headers"]["Reply-To"] == "Die Bücher <devs@example.org>"
    lines = [line.strip() for line in _text(mail).splitlines()]
    assert words.strip() in lines
    assert "Author: Änn Çelik <ann@example.org>" in lines


def test_hostile_text_is_one_mail_of_plain_text(reader: Reader, tmp_path: Path) -> None:
    reader.get(testing.payload("hostile"), tmp_path)
    [[[mail, answers]]] = reader.threads()
    assert answers == []
    assert mail["headers"]["From"] == "Git <git@example.org>"
    assert mail["headers"]["To"] == "devs@example.org"
    assert {"Bcc", "Cc"}.isdisjoint(mail["headers"])
    assert "<script>alert(1)</script>" in _text(mail)
