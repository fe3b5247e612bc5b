"""What an administrator does before a push: broker files as source text, a
configuration, secrets.
"""

import json
import textwrap
from pathlib import Path
from typing import Any

from oberonc import config
from oberonc.broker import registry, runner, secrets
from oberonc.broker.request import Outcome, first_attempt
from oberonc.config import Config, Service
from oberonc.payload import schema
from oberonc.payload.schema import Payload
from tests.support.eventually import eventually
from tests.support.recorded import whole_lines

#: What every broker file of a test begins with, unless it brings its own.
HEAD = "from oberonc import BaseBroker, Check, Reject, Retry, Secret\n"
#: What a configuration begins with where it is not the budget of hooks that is tried:
#: the machine may be busy.
PATIENT = "hook_budget = 120\n"


class Admin:
    """The administrator of a test, whose home is *home*."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / ".config" / "oberonc"
        self.brokers = self.folder / "brokers"
        self.state = home / ".local" / "state" / "oberonc"
        self.done = home / "done.txt"

    def broker(self, name: str, text: str, head: str = HEAD) -> Path:
        """Write a broker file; `DONE` in its text stands for the path of `self.done`."""
        self.brokers.mkdir(parents=True, exist_ok=True)
        file = self.brokers / f"{name}.py"
        file.write_text(
            head + textwrap.dedent(text).replace("DONE", repr(str(self.done)))
        )
        return file

    def handle(self, name: str, body: str, attributes: str = "pass") -> Path:
        """Write a broker whose `handle` is *body*."""
        lines = textwrap.indent(textwrap.dedent(body), " " * 8)
        extra = textwrap.indent(textwrap.dedent(attributes), " " * 4)
        return self.broker(
            name,
            f"class Found(BaseBroker):\n{extra}\n    def handle(self, payload):\n{lines}\n",
        )

    def configure(self, text: str) -> Path:
        """Write the user's configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "config.toml"
        file.write_text(textwrap.dedent(text))
        return file

    def secret(self, name: str, value: str) -> Path:
        """A file with a secret in it."""
        file = self.home / name
        file.write_text(value)
        file.chmod(0o600)
        return file

    def load(self) -> Config:
        """The effective configuration."""
        return config.load()

    def place(self, name: str) -> registry.Place:
        """Where broker *name* is."""
        catalogue = registry.find(self.load())
        assert name in catalogue.places, catalogue.problems
        return catalogue.places[name]

    def run(self, name: str, limit: float = 20.0, **settings: Any) -> Outcome:
        """Broker *name* once in a child, with the sample payload."""
        service = Service(name="svc", broker=name, settings=settings)
        asked = first_attempt(
            service, secrets.resolve(service), sample(), str(self.state), limit
        )
        return runner.run(self.place(name), asked, limit)

    def lines(self) -> list[str]:
        """What brokers appended to `self.done`."""
        return whole_lines(self.done)

    def pid(self) -> int:
        """The process id that a running broker writes as the first line of `self.done`."""
        return int(eventually(self.lines)[0])


def sample(**changes: Any) -> Payload:
    """The shipped sample payload, with *changes* and an id of its own."""
    raw = (Path(schema.__file__).parent / "sample.json").read_text()
    found: Payload = json.loads(raw) | {"id": schema.new_id()} | changes
    return found
