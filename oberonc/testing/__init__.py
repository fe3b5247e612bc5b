"""What a plugin's author tests a broker with: pushes of every kind, a server that
records, and one delivery.

    from oberonc import testing
    from deploy import Deploy

    def test_a_push_starts_a_deployment(tmp_path):
        with testing.Server() as ci:
            done = testing.deliver(Deploy, testing.payload("push"), tmp_path, url=ci.url)
        assert done.kind == "done"
        assert ci.requests[0].json()["branch"] == "main"

Nothing here needs a test runner, a daemon, git or the network.
"""

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from oberonc.broker import loading
from oberonc.broker.contract import BaseBroker, settings_fields
from oberonc.broker.perform import perform
from oberonc.broker.registry import Place
from oberonc.broker.request import Outcome, Request
from oberonc.redaction import Secret

Kind = TypeVar("Kind", bound=BaseBroker)

#: Text that tries to notify, link, format, reorder, end a line or end a text.
HOSTILE = (
    "@everyone @here @channel @all <!channel> <!here> <@U0123456> <@&99>\n\n"
    "[x](javascript:alert(1)) ![i](http://evil.example/i.png) http://evil.example "
    "<script>alert(1)</script> &amp; *b* _i_ ~~s~~ ||p|| `c`\n```\nfence\n```\n"
    "> quote\n# head\n:smile: \u202eevil\u202c \x1b[31mred\x1b[0m \x00 \x07 \x02b\x0304 "
    "שלום \\*already\\* {{macro}} {code} \r\nQUIT :bye\r\n.\r\nRCPT TO:<a@b.example>\n"
    + "long "
    * 12000
)


def payload(kind: str = "push", **changes: Any) -> Any:
    """A payload as brokers get it before delivery, a dict with *changes* of its keys;
    for type checkers it fits `oberonc.Payload`.

    | kind | what happened |
    |---|---|
    | `push` | two commits reached `main` |
    | `commits` | three commits reached `main` |
    | `many` | thirty commits reached `main` |
    | `branch` | a branch was made with one commit, which is not published |
    | `merge` | a branch that was pushed before was merged into `main` |
    | `forced` | `main` was rewritten |
    | `tag` | an annotated tag was made |
    | `delete` | a branch was deleted |
    | `all` | three commits, a merge, a tag and a deleted branch in one push |
    | `message` | a message without a commit, handed in by hand |
    | `hostile` | a push in which every name and text is `HOSTILE` |
    | `dead` | a notice of the daemon: a delivery was given up |
    | `test` | what `oberonc brokers test SERVICE --send` sends |

    Raises ValueError for another *kind*.
    """
    if kind not in _KINDS:
        raise ValueError(f"no kind of push: '{kind}'; there are {', '.join(_KINDS)}")
    made = _KINDS[kind](_sample())
    made["commits_total"] = len(made["commits"])
    made["published_total"] = len(made["published"])
    return {**made, **changes}


def commit(number: int, message: str, branch: str | None = "main") -> dict[str, Any]:
    """A commit of a payload; each *number* gives another id."""
    made = copy.deepcopy(_sample()["commits"][0])
    oid = f"{number:040x}"[::-1]
    url = made["url"].rpartition("/")[0]
    return {
        **made,
        "node": oid[:12],
        "raw_node": oid,
        "message": message,
        "branch": branch,
        "change": oid[::-1],
        "url": f"{url}/{oid}",
    }


def load(file: Path) -> type[BaseBroker]:
    """The broker class in *file*, loaded as oberonc loads it: helpers beside it that
    begin with `_` are found. Raises `oberonc.broker.registry.BrokenBroker` with what is
    wrong, and where.
    """
    path = file.absolute()
    return loading.load(Place(path.stem, str(path), None, str(path.parent)))


