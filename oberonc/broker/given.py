"""What a broker is given, as types: for editors, and for mypy. docs/payload.md says what
each key means.
"""

from typing import Any, Literal, NotRequired, TypedDict


class Submitter(TypedDict):
    """The account whose process handed a push over."""

    uid: int
    name: str | None


class Repository(TypedDict):
    """The repository of a payload."""

    full_name: str
    name: str
    slug: str
    owner: str
    absolute_url: str
    website: str
    scm: str
    fork: bool
    is_private: bool
    default_branch: str
    services: NotRequired[list[str]]


class Update(TypedDict):
    """A ref that moved."""

    ref: str
    kind: Literal["branch", "tag", "other"]
    name: str
    old: str
    new: str
    created: bool
    deleted: bool
    forced: bool
    publish: bool
    first: bool
    compare: NotRequired[str]


class File(TypedDict):
    """A file that a commit changed."""

    file: str
    type: Literal["added", "modified", "removed"]


class Commit(TypedDict):
    """A commit, or a message without one."""

    node: str
    raw_node: str
    author: str
    raw_author: str
    committer: str
    message: str
    branch: str | None
    parents: list[str]
    files: list[File]
    timestamp: str
    utctimestamp: str
    revision: None
    size: int
    url: str
    change: str
    diff: NotRequired[str]
    diff_truncated: NotRequired[bool]
    truncated: NotRequired[bool]


class Dead(TypedDict):
    """A delivery that was given up, in a notice."""

    delivery: int | str
    service: str
    repository: str
    push: str
    accepted: str
    given_up: str
    error: str


class Order(TypedDict):
    """Whether an earlier delivery was passed over."""

    gap: bool


class Payload(TypedDict):
    """What `handle` gets. `plan` and `has_work` get it without the last five keys."""

    schema: Literal[1]
    id: str
    event: Literal["push", "commit", "dead", "test"]
    time: str
    user: str | None
    submitter: Submitter
    canon_url: str
    repository: Repository
    updates: list[Update]
    commits: list[Commit]
    merged: list[Commit]
    published: list[str]
    foreign: list[str]
    dropped: list[Commit]
    truncated: bool
    commits_total: int
    published_total: int
    dropped_total: int
    push_options: list[str]
    digest: NotRequired[list[str]]
    dead_total: NotRequired[int]
    dead: NotRequired[list[Dead]]
    broker: str
    service: dict[str, Any]
    delivery_id: str
    attempt: int
    order: Order
