"""The form of the daemon's log lines."""

import re

from hypothesis import given
from hypothesis import strategies as st

from oberonc.daemon.journal import About, line
from tests.support.daemon_site import Site, recorder
from tests.support.eventually import eventually

EVENT = bytes.fromhex("1a2b3c4d" + "00" * 12)
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_what_a_line_is_about_comes_first_and_the_time_before_it() -> None:
    about = About("chat", EVENT, "web/shop")
    assert (
        line("gone", about)
        == "oberonc: service=chat push=1a2b3c4d repository=web/shop: gone\n"
    )
    assert line("gone", now=0) == "oberonc: 1970-01-01T00:00:00Z gone\n"
    assert (
        line("gone", About(service="chat"), 0)
        == "oberonc: 1970-01-01T00:00:00Z service=chat: gone\n"
    )
    assert line("gone") == "oberonc: gone\n"


def test_a_line_that_was_cut_says_so() -> None:
    assert line("x" * 5000).endswith("x…\n")
    assert line("x" + " " * 9000 + "y").endswith("…\n")
    assert line("x" + " " * 9000) == "oberonc: x\n"


@given(repo=st.text(min_size=1), text=st.text())
def test_a_name_and_a_message_cannot_pass_for_what_a_line_is_about(
    repo: str, text: str
) -> None:
    told = line(text, About("chat", EVENT, repo))
    assert told.count("\n") == 1
    assert told.endswith("\n")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", told)
    named = re.match(
        r'oberonc: service=chat push=1a2b3c4d repository=([\w./+-]+|"([^"\\]|\\.)*"): ',
        told,
    )
    assert named, told


def test_each_end_that_is_not_done_is_a_line_and_what_is_given_up_too(
    site: Site,
) -> None:
    site.write(
        "rec",
        recorder(
            "raise Reject('never') if payload['attempt'] > 1 else Retry('later', after=1)"
        ),
    )
    running = site.start()
    event = site.submit()
    site.settled(dead=1)
    about = f"service=rec push={event[:8]} repository=web/shop: delivery 1"
    eventually(lambda: "given up" in running.log)
    [first, second] = [
        told for told in running.log.splitlines() if "delivery 1" in told
    ]
    assert re.fullmatch(
        rf"oberonc: {TIME} {about}, attempt 1: retry, again in 1 s: later", first
    )
    assert re.fullmatch(
        rf"oberonc: {TIME} {about} is given up after 2 attempts: never", second
    )


def test_where_a_journal_adds_the_time_no_line_has_one(site: Site) -> None:
    """The journal says by number which file it reads; any other stderr of the same
    process gets a time.
    """
    running = site.start()
    assert all(re.match(f"oberonc: {TIME} ", told) for told in running.log.splitlines())
    running.stop()
    future = site.folder / f"log-{len(site.daemons)}"
    future.touch()
    facts = future.stat()
    kept = site.start(JOURNAL_STREAM=f"{facts.st_dev}:{facts.st_ino}")
    assert kept.log_file == future
    assert not any(
        re.match(f"oberonc: {TIME} ", told) for told in kept.log.splitlines()
    )
    kept.stop()
    other = site.start(JOURNAL_STREAM=f"{facts.st_dev}:{facts.st_ino}")
    assert all(re.match(f"oberonc: {TIME} ", told) for told in other.log.splitlines())


def test_one_is_not_called_many(site: Site) -> None:
    running = site.start()
    assert "generation 1, 1 service," in running.log
    running.stop()
    assert "0 workers busy" in running.log


def test_what_a_broker_printed_beyond_the_limit_is_marked_as_cut(site: Site) -> None:
    site.write("rec", recorder("os.write(1, b'x' * 300_000)"))
    site.start()
    site.submit()
    site.settled(done=1)
    output = site.call("dead.show", delivery=1)["delivery"]["attempts"][0]["output"]
    assert output.endswith("x… [cut]")
    assert len(output) <= 64 * 1024
