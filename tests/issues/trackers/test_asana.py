"""Asana, on a loopback server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import Reject, Retry
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.asana import AsanaContract, AsanaWorld
from tests.support.trackers.forges import running
from tests.support.trackers.suite import Suite, push


@pytest.fixture
def world() -> Iterator[AsanaWorld]:
    yield from running(AsanaWorld)


@pytest.fixture
def contract(world: AsanaWorld) -> AsanaContract:
    assert isinstance(world.contract, AsanaContract)
    return world.contract


class TestAsana(Suite):
    """All that every tracker is held to."""


def test_the_addresses_of_a_task_are_the_same_task(
    world: AsanaWorld, tmp_path: Path
) -> None:
    issue = world.new()
    gid = issue[1:]
    old, new = f"0/9001/{gid}/f", f"1/800/project/9001/task/{gid}?focus=true"
    note = push(
        world,
        tmp_path,
        f"refs {world.relay.url}/{old}\n\nfixes {world.relay.url}/{new}\nsee {issue}",
    )
    assert note == f"closed {issue}"
    assert len(world.comments(issue)) == 1


def test_a_task_of_another_project_is_left_alone(
    world: AsanaWorld, tmp_path: Path
) -> None:
    ours, theirs, nobodys = (world.new() for _ in range(3))
    world.kept(ours).home, world.kept(theirs).home = "Web", "Shop"
    message = f"fixes {ours}, {theirs} and {nobodys}"
    for project in ("web", "9001"):
        note = push(world, tmp_path, message, project=project)
        assert f"{theirs} is of Shop, which" in note
        assert f"{nobodys} is of no project, which" in note
        assert [world.is_closed(each) for each in (ours, theirs)] == [True, False]
    push(world, tmp_path, message, project="Acme")
    assert all(map(world.is_closed, (ours, theirs, nobodys)))


def test_an_approval_is_left_to_a_person(world: AsanaWorld, tmp_path: Path) -> None:
    issue = world.new()
    world.kept(issue).status = "approval"
    assert "is an approval" in push(world, tmp_path, f"fixes {issue}")
    assert not world.is_closed(issue)


def test_tasks_one_may_not_see_or_change_stop_nothing(
    world: AsanaWorld, contract: AsanaContract, tmp_path: Path
) -> None:
    hidden, frozen, issue = (world.new() for _ in range(3))
    contract.hidden, contract.frozen = {1}, {2}
    with pytest.raises(Reject) as told:
        push(world, tmp_path, f"fixes {hidden}, {frozen} and {issue}")
    assert f"{hidden} may not be seen with these credentials" in str(told.value)
    assert f"{frozen} may not be changed with these credentials" in str(told.value)
    assert world.is_closed(issue)
    assert "the tracker refused to close it" in world.comments(frozen)[0]


def test_a_mark_is_found_beyond_the_first_page(
    world: AsanaWorld, contract: AsanaContract, tmp_path: Path
) -> None:
    issue, contract.page = world.new(), 1
    for number in range(3):
        push(world, tmp_path, f"refs {issue} {number}")
    pushed = payload(commit(f"refs {issue}", next(NUMBERS)))
    world.relay.spoil_write(0, Spoil("drop"))
    note, retries = work_off(world.settings, tmp_path, pushed)
    assert len(retries) == 1
    assert note == f"commented on {issue}"
    assert len(world.comments(issue)) == 4


def test_a_limit_is_waited_for(world: AsanaWorld, tmp_path: Path) -> None:
    issue = world.new()
    said = (("Retry-After", "30"),)
    world.relay.spoil_write(0, Spoil("answer", 429, said, '{"errors": []}'))
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    _, (retry,) = work_off(world.settings, tmp_path, pushed)
    assert retry.after == 30


def test_another_servers_404_is_no_missing_task(
    world: AsanaWorld, tmp_path: Path
) -> None:
    issue = world.new()
    world.relay.rule = lambda method, path: Spoil("answer", 404, body='{"error": 1}')
    with pytest.raises(Retry, match="not as asana says it"):
        push(world, tmp_path, f"fixes {issue}")


def test_text_is_text_and_a_profiles_address_mentions_nobody(
    world: AsanaWorld, tmp_path: Path
) -> None:
    issue = world.new()
    text = f'refs {issue}\n\n<a data-asana-gid="12"/></pre>&amp; https://app.asana.com/0/12 @ann \uffff'
    made = commit(text, next(NUMBERS), author='<a data-asana-gid="1"/> https://x.y/0/1')
    template = "${action} & <so> by ${author}: ${message}"
    broker(world.settings | {"template": template}, tmp_path).handle(payload(made))
    (said,) = world.kept(issue).comments
    assert said["html"].startswith("<body>Referenced &amp; &lt;so&gt; by ")
    assert "</pre>&amp;" in said["body"]
    assert "https://" not in said["body"]
    assert "@ann" not in said["body"]
    assert said["html"].endswith(f"\n\n({made['node']})</body>")


def test_projects_are_checked_by_number_and_name(
    world: AsanaWorld, tmp_path: Path
) -> None:
    for project, ok in {
        "9001": True,
        "shop": True,
        "acme": True,
        "9009": False,
        "Sho": False,
    }.items():
        checks = broker(world.settings | {"project": project}, tmp_path).check()
        assert [check.ok for check in checks] == [True, ok], project