def deliver(
    broker: type[BaseBroker],
    given: Mapping[str, Any],
    state: Path,
    *,
    attempt: int = 1,
    delivery_id: str = "",
    **settings: Any,
) -> Outcome:
    """One attempt to deliver *given* to *broker* with *settings*, in this process, as a
    worker makes it: errors become an outcome, secrets are taken out of what is said.

    Texts for settings that are secrets need no reference. *state* is the folder that
    outlives runs. The outcome's `kind` is `done`, `retry` or `dead`, `note` what was
    said, `after` the seconds to wait.
    """
    name = broker.__name__.lower()
    return perform(
        broker,
        Request(
            name,
            name,
            _with_secrets(broker, settings),
            str(state),
            60.0,
            delivery_id or f"{given['id']}-{name}",
            dict(given),
            attempt,
        ),
    )


def bound(broker: type[Kind], state: Path, **settings: Any) -> Kind:
    """An instance of *broker* that has *settings*, for `plan`, `check` and methods of
    its own; raises ValueError where the settings do not fit.
    """
    made = broker()
    made.bind(broker.__name__.lower(), _with_secrets(broker, settings), state)
    return made


class Sent(NamedTuple):
    """A request that a `Server` got."""

    method: str
    #: With its query.
    path: str
    #: The names in lower case.
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; raises ValueError for anything else."""
        return json.loads(self.body)


class Answer(NamedTuple):
    """What a `Server` answers; `status` 0 ends the connection without an answer, after
    the request was read.
    """

    status: int = 200
    body: bytes | str = b""
    headers: dict[str, str] = {}  # noqa: RUF012  never changed


class Server:
    """An HTTP server on loopback that records what it is sent.

    `answers` are given in turn, the last again and again; instead of one there may be
    a function of the request. As a context: it listens inside the `with`.
    """

    def __init__(self, *answers: "Answer | Callable[[Sent], Answer]") -> None:
        self.answers = list(answers) or [Answer()]
        self.requests: list[Sent] = []
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with suppress(ConnectionError):
                    super().handle_one_request()

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self._any_method
                raise AttributeError(name)

            def _any_method(self) -> None:
                owner._answer(self)

            def log_message(self, *_args: Any) -> None:
                """Nothing: a test reads `requests`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        names = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(names.get("content-length") or 0))
        sent = Sent(handler.command, handler.path, names, body)
        with self._lock:
            self.requests.append(sent)
            answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        found = answer if isinstance(answer, Answer) else answer(sent)
        if not found.status:
            handler.close_connection = True
            return
        raw = found.body.encode() if isinstance(found.body, str) else found.body
        handler.send_response(found.status)
        for name, value in found.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(raw)


def _with_secrets(broker: type[BaseBroker], given: dict[str, Any]) -> dict[str, Any]:
    """*given* with texts made secrets where the broker declares one."""
    fields = settings_fields(broker.Settings)
    return {
        name: _hidden(value) if "Secret" in str(fields.get(name, ("",))[0]) else value
        for name, value in given.items()
    }


def _hidden(value: Any) -> Any:
    if isinstance(value, list):
        return [_hidden(part) for part in value]
    if isinstance(value, dict):
        return {key: _hidden(part) for key, part in value.items()}
    return Secret(value) if isinstance(value, str) else value


def _sample() -> dict[str, Any]:
    text = resources.files("oberonc.payload").joinpath("sample.json").read_text("utf-8")
    made: dict[str, Any] = json.loads(text)
    return made


def _with_commits(
    made: dict[str, Any], commits: list[dict[str, Any]], **update: Any
) -> dict[str, Any]:
    """*made* with one update that brought *commits*."""
    moved = {**made["updates"][0], **update}
    if commits:
        moved["new"] = commits[-1]["raw_node"]
    published = [each["raw_node"] for each in commits] if moved["publish"] else []
    return {**made, "updates": [moved], "commits": commits, "published": published}


def _numbered(count: int) -> Iterator[dict[str, Any]]:
    words = ("needs more work, references #37", "all done, fixes #42", "tidy up")
    for number in range(count):
        yield commit(number + 1, f"{words[number % 3]}\n\nWith a second paragraph.\n")


