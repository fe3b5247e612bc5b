"""Start a build of what was pushed."""

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from oberonc import BaseBroker, Check, Reject, Secret
from oberonc.kit.answers import Answer
from oberonc.kit.github import push
from oberonc.kit.progress import Progress
from oberonc.payload.digest import moves
from oberonc.text import one_line

#: What people write into the newest commit of a push that nobody should build.
_SKIP = re.compile(r"\[(skip ci|ci skip|no ci|skip actions)\]", re.IGNORECASE)


class Call(NamedTuple):
    """A POST to a build server; a body is bytes, a form, or a value for JSON."""

    path: str
    headers: dict[str, str] = {}  # noqa: RUF012  never changed
    json: Any = None
    form: dict[str, str] | None = None
    data: bytes | None = None
    query: dict[str, str] | None = None


class Ci(BaseBroker):
    """Starts a build for each branch and tag that moved."""

    class Settings:
        # jenkins, jenkins-git, buildbot, woodpecker, drone, gitlab, github, buildkite,
        # teamcity, sourcehut, argocd
        system: str
        url: str  # of the server
        token: Secret | None = None
        user: str = ""  # Jenkins: whose token it is
        job: str = (
            ""  # the job, pipeline, project or repository, as the server names it
        )
        parameters: dict[str, str] = {}  # noqa: RUF012  never changed; sent along
        manifest: str = ""  # sourcehut: the build's manifest
        proxy: str = ""
        ca: str = ""

    def verify(self) -> None:
        if self.settings.system not in SYSTEMS:
            raise ValueError(f"setting 'system' must be one of {', '.join(SYSTEMS)}")
        needs_job = self.settings.system not in _WITHOUT_JOB
        if needs_job and not self.settings.job:
            raise ValueError(f"system '{self.settings.system}' needs the setting 'job'")
        if self.settings.system == "sourcehut" and not self.settings.manifest:
            raise ValueError("system 'sourcehut' needs the setting 'manifest'")

    def has_work(self, payload: dict[str, Any]) -> bool:
        return bool(self._wanted(payload))

    def plan(self, payload: dict[str, Any]) -> list[str]:
        where = f"{self.settings.system} {self.settings.job}".strip()
        return [f"build {each['ref']} on {where}" for each in self._wanted(payload)]

    def check(self) -> list[Check]:
        system, client, url = self.settings.system, self.http(), self.settings.url
        if system == "sourcehut":
            asked = {"query": "{ me { canonicalName } }"}
            headers = _bearer(self.settings)
            answer = client.call(
                "POST", f"{url.rstrip('/')}/query", json=asked, headers=headers
            )
            wrong = answer.json().get("errors")
            return [Check(not wrong, "the token is accepted", "give another token")]
        if system not in _READABLE:
            client.call("GET", url, errors=tuple(range(300, 500)), pages=True)
            said = (
                f"{url} answers; {system} tells only a build whether the rest is right"
            )
            return [Check(True, said)]
        path, headers = _READABLE[system](self.settings)
        client.call("GET", url.rstrip("/") + path, headers=headers)
        return [Check(True, f"{system} knows the token, and {self.settings.job}")]

    def handle(self, payload: dict[str, Any]) -> str:
        wanted = self._wanted(payload)
        if payload["event"] == "test":
            return "nothing: a test starts no build"
        if not wanted:
            return "nothing: no branch or tag to build, or [skip ci]"
        client, idle = self.http(), _IDLE.get(self.settings.system)
        progress = Progress(self.state, payload["delivery_id"])
        for update in wanted[progress.done :]:
            call = SYSTEMS[self.settings.system](self.settings, payload, update)
            headers, data = call.headers, call.data
            if call.form is not None:
                data = urlencode(call.form).encode()
                kind = "application/x-www-form-urlencoded"
                headers = {**headers, "Content-Type": kind}
            answer = client.call(
                "POST",
                self.settings.url.rstrip("/") + call.path,
                json=call.json,
                data=data,
                params=call.query,
                headers=headers,
            )
            if self.settings.system == "sourcehut" and answer.json().get("errors"):
                raise Reject(one_line(json.dumps(answer.json()["errors"])))
            progress.step(["idle"] if idle and idle(answer) else ())
        progress.end()
        names = [one_line(each["name"], 40) for each in wanted]
        idle_ones = [names[number] for number in sorted(progress.later)]
        started = [name for name in names if name not in idle_ones]
        said = [f"started {', '.join(started)}"] if started else []
        if idle_ones:
            what = f"{self.settings.system} has nothing to build"
            said.append(f"{what} for {', '.join(idle_ones)}")
        return "; ".join(said)

    def _wanted(self, payload: dict[str, Any]) -> list[dict[str, Any]]:
        """The updates to build: no deletes, and nothing that asks not to be built."""
        if "ci.skip" in payload["push_options"]:
            return []
        messages = {
            commit["raw_node"]: commit["message"]
            for key in ("commits", "merged")
            for commit in payload[key]
        }
        moved = moves(payload)
        deleted = {update["ref"] for update in moved if update["deleted"]}
        return [
            update
            for update in moved
            if update["kind"] != "other"
            and update["ref"] not in deleted
            and not _SKIP.search(messages.get(update["new"], ""))
        ]


