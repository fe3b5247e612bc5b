"""The recording in the README is what the demonstration prints."""

import xml.etree.ElementTree as ET

import pytest

from tests.project import write_recording


def test_the_recording_is_what_the_demonstration_prints() -> None:
    there = write_recording.FILE.read_text()
    now = write_recording.picture(write_recording.demonstration())
    assert write_recording.masked(there) == write_recording.masked(now), (
        "run python -m tests.project.write_recording"
    )
    assert ET.fromstring(there).tag.endswith("}svg")
    assert len(there) < 20_000


@pytest.mark.parametrize("text", ["closed #1", "$ git push -q origin trunk", "#2"])
def test_what_is_the_same_each_time_is_compared(text: str) -> None:
    assert write_recording.masked(text) == text
