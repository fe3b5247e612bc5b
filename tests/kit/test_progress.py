"""How far a delivery came is known to its next try, and to no other delivery."""

from pathlib import Path

from oberonc.kit.progress import Progress


def test_the_next_try_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    first = Progress(tmp_path, "push/../1-mail")
    assert first.done == 0
    first.step()
    first.step()
    assert Progress(tmp_path, "push/../1-mail").done == 2
    assert Progress(tmp_path, "another").done == 0
    again = Progress(tmp_path, "push/../1-mail")
    again.step()
    again.end()
    assert Progress(tmp_path, "push/../1-mail").done == 0
    assert list(tmp_path.iterdir()) == [], "nothing is left of what is done"


def test_a_try_that_is_ended_while_it_writes_leaves_what_was_known(
    tmp_path: Path,
) -> None:
    Progress(tmp_path, "one").step()
    [file] = tmp_path.iterdir()
    file.with_suffix(".new").touch()  # begun, and not ended
    later = Progress(tmp_path, "one")
    assert later.done == 1
    later.step()
    later.end()
    assert list(tmp_path.iterdir()) == []
