"""The files that a new broker begins as: a broker that posts, and its test. Both pass as
they are written.
"""

from pathlib import Path
from typing import Final

from oberonc.broker import registry
from oberonc.errors import BadInput
from oberonc.text import one_line

_BROKER: Final = '''\
"""Tell NAME what was pushed."""

from oberonc import BaseBroker, Check, Payload, Secret


class CLASS(BaseBroker):
    """Posts the newest published commit of a push."""

    timeout = 30  # seconds that one delivery may take

    class Settings:
        url: str  # where it is posted
        token: Secret | None = None  # env:X, file:PATH, cred:X or cmd:...

    settings: Settings

    def plan(self, payload: Payload) -> list[str]:
        """What `handle` would do; no network, nothing changed."""
        return [f"post {oid}" for oid in payload["published"][-1:]]

    def check(self) -> list[Check]:
        """Prove that it would work; nothing changed."""
        answer = self.http().call("HEAD", self.settings.url, errors=(404, 405))
        return [Check(True, f"the server answers ({answer.status})")]

    def handle(self, payload: Payload) -> str:
        if not payload["published"]:
            return "nothing: no commit was published"
        newest = payload["published"][-1]
        token = self.settings.token
        client = self.http({"Authorization": f"Bearer {token}"} if token else None)
        # The same on every try, so that the server can drop what it has.
        body = {"commit": newest, "id": payload["delivery_id"]}
        # Raises Retry or Reject, as the answer means.
        client.call("POST", self.settings.url, json=body)
        return f"posted {newest[:8]}"
'''
_TEST: Final = '''\
"""NAME: what it posts, and what it makes of the answers."""

from pathlib import Path

import pytest
from oberonc import testing

CLASS = testing.load(Path(__file__).parents[1] / "NAME.py")


def test_the_newest_published_commit_is_posted(tmp_path: Path) -> None:
    payload = testing.payload("push")
    with testing.Server() as server:
        done = testing.deliver(
            CLASS, payload, tmp_path, url=server.url, token="s3cret"
        )
    assert done.kind == "done", done.note
    [sent] = server.requests
    assert sent.json()["commit"] == payload["published"][-1]
    assert sent.headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(("status", "kind"), [(503, "retry"), (404, "dead")])
def test_an_answer_means_again_or_never(
    tmp_path: Path, status: int, kind: str
) -> None:
    with testing.Server(testing.Answer(status)) as server:
        done = testing.deliver(CLASS, testing.payload(), tmp_path, url=server.url)
    assert done.kind == kind, done.note


@pytest.mark.parametrize("push", ["branch", "tag", "delete", "test"])
def test_nothing_is_posted_where_nothing_was_published(
    tmp_path: Path, push: str
) -> None:
    with testing.Server() as server:
        done = testing.deliver(CLASS, testing.payload(push), tmp_path, url=server.url)
    assert (done.kind, server.requests) == ("done", [])


def test_the_plan_says_what_would_be_posted(tmp_path: Path) -> None:
    broker = testing.bound(CLASS, tmp_path, url="http://localhost")
    assert broker.plan(testing.payload("push"))[0].startswith("post ")
'''
#: What the files import: a class of this name would hide it.
_TAKEN: Final = {"Check", "Path", "Payload", "Secret"}


def write(name: str, folder: Path) -> tuple[Path, Path]:
    """Write broker *name* into *folder* and its test into `tests/` there; returns both
    files. Raises BadInput where the name is none, or anything is there already.
    """
    if not registry.NAME.fullmatch(name):
        raise BadInput(
            f"'{one_line(name, 60)}' cannot be a broker's name: small letters, digits and '_', a letter first"
        )
    named = "".join(part.capitalize() for part in name.split("_"))
    if named in _TAKEN:
        named += "Broker"
    broker = folder / f"{name}.py"
    test = folder / "tests" / f"test_{name}.py"
    for file in (broker, test):
        if file.exists() or file.is_symlink():
            raise BadInput(f"{file} is there already; nothing was written")
    try:
        test.parent.mkdir(parents=True, exist_ok=True)
        for file, text in ((broker, _BROKER), (test, _TEST)):
            with file.open("x") as stream:
                stream.write(text.replace("NAME", name).replace("CLASS", named))
    except OSError as error:
        raise BadInput(
            f"cannot write {error.filename or folder}: {error.strerror}"
        ) from None
    return broker, test