def _about(payload: dict[str, Any], update: dict[str, Any]) -> dict[str, str]:
    """What a build is told, whatever its server calls it. No server drops a second
    request for the same push, so it gets the delivery's id to do so itself.
    """
    return {
        "branch": update["name"],
        "commit": update["new"],
        "ref": update["ref"],
        "repository": payload["repository"]["full_name"],
        "OBERONC_DELIVERY_ID": payload["delivery_id"],
    }


def _brought(payload: dict[str, Any], update: dict[str, Any]) -> list[dict[str, Any]]:
    """The commits that *update* brought, not those of other refs of the push."""
    if update["kind"] != "branch":
        return []
    own = [c for c in payload["commits"] if c["branch"] == update["name"]]
    merged: list[dict[str, Any]] = payload["merged"] if update["publish"] else []
    return own or merged


def _basic(settings: Any) -> dict[str, str]:
    known = b64encode(f"{settings.user}:{settings.token}".encode()).decode()
    return {"Authorization": f"Basic {known}"} if settings.token else {}


def _bearer(settings: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.token}"} if settings.token else {}


def _jobs(job: str) -> str:
    """A job of Jenkins, in its folders."""
    return "".join(f"/job/{quote(name, safe='')}" for name in job.split("/"))


def _jenkins(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """www.jenkins.io/doc/book/using/remote-access-api"""
    parameters = {**_about(payload, update), **settings.parameters}
    path = f"{_jobs(settings.job)}/buildWithParameters"
    return Call(path, _basic(settings), form=parameters)


def _jenkins_git(
    settings: Any, payload: dict[str, Any], update: dict[str, Any]
) -> Call:
    """plugins.jenkins.io/git, "Push notification from repository"; `job` is the address
    by which the jobs clone.
    """
    about = {
        "url": settings.job,
        "branches": update["name"],
        "sha1": update["new"],
        "token": str(settings.token or ""),
    }
    return Call("/git/notifyCommit", form=about)


def _buildbot(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """docs.buildbot.net, "Change Hooks", base; `job` is the project."""
    commits = _brought(payload, update)
    newest = commits[-1] if commits else {}
    files = dict.fromkeys(each["file"] for c in commits for each in c["files"])
    about = {
        "revision": update["new"],
        "branch": update["name"],
        "author": newest.get("raw_author") or payload["user"] or "nobody",
        "comments": newest.get("message") or f"{update['ref']} moved",
        "repository": payload["repository"]["website"]
        or payload["repository"]["full_name"],
        "project": settings.job,
        "revlink": newest.get("url") or "",
        "files": json.dumps(list(files)[:1000]),
        "properties": json.dumps({**settings.parameters, **_about(payload, update)}),
    }
    return Call("/change_hook/base", _basic(settings), form=about)


def _woodpecker(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """woodpecker-ci.org/api; `job` is the repository's number there."""
    variables = {**_about(payload, update), **settings.parameters}
    body = {"branch": update["name"], "variables": variables}
    where = f"/api/repos/{quote(settings.job, safe='')}/pipelines"
    return Call(where, _bearer(settings), body)


def _drone(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """docs.drone.io/api/builds/build_create; `job` is owner/name."""
    about = {**_about(payload, update), **settings.parameters}
    return Call(
        f"/api/repos/{quote(settings.job)}/builds", _bearer(settings), query=about
    )


def _gitlab(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """docs.gitlab.com/api/pipeline_triggers; `job` is the project, by id or path."""
    about = {**_about(payload, update), **settings.parameters}
    variables = {f"variables[{name}]": value for name, value in about.items()}
    form = {"token": str(settings.token or ""), "ref": update["name"], **variables}
    where = f"/api/v4/projects/{quote(settings.job, safe='')}/trigger/pipeline"
    return Call(where, form=form)


def _github(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """docs.github.com/rest/repos, "Create a repository dispatch event"; `job` is
    owner/name, and at most ten values are taken.
    """
    about = {**_about(payload, update), **settings.parameters}
    body = {"event_type": "push", "client_payload": dict(list(about.items())[:10])}
    return Call(f"/repos/{quote(settings.job)}/dispatches", _bearer(settings), body)


def _buildkite(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """buildkite.com/docs/apis/rest-api/builds; `job` is organisation/pipeline."""
    organisation, _, pipeline = settings.job.partition("/")
    where = (
        f"/v2/organizations/{quote(organisation)}/pipelines/{quote(pipeline)}/builds"
    )
    body = {
        "commit": update["new"],
        "branch": update["name"],
        "message": f"{update['ref']} moved",
        "env": {**_about(payload, update), **settings.parameters},
    }
    return Call(where, _bearer(settings), body)


def _teamcity(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """jetbrains.com/help/teamcity/rest, "Start and cancel builds"; `job` is the id of
    the build configuration.
    """
    about = {**_about(payload, update), **settings.parameters}
    properties = [{"name": f"env.{k}", "value": v} for k, v in about.items()]
    body = {
        "branchName": update["name"],
        "buildType": {"id": settings.job},
        "properties": {"property": properties},
    }
    headers = {"Accept": "application/json", **_bearer(settings)}
    return Call("/app/rest/buildQueue", headers, body)


def _sourcehut(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """man.sr.ht/builds.sr.ht/graphql.md"""
    asked = (
        "mutation($m: String!, $n: String) { submit(manifest: $m, note: $n) { id } }"
    )
    note = one_line(f"{payload['repository']['full_name']} {update['name']}")
    variables = {"m": settings.manifest, "n": f"{note} {update['new']}"}
    return Call("/query", _bearer(settings), {"query": asked, "variables": variables})


def _argocd(settings: Any, payload: dict[str, Any], update: dict[str, Any]) -> Call:
    """argo-cd.readthedocs.io, "Git Webhook Configuration", which reads GitHub's push."""
    body = json.dumps(push(payload, update)).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": payload["delivery_id"],
    }
    if settings.token:
        mac = hmac.new(settings.token.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Hub-Signature-256"] = f"sha256={mac}"
    return Call("/api/webhook", headers, data=body)


SYSTEMS: dict[str, Callable[[Any, dict[str, Any], dict[str, Any]], Call]] = {
    "jenkins": _jenkins,
    "jenkins-git": _jenkins_git,
    "buildbot": _buildbot,
    "woodpecker": _woodpecker,
    "drone": _drone,
    "gitlab": _gitlab,
    "github": _github,
    "buildkite": _buildkite,
    "teamcity": _teamcity,
    "sourcehut": _sourcehut,
    "argocd": _argocd,
}
#: {system: (path, headers) of a GET that needs the token and the job}; the others have
#: none: their secrets are only good for starting a build.
_READABLE: dict[str, Callable[[Any], tuple[str, dict[str, str]]]] = {
    "jenkins": lambda given: (f"{_jobs(given.job)}/api/json", _basic(given)),
    "woodpecker": lambda given: (
        f"/api/repos/{quote(given.job, safe='')}",
        _bearer(given),
    ),
    "drone": lambda given: (f"/api/repos/{quote(given.job)}", _bearer(given)),
    "github": lambda given: (f"/repos/{quote(given.job)}", _bearer(given)),
    "buildkite": lambda given: (
        "/v2/organizations/{}/pipelines/{}".format(
            *map(quote, given.job.partition("/")[::2])
        ),
        _bearer(given),
    ),
    "teamcity": lambda given: (
        f"/app/rest/buildTypes/id:{quote(given.job, safe='')}",
        {"Accept": "application/json", **_bearer(given)},
    ),
}
#: How a server says that it took the request and builds nothing.
_IDLE: dict[str, Callable[[Answer], bool]] = {
    # nothing in the repository's pipelines is for this branch
    "woodpecker": lambda answer: answer.status == 204,
    # "No git jobs using repository ..." may stand beside "Scheduled indexing of shop"
    "jenkins-git": lambda answer: (
        answer.text.startswith("No ") and "Scheduled" not in answer.text
    ),
}
_WITHOUT_JOB = ("buildbot", "sourcehut", "argocd")
