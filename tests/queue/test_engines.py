"""A queue is opened by its URL, or by the path of its file."""

from pathlib import Path

import pytest

from oberonc.errors import ConfigError
from oberonc.queue.engines import open_queue
from tests.support.store_values import NOW, submission


def test_a_path_and_its_url_open_the_same_queue(tmp_path: Path) -> None:
    path = tmp_path / "a queue.sqlite"
    queue = open_queue(str(path))
    queue.accept(NOW, submission(1))
    queue.close()
    assert path.is_file()
    queue = open_queue(f"sqlite://{tmp_path}/a%20queue.sqlite")
    assert [event.seq for event in queue.recent_events()] == [1]
    queue.close()


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "100%25 #1?.sqlite"
    open_queue(str(path)).close()
    assert path.is_file()


def test_the_space_that_is_to_stay_free_counts_from_the_start(tmp_path: Path) -> None:
    queue = open_queue(str(tmp_path / "queue.sqlite"), low_space=1 << 60)
    assert queue.accept(NOW, submission(1)).status == "storage_low"
    queue.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "mysql://ann:secret@db/queue",
            "no queue can be kept in 'mysql': give a path, or sqlite:///path",
        ),
        ("://", "no queue can be kept in '': give a path, or sqlite:///path"),
        (
            "sqlite://queue.sqlite",
            "a queue in sqlite:// needs an absolute path: sqlite:///path",
        ),
    ],
)
def test_what_names_no_engine_is_refused_in_one_line(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_queue(url)
    assert str(refused.value) == message
