"""What a repository is called, what its default branch is, where its links lead, and
who pushed.
"""

import getpass
from pathlib import Path

import pytest

from oberonc.errors import BadInput, ConfigError
from oberonc.source import git, repository
from oberonc.source.repository import Repository
from tests.support.pushes import Server
from tests.support.repo import Repo


def described(repo: Repo, *publish: str) -> Repository:
    return repository.describe(repository.find_git_dir(repo.path), publish or ("HEAD",))


def test_a_folder_gives_the_name(bare: Repo, repo: Repo) -> None:
    assert described(bare).full_name == "shop"
    assert described(repo).full_name == "app"


def test_a_linked_work_tree_is_called_like_its_repository(
    repo: Repo, tmp_path: Path
) -> None:
    repo.commit("one")
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "topic")
    linked = described(Repo(tmp_path / "linked"))
    assert linked.full_name == "app"
    assert linked.default_ref == "refs/heads/main"
    assert repository.full_name(tmp_path / "linked") == "app"


def test_a_work_tree_of_a_bare_repository_has_the_bare_ones_name_and_head(
    bare: Repo, tmp_path: Path
) -> None:
    bare.clone(tmp_path / "work").commit("one")
    Repo(tmp_path / "work").push("main")
    bare.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "topic")
    linked = described(Repo(tmp_path / "linked"))
    assert (linked.full_name, linked.default_ref) == ("shop", "refs/heads/main")


def test_a_submodule_is_called_like_what_it_was_cloned_from(
    repo: Repo, tmp_path: Path
) -> None:
    inner = Repo.init(tmp_path / "inner")
    inner.commit("one")
    repo.git("submodule", "--quiet", "add", str(inner.path), "libs/tool")
    found = described(Repo(repo.path / "libs" / "tool"))
    assert found.full_name == "inner"
    assert found.git.git_dir == str(repo.path / ".git" / "modules" / "libs" / "tool")


def test_a_separate_git_dir_does_no_harm(tmp_path: Path) -> None:
    repo = Repo.init(
        tmp_path / "app", False, f"--separate-git-dir={tmp_path / 'elsewhere.git'}"
    )
    assert described(repo).full_name == "elsewhere"


@pytest.mark.parametrize(
    ("env", "name", "user"),
    [
        ({"GL_REPO": "team/tool", "GL_USER": "ann"}, "team/tool", "ann"),
        (
            {
                "GITEA_REPO_USER_NAME": "web",
                "GITEA_REPO_NAME": "shop",
                "GITEA_PUSHER_NAME": "bob",
            },
            "web/shop",
            "bob",
        ),
        ({"GITEA_REPO_NAME": "shop"}, "shop", getpass.getuser()),
        (
            {
                "GL_PROJECT_PATH": "group/sub/tool",
                "GL_USERNAME": "eve",
                "GL_ID": "user-1",
            },
            "group/sub/tool",
            "eve",
        ),
        ({"GL_REPO": "/team/tool.git/"}, "team/tool", getpass.getuser()),
        ({"GL_REPO": "\x1b[31m"}, "shop", getpass.getuser()),
        ({"GL_REPO": "x" * 600}, "shop", getpass.getuser()),
        ({"GL_REPO": "caf\udce9", "GL_USER": "\udce9"}, "caf\ufffd", "\ufffd"),
        ({"REMOTE_USER": "web-user"}, "shop", "web-user"),
    ],
    ids=[
        "gitolite",
        "gitea",
        "gitea, no owner",
        "gitlab",
        "slashes",
        "control",
        "long",
        "bytes",
        "http",
    ],
)
def test_servers_say_the_name_and_who_pushed(
    home: Path, bare: Repo, env: dict[str, str], name: str, user: str
) -> None:
    server = Server(home, bare)
    server.work.commit("one")
    payload = server.push("main", **env)
    assert payload["repository"]["full_name"] == name
    assert payload["user"] == user


def test_git_config_names_the_repository_before_the_server_does(
    bare: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GL_REPO", "team/tool")
    bare.git("config", "gitlab.fullpath", "hashed/path")
    assert described(bare).full_name == "team/tool"
    bare.git("config", "oberonc.name", "web/shop")
    assert described(bare).full_name == "web/shop"
    assert described(bare).owner == "web"
    bare.git("config", "oberonc.owner", "Web Team")
    assert described(bare).as_payload()["owner"] == "Web Team"
    monkeypatch.delenv("GL_REPO")
    bare.git("config", "--unset", "oberonc.name")
    assert described(bare).full_name == "hashed/path"


@pytest.mark.parametrize(
    ("config", "env", "base", "link"),
    [
        ({}, {}, "", ""),
        (
            {"oberonc.url": "https://git.example.org/"},
            {},
            "https://git.example.org",
            "/web/shop/commit/{oid}",
        ),
        (
            {"oberonc.url": "https://x.org/web/shop"},
            {},
            "https://x.org",
            "/web/shop/commit/{oid}",
        ),
        (
            {},
            {"GITEA_ROOT_URL": "https://gitea.org/"},
            "https://gitea.org",
            "/web/shop/commit/{oid}",
        ),
        (
            {"oberonc.url": "https://lab.org"},
            {"GL_PROJECT_PATH": "web/shop"},
            "https://lab.org",
            "/web/shop/-/commit/{oid}",
        ),
    ],
)
def test_links_follow_the_server(
    bare: Repo,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, str],
    env: dict[str, str],
    base: str,
    link: str,
) -> None:
    for key, value in ({"oberonc.name": "web/shop"} | config).items():
        bare.git("config", key, value)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    found = described(bare)
    assert found.canon_url == base
    assert found.link == (base + link if link else "")
    assert found.as_payload()["website"] == (f"{base}/web/shop" if base else "")


