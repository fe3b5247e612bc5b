"""The webhook broker and a real receiver: Debian's `webhook`, as people run it for
their deployments.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import pytest

from brokers.webhook import Webhook
from oberonc import Secret, testing
from oberonc.broker.request import Outcome
from oberonc.testing.relay import Relay, Spoil
from tests.support.trackers import servers

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("webhook")]
SECRET = "w0rd-of-the-hook"
KINDS = ["push", "commits", "merge", "forced", "tag", "delete", "all", "hostile"]
#: What the hook runs: keeps the body, the way it came, in a file named by its number.
PROGRAM = """#!/bin/sh
set -e
number=$(ls "$1" | wc -l)
cp "$BODY" "$1/$number.tmp"
printf '%s' "$ONE" >"$1/$number.id"
mv "$1/$number.tmp" "$1/$number.body"
"""


class Receiver(NamedTuple):
    """A running `webhook`, and what its hook was run with."""

    relay: Relay
    got: Path

    def runs(self) -> list[tuple[str, bytes]]:
        """(id, body) of each run, oldest first; they are forgotten."""
        found = []
        for body in sorted(self.got.glob("*.body"), key=lambda at: int(at.stem)):
            found.append((body.with_suffix(".id").read_text(), body.read_bytes()))
        for file in list(self.got.iterdir()):
            file.unlink()
        return found


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[Receiver]:
    program = shutil.which("webhook") or "/usr/bin/webhook"
    servers.need(Path(program).exists(), "webhook")
    got, script, file = folder / "got", folder / "keep", folder / "hooks.json"
    got.mkdir()
    script.write_text(PROGRAM)
    script.chmod(0o755)
    signature = {"source": "header", "name": "X-Hub-Signature-256"}
    hook = {
        "id": "deploy",
        "execute-command": str(script),
        # The answer comes when the program has ended.
        "include-command-output-in-response": True,
        "pass-arguments-to-command": [{"source": "string", "name": str(got)}],
        "pass-environment-to-command": [
            {"source": "header", "name": "X-GitHub-Delivery", "envname": "ONE"}
        ],
        "pass-file-to-command": [{"source": "raw-request-body", "envname": "BODY"}],
        "trigger-rule": {
            "match": {
                "type": "payload-hmac-sha256",
                "secret": SECRET,
                "parameter": signature,
            }
        },
    }
    file.write_text(json.dumps([hook]))
    command = [program, "-hooks", str(file), "-ip", "127.0.0.1", "-port", str(port)]
    with servers.serving(command, folder, f"http://127.0.0.1:{port}/"):
        yield Receiver(relay, got)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with servers.relayed(start) as made:
        yield made


def _post(
    receiver: Receiver, tmp_path: Path, kind: str = "push", **more: Any
) -> Outcome:
    settings = {"url": f"{receiver.relay.url}/hooks/deploy", "secret": SECRET, **more}
    return testing.deliver(Webhook, testing.payload(kind), tmp_path, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_the_payload_arrives_whole(
    receiver: Receiver, tmp_path: Path, kind: str
) -> None:
    done = _post(receiver, tmp_path, kind)
    assert done.kind == "done", done.note
    [(_, body)] = receiver.runs()
    assert json.loads(body) == testing.payload(kind)


def test_a_form_arrives_whole(receiver: Receiver, tmp_path: Path) -> None:
    done = _post(receiver, tmp_path, "hostile", format="form")
    assert done.kind == "done", done.note
    [(_, body)] = receiver.runs()
    [field] = parse_qs(body.decode())["payload"]
    assert json.loads(field) == testing.payload("hostile")


def test_a_push_as_github_s_is_a_run_for_each_ref(
    receiver: Receiver, tmp_path: Path
) -> None:
    done = _post(receiver, tmp_path, "all", format="github")
    assert done.kind == "done", done.note
    runs = receiver.runs()
    refs = [update["ref"] for update in testing.payload("all")["updates"]]
    assert [json.loads(body)["ref"] for _, body in runs] == refs
    assert len({one for one, _ in runs}) == len(refs)


def test_a_wrong_secret_runs_nothing(receiver: Receiver, tmp_path: Path) -> None:
    """It answers 500 to a signature that is wrong, and so it is tried again."""
    done = _post(receiver, tmp_path, secret="an0ther-word")
    assert (done.kind, "an0ther" in done.note) == ("retry", False), done.note
    assert receiver.runs() == []


def test_the_newest_of_two_secrets_signs(receiver: Receiver, tmp_path: Path) -> None:
    both = [Secret(SECRET), Secret("an0ther-word")]
    assert _post(receiver, tmp_path, secret=both).kind == "done"
    assert _post(receiver, tmp_path, secret=both[::-1]).kind == "retry"
    assert len(receiver.runs()) == 1


def test_a_hook_that_is_not_there_is_never_tried_again(
    receiver: Receiver, tmp_path: Path
) -> None:
    done = _post(receiver, tmp_path, url=f"{receiver.relay.url}/hooks/none")
    assert (done.kind, "404" in done.note) == ("dead", True), done.note


def test_after_a_lost_answer_it_runs_again_with_the_same_id(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.relay.spoil_write(0, Spoil("drop"))
    kinds = [_post(receiver, tmp_path).kind for _ in range(2)]
    receiver.relay.spoil_nothing()
    assert kinds == ["retry", "done"]
    first, second = receiver.runs()
    assert first == second
