"""A webhook as a bell: from a forge's request by way of a mirror to the broker."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_site import Site
from tests.support.eventually import eventually
from tests.support.forge import Forge
from tests.support.repo import Repo
from tests.support.web import Face, Faces, webhooks
from tests.support.webhooks import SECRET, Example

TOKEN = "a sesame of our own"


@pytest.fixture
def forge(tmp_path: Path, site: Site) -> Iterator[Forge]:
    """A forge that asks for a token, and `[webhooks.shop]` for it."""
    made = Forge(tmp_path / "forge")
    made.password = TOKEN
    try:
        table = {
            "forge": "github",
            "secret": [SECRET],
            "repositories": ["web/*"],
            "mirror": True,
            "url": made.url,
            "token": _token(tmp_path),
        }
        webhooks(site, {"shop": table})
        # TOML writes it small
        site.file.write_text(site.file.read_text().replace("= True", "= true"))
        yield made
    finally:
        made.close()


def _token(folder: Path) -> str:
    file = folder / "token"
    file.touch(0o600)
    file.write_text(TOKEN)
    return f"file:{file}"


@pytest.fixture
def clone(forge: Forge) -> Repo:
    """The clone of `web/shop` that is pushed from."""
    return forge.make("web/shop")


def ring(face: Face, each: Example) -> str:
    answer = face.send("/in/shop", each.headers, each.raw)
    said = json.loads(answer.body)
    assert (answer.status, said["status"]) == (200, "noted")
    return str(said["event"])


def messages(site: Site, *events: str) -> list[list[str]]:
    by_id = {row["id"]: row["payload"] for row in site.rows() if "payload" in row}
    return [[c["message"] for c in by_id[event]["commits"]] for event in events]


def test_a_push_is_what_git_says_of_it_and_a_redelivery_is_nothing(
    site: Site, faces: Faces, forge: Forge, clone: Repo
) -> None:
    site.start()
    face = faces.start()
    base, new = clone.commit("base"), clone.commit("new")
    clone.push("main")
    webhook = forge.told(clone, base, new)
    event = ring(face, webhook)
    site.wait_for(event)
    assert messages(site, event) == [["new\n"]]
    answer = face.send("/in/shop", webhook.headers, webhook.raw)
    assert json.loads(answer.body)["event"] == event
    last = clone.commit("last")
    clone.push("main")
    after = ring(face, forge.told(clone, new, last))
    site.wait_for(after)
    assert messages(site, after) == [["last\n"]]
    assert sorted(site.ended()) == sorted([event, after])
    line = f"mirror web/shop: event {after}: 1 commit"
    eventually(lambda: line in face.log, 30, face.log)
    assert TOKEN not in face.log


def test_what_rang_while_the_forge_was_down_outlives_a_kill_and_is_told_once(
    site: Site, faces: Faces, forge: Forge, clone: Repo
) -> None:
    stands = [clone.commit(f"number {number}") for number in range(4)]
    clone.push("main")
    forge.down = True
    face = faces.start()
    events = [
        ring(face, forge.told(clone, old, new))
        for old, new in itertools.pairwise(stands)
    ]
    eventually(lambda: "error: 503; tried again" in face.log, 30, face.log)
    face.process.kill()
    face.process.wait()
    forge.down = False
    faces.start()
    site.start()
    site.wait_for(*events)
    assert messages(site, *events) == [["number 1\n"], ["number 2\n"], ["number 3\n"]]
    site.settled(done=3)


def test_with_the_daemon_down_what_was_fetched_waits_in_the_spool(
    site: Site, faces: Faces, forge: Forge, clone: Repo
) -> None:
    face = faces.start()
    base, new = clone.commit("base"), clone.commit("new")
    clone.push("main")
    event = ring(face, forge.told(clone, base, new))
    eventually(lambda: f"event {event}: 1 commit" in face.log, 60, face.log)
    site.start()
    site.wait_for(event)
    site.settled(done=1)


def test_bells_of_a_webhook_without_a_mirror_any_more_are_told_as_it_said(
    site: Site, faces: Faces, forge: Forge, clone: Repo
) -> None:
    forge.down = True
    base, new = clone.commit("base"), clone.commit("new")
    clone.push("main")
    face = faces.start()
    event = ring(face, forge.told(clone, base, new))
    face.stop()
    lines = site.file.read_text().split("\n")
    kept = [one for one in lines if not one.startswith(("mirror", "url", "token"))]
    site.file.write_text("\n".join(kept))
    faces.start()
    site.start()
    site.wait_for(event)


def test_a_face_that_is_told_to_stop_ends_what_it_fetches(
    site: Site, faces: Faces, forge: Forge, clone: Repo
) -> None:
    base, new = clone.commit("base"), clone.commit("new")
    clone.push("main")
    face = faces.start()
    forge.slow.clear()  # it answers nothing from here on
    try:
        ring(face, forge.told(clone, base, new))
        eventually(lambda: forge.asked, 30)
        face.stop()
    finally:
        forge.slow.set()
    assert len(list((site.state / "web" / "bells").glob("*.json"))) == 1


def test_what_rings_during_a_fetch_is_fetched_after_it(
    site: Site, faces: Faces, forge: Forge, clone: Repo
) -> None:
    stands = [clone.commit(f"number {number}") for number in range(4)]
    clone.push(f"{stands[1]}:refs/heads/main")
    site.start()
    face = faces.start()
    forge.slow.clear()
    try:
        events = [ring(face, forge.told(clone, *stands[:2]))]
        eventually(lambda: forge.asked, 30)
        events += [
            ring(face, forge.told(clone, old, new))
            for old, new in itertools.pairwise(stands[1:])
        ]
    finally:
        forge.slow.set()
    clone.push("main")
    site.wait_for(*events)
    assert messages(site, *events) == [["number 1\n"], ["number 2\n"], ["number 3\n"]]
    site.settled(done=3)


def test_a_name_that_leads_elsewhere_is_no_push(
    site: Site, faces: Faces, forge: Forge, clone: Repo
) -> None:
    face = faces.start()
    for name in ("web/..", "web/."):
        about = {"full_name": name, "default_branch": "main", "html_url": ""}
        each = forge.told(clone, "", "12" * 20, repository=about)
        assert face.send("/in/shop", each.headers, each.raw).status == 400
    assert "is no name of a repository" in face.log
    assert not list((site.state / "web").glob("bells/*"))
    assert forge.asked == []