def test_the_default_branch_of_a_bare_repository_is_what_its_head_names(
    bare: Repo,
) -> None:
    assert (described(bare).default_ref, described(bare).default_exists) == (
        "refs/heads/main",
        False,
    )
    bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    assert described(bare).default_ref == "refs/heads/trunk"
    bare.git("config", "oberonc.defaultBranch", "refs/heads/stable")
    assert described(bare).default_ref == "refs/heads/stable"


@pytest.mark.parametrize("boolean", ["true", "TRUE", "yes", "on", "1", None])
def test_every_spelling_of_bare_counts(bare: Repo, boolean: str | None) -> None:
    bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    text = (bare.path / "config").read_text()
    (bare.path / "config").write_text(
        text.replace("bare = true", "bare" if boolean is None else f"bare = {boolean}")
    )
    assert described(bare).bare
    assert described(bare).default_ref == "refs/heads/trunk"


def test_a_bare_head_without_a_branch_is_said_in_the_one_line(
    home: Path, bare: Repo
) -> None:
    bare.git("symbolic-ref", "HEAD", "refs/heads/master")
    server = Server(home, bare)
    server.work.sh("git checkout -q -B main")
    server.work.commit("one")
    payload = server.push("main")
    assert payload["published"] == []
    (line,) = [line for line in server.said.splitlines() if "oberonc" in line]
    assert "HEAD names refs/heads/master, which does not exist" in line
    assert "git symbolic-ref HEAD refs/heads/main" in line
    bare.git("symbolic-ref", "HEAD", "refs/heads/main")
    server.work.commit("two")
    server.push("main")
    assert "HEAD names" not in server.said


def test_a_bare_head_that_publishes_nothing_anyway_is_not_complained_about(
    home: Path, bare: Repo
) -> None:
    bare.git("symbolic-ref", "HEAD", "refs/heads/master")
    bare.git("config", "oberonc.publish", "main")
    server = Server(home, bare)
    server.work.sh("git checkout -q -B main")
    oid = server.work.commit("one")
    assert server.push("main")["published"] == [oid]
    assert "HEAD names" not in server.said


def test_the_default_branch_of_a_work_tree_is_never_merely_what_is_checked_out(
    repo: Repo,
) -> None:
    repo.commit("one")
    repo.git("checkout", "-q", "-b", "topic")
    assert described(repo).default_ref == "refs/heads/main"
    repo.git("branch", "trunk")
    repo.git("config", "init.defaultBranch", "trunk")
    assert described(repo).default_ref == "refs/heads/trunk"
    repo.git("config", "oberonc.defaultBranch", "topic")
    assert described(repo).default_ref == "refs/heads/topic"


def test_without_the_configured_name_main_or_master_counts(repo: Repo) -> None:
    repo.git("config", "init.defaultBranch", "gone")
    repo.commit("one")
    assert described(repo).default_ref == "refs/heads/main"
    repo.git("branch", "-m", "main", "master")
    assert described(repo).default_ref == "refs/heads/master"
    repo.git("branch", "-m", "master", "other")
    assert (described(repo).default_ref, described(repo).default_exists) == (
        "refs/heads/gone",
        False,
    )


def test_a_clone_follows_the_head_of_its_origin_also_when_refs_are_packed(
    repo: Repo, tmp_path: Path
) -> None:
    repo.git("checkout", "-q", "-b", "trunk")
    repo.commit("one")
    clone = repo.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "-b", "main")
    assert described(clone).default_ref == "refs/heads/trunk"
    clone.git("pack-refs", "--all")
    assert described(clone).default_ref == "refs/heads/trunk"


def test_publish_refs_come_from_the_repository_before_the_configuration(
    bare: Repo,
) -> None:
    found = described(bare, "HEAD", "release/*")
    assert found.publishes("refs/heads/main")
    assert found.publishes("refs/heads/release/1")
    assert not found.publishes("refs/heads/release/1/fix")
    bare.git("config", "--add", "oberonc.publish", "stable")
    bare.git("config", "--add", "oberonc.publish", "refs/heads/v*")
    found = described(bare, "HEAD")
    assert [
        found.publishes(f"refs/heads/{name}") for name in ("main", "stable", "v2")
    ] == [False, True, True]


def test_services_and_enabled_come_from_git_config(bare: Repo) -> None:
    assert described(bare).services is None
    assert repository.is_enabled(git.Git(bare.path).config())
    bare.git("config", "--add", "oberonc.service", "chat")
    bare.git("config", "--add", "oberonc.service", "issues")
    assert described(bare).as_payload()["services"] == ["chat", "issues"]
    for value, enabled in (
        ("false", False),
        ("OFF", False),
        ("0", False),
        ("no", False),
        ("true", True),
        ("", True),
    ):
        bare.git("config", "oberonc.enabled", value)
        assert repository.is_enabled(git.Git(bare.path).config()) is enabled, value


def test_a_repository_is_found_from_below_and_from_inside(repo: Repo) -> None:
    below = repo.path / "a" / "b"
    below.mkdir(parents=True)
    assert repository.find_git_dir(below) == str(repo.path / ".git")
    assert repository.find_git_dir(repo.path / ".git" / "refs") == str(
        repo.path / ".git"
    )


def test_a_folder_without_a_repository_and_a_missing_git_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="is not in a git repository"):
        repository.find_git_dir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="cannot find git"):
        repository.find_git_dir(tmp_path)


def test_a_folder_with_strange_letters_is_a_repository(
    home: Path, tmp_path: Path
) -> None:
    place = tmp_path / "a 'quoted' \u00e9 $(x)\n.git"
    server = Server(home, Repo.init(place, bare=True))
    server.work.commit("one")
    assert server.push("main")["repository"]["full_name"] == "a 'quoted' \u00e9 $(x)_"