def _branch(made: dict[str, Any]) -> dict[str, Any]:
    name = "feature/cart"
    new = [commit(9, "begin the cart, refs #37\n", name)]
    zeros = "0" * 40
    ref = f"refs/heads/{name}"
    return _with_commits(
        made, new, ref=ref, name=name, old=zeros, created=True, publish=False
    )


def _merge(made: dict[str, Any]) -> dict[str, Any]:
    before = commit(9, "begin the cart, fixes #37\n", "feature/cart")
    merge = commit(10, "Merge branch 'feature/cart'\n")
    merge["parents"] = [made["updates"][0]["old"][:12], before["node"]]
    made = _with_commits(made, [merge])
    published = [before["raw_node"], merge["raw_node"]]
    return {**made, "merged": [before], "published": published}


def _tag(made: dict[str, Any]) -> dict[str, Any]:
    return _with_commits(
        made,
        [],
        ref="refs/tags/v1.0",
        kind="tag",
        name="v1.0",
        old="0" * 40,
        created=True,
        publish=False,
    )


def _delete(made: dict[str, Any]) -> dict[str, Any]:
    return _with_commits(
        made,
        [],
        ref="refs/heads/feature/cart",
        name="feature/cart",
        new="0" * 40,
        deleted=True,
        publish=False,
    )


def _all(made: dict[str, Any]) -> dict[str, Any]:
    parts = [_with_commits(made, list(_numbered(3))), _merge(made)]
    commits = [each for part in parts for each in part["commits"]]
    updates = parts[0]["updates"] + _tag(made)["updates"] + _delete(made)["updates"]
    updates[0]["new"] = commits[-1]["raw_node"]
    return {
        **made,
        "updates": updates,
        "commits": commits,
        "merged": parts[1]["merged"],
        "published": [oid for part in parts for oid in part["published"]],
    }


def _message(made: dict[str, Any]) -> dict[str, Any]:
    zeros = "0" * 40
    said = {**commit(0, "all done, fixes #42"), "url": "", "parents": [], "files": []}
    said |= {"node": zeros[:12], "raw_node": zeros}
    made = _with_commits(made, [said])
    return {**made, "event": "commit", "updates": [], "published": [zeros]}


def _hostile(made: dict[str, Any]) -> dict[str, Any]:
    name = HOSTILE[:900]
    said = commit(1, HOSTILE, name)
    said |= {"author": name, "raw_author": f"{name} <{name}>", "committer": name}
    said |= {"url": "javascript:alert(1)", "files": [{"file": name, "type": "added"}]}
    made = _with_commits(made, [said], name=name, ref=f"refs/heads/{name}")
    repository = dict.fromkeys(("name", "full_name", "owner", "slug"), name)
    where = {"website": 'https://x"><script>', "absolute_url": f"/{name}/"}
    return {**made, "user": name, "repository": made["repository"] | repository | where}


def _dead(made: dict[str, Any]) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "updates": [],
        "commits": [],
        "published": [],
        "user": None,
    }
    repository = made["repository"] | {"full_name": "oberonc", "name": "oberonc"}
    one = {
        "delivery": 7,
        "service": "issues",
        "repository": "web/shop",
        "push": "0" * 32,
        "accepted": made["time"],
        "given_up": made["time"],
        "error": "404 Not Found",
    }
    about = {"event": "dead", "dead_total": 1, "dead": [one], "repository": repository}
    return {**made, **nothing, **about}


def _test(made: dict[str, Any]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"updates": [], "commits": [], "published": []}
    repository = made["repository"] | {"full_name": "oberonc", "name": "oberonc"}
    return {**made, **nothing, "event": "test", "repository": repository}


_KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "push": lambda made: made,
    "commits": lambda made: _with_commits(made, list(_numbered(3))),
    "many": lambda made: _with_commits(made, list(_numbered(30))),
    "branch": _branch,
    "merge": _merge,
    "forced": lambda made: _with_commits(made, list(_numbered(1)), forced=True),
    "tag": _tag,
    "delete": _delete,
    "all": _all,
    "message": _message,
    "hostile": _hostile,
    "dead": _dead,
    "test": _test,
}
