"""The door to git: what it reads of strange commits, and what no environment or
configuration can make it do.
"""

import os
from pathlib import Path

import pytest

from oberonc.errors import BadInput, ConfigError
from oberonc.process import git_environment
from oberonc.source import commits, git
from tests.support.pushes import fast_import
from tests.support.repo import Repo

WHO = b"Ann Example <ann@example.org> 1767261600 +0200"


def raw_commit(
    repo: Repo, message: bytes, headers: bytes = b"", who: bytes = WHO
) -> str:
    """Write a commit object byte for byte; returns its oid."""
    tree = repo.git("mktree", "--missing", GIT_DIR=str(repo.path / ".git"))
    raw = b"tree %s\nauthor %s\ncommitter %s\n%s\n%s" % (
        tree.encode(),
        who,
        who,
        headers,
        message,
    )
    (repo.path / "raw").write_bytes(raw)
    return repo.git("hash-object", "-t", "commit", "--literally", "-w", "raw")


def read(
    repo: Repo, *oids: str, message: int = 65536, files: int = 3000
) -> list[commits.Commit]:
    return list(git.Git(repo.path / ".git").log(oids, message, files))


def test_a_latin_1_message_is_read_as_its_header_says(repo: Repo) -> None:
    who = "Émile Zöla <ann@example.org> 1767261600 +0200".encode("latin-1")
    oid = raw_commit(
        repo, "café fixes #3\n".encode("latin-1"), b"encoding ISO-8859-1\n", who
    )
    (commit,) = read(repo, oid)
    assert commit.message == "café fixes #3\n"
    assert commit.author == "Émile Zöla"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"caf\xe9 fixes #3\n", "caf\ufffd fixes #3\n"),
        (
            bytes(range(1, 256)) * 3,
            (bytes(range(1, 256)) * 3).decode("utf-8", "replace"),
        ),
        (b"", ""),
        (b"\n\n", "\n\n"),
        (b"no newline", "no newline"),
        (b"one\r\ntwo\r\n", "one\r\ntwo\r\n"),
        (b"A\n", "A\n"),
        (b"M\n\nfile.txt\n", "M\n\nfile.txt\n"),
        (
            "\u202eevil\u202c \x1b[31mred \U0001f600".encode(),
            "\u202eevil\u202c \x1b[31mred \U0001f600",
        ),
    ],
    ids=[
        "invalid",
        "binary",
        "empty",
        "newlines",
        "unended",
        "crlf",
        "one letter",
        "like a status",
        "bidi and ansi",
    ],
)
def test_a_message_is_read_as_it_is_with_a_mark_for_each_byte_that_is_no_text(
    repo: Repo, raw: bytes, text: str
) -> None:
    before, oid, after = (
        raw_commit(repo, b"before"),
        raw_commit(repo, raw),
        raw_commit(repo, b"after"),
    )
    said = read(repo, before, oid, after)
    assert [c.message.rstrip("\n") for c in said] == [
        "before",
        text.rstrip("\n"),
        "after",
    ]
    assert [c.oid for c in said] == [before, oid, after]
    assert not any(c.cut for c in said)


def test_a_message_of_a_megabyte_is_cut_and_says_so(repo: Repo) -> None:
    oid = raw_commit(repo, "é".encode() * 500_000)
    after = raw_commit(repo, b"after")
    long, short = read(repo, oid, after, message=1001)
    assert long.message == "é" * 500
    assert long.cut
    assert (short.message.strip(), short.cut) == ("after", False)


def test_a_cut_keeps_what_is_no_text_anyway() -> None:
    assert commits.cut(b"\xff" * 10, 5) == "\ufffd" * 5
    assert commits.cut("aé".encode(), 2) == "a"
    assert commits.cut("aé".encode(), 3) == "aé"


@pytest.mark.parametrize(
    "who",
    [
        b"",
        b"nobody",
        b"<>",
        b"A <a@b>",
        b"A <a@b> x y",
        b"A <a@b> 99999999999999999999 +0200",
        b"A <a@b> -1 +9999",
    ],
)
def test_a_commit_with_a_broken_author_is_read(repo: Repo, who: bytes) -> None:
    (commit,) = read(repo, raw_commit(repo, b"message", who=who))
    assert commit.message.strip() == "message"
    assert isinstance(commit.author_date[0], int)


def test_names_of_files_are_never_quoted(repo: Repo) -> None:
    names = [
        "with space",
        'quo"te',
        "new\nline",
        "tab\t",
        "M",
        "caf\u00e9",
        "-rf",
        "a" * 200,
    ]
    for name in names:
        (repo.path / name).write_text("x")
    repo.git("add", "-A")
    first = repo.commit("names")
    repo.git("mv", "with space", "renamed")
    second = repo.commit("rename")
    one, two = read(repo, first, second)
    assert sorted(one.files) == sorted(("A", name) for name in [*names, "file.txt"])
    assert two.files == [("M", "file.txt"), ("A", "renamed"), ("D", "with space")]


def test_the_files_of_a_commit_are_cut_at_the_cap(repo: Repo) -> None:
    lines = b"".join(b"M 100644 inline d/%d\ndata 1\nx\n" % n for n in range(3500))
    fast_import(
        repo, b"commit refs/heads/many\ncommitter %s\ndata 4\nmany\n%s" % (WHO, lines)
    )
    many, after = read(repo, repo.git("rev-parse", "many"), raw_commit(repo, b"after"))
    assert (len(many.files), many.cut) == (3000, True)
    assert (len(after.files), after.cut) == (0, False)


HOSTILE = """[core]
	fsmonitor = touch PLACE/fsmonitor
	pager = touch PLACE/pager
	sshCommand = touch PLACE/ssh
	alternateRefsCommand = touch PLACE/alternates
	hooksPath = PLACE
	quotePath = true
[log]
	showSignature = true
	showRoot = false
	diffMerges = on
	mailmap = true
	follow = true
	decorate = full
	date = relative
[diff]
	external = touch PLACE/external
	noprefix = true
	renames = copies
	relative = true
	ignoreSubmodules = all
	orderFile = PLACE/order
	mnemonicPrefix = true
[diff "evil"]
	textconv = touch PLACE/textconv
	command = touch PLACE/command
[gpg]
	program = touch PLACE/gpg
[color]
	ui = always
[format]
	pretty = oneline
[pager]
	log = touch PLACE/pagerlog
[i18n]
	logOutputEncoding = UTF-16
	commitEncoding = EBCDIC-US
[notes]
	displayRef = refs/notes/*
[alias]
	log = !touch PLACE/alias
	rev-list = !touch PLACE/alias
[mailmap]
	file = PLACE/mailmap
"""


def test_no_configuration_of_the_repository_runs_anything_or_changes_what_is_read(
    repo: Repo, tmp_path: Path
) -> None:
    repo.commit("first", "a.txt")
    repo.commit("second", "b.txt")
    signed = raw_commit(
        repo,
        b"signed",
        b"gpgsig -----BEGIN PGP SIGNATURE-----\n nonsense\n -----END PGP SIGNATURE-----\n",
    )
    repo.git("mv", "a.txt", "c.txt")
    repo.commit("renamed")
    repo.git("notes", "add", "-m", "a note", "HEAD")
    oids = [*repo.git("rev-list", "HEAD").split(), signed]
    door = git.Git(repo.path / ".git")
    before = read(repo, *oids), door.refs(), door.rev_list(oids[:1], [], 10)
    place = tmp_path / "ran"
    place.mkdir()
    (place / "order").write_text("file.txt\n")
    (place / "mailmap").write_text("Somebody Else <ann@example.org>\n")
    (repo.path / ".git" / "info" / "attributes").write_text("* diff=evil\n")
    with (repo.path / ".git" / "config").open("a") as config:
        config.write(HOSTILE.replace("PLACE", str(place)))
    after = read(repo, *oids), door.refs(), door.rev_list(oids[:1], [], 10)
    assert after == before
    assert sorted(path.name for path in place.iterdir()) == ["mailmap", "order"]


@pytest.mark.parametrize(
    "known", [True, False], ids=["git knows GIT_NO_LAZY_FETCH", "an older git"]
)
@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch RAN'",
        "file://SOURCE",
        "SOURCE",
        "ssh://host/x",
        "git://127.0.0.1/x",
        "evil::x",
    ],
)
def test_a_missing_object_makes_git_run_and_fetch_nothing(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, known: bool
) -> None:
    oid = repo.commit("one", "a.txt")
    source, ran = tmp_path / "source", tmp_path / "ran"
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(source))
    tree = repo.git("rev-parse", "HEAD^{tree}").strip()
    (repo.path / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    helper = tmp_path / "bin" / "git-remote-evil"
    helper.parent.mkdir()
    helper.write_text(f"#!/bin/sh\ntouch {ran}\n")
    helper.chmod(0o755)
    with (repo.path / ".git" / "config").open("a") as config:
        config.write(
            "[core]\n\trepositoryFormatVersion = 1\n"
            f"\tsshCommand = touch {ran};\n\tgitProxy = touch {ran}\n\talternateRefsCommand = touch {ran}\n"
            "[extensions]\n\tpartialClone = origin\n[protocol]\n\tallow = always\n"
            f'[remote "origin"]\n\tpromisor = true\n\tuploadpack = touch {ran};\n'
            f"\turl = {url.replace('RAN', str(ran)).replace('SOURCE', str(source))}\n"
        )
    ours = git_environment() | {"PATH": f"{helper.parent}:{os.environ['PATH']}"}
    if not known:
        del ours["GIT_NO_LAZY_FETCH"]
    monkeypatch.setattr(git, "git_environment", lambda: ours)
    with pytest.raises(BadInput):
        read(repo, oid)
    assert not ran.exists()
    assert not (repo.path / ".git" / "objects" / tree[:2] / tree[2:]).exists()


def test_a_replaced_commit_is_read_as_it_was_pushed(repo: Repo) -> None:
    oid, other = repo.commit("real"), repo.commit("other")
    repo.git("replace", oid, other)
    assert read(repo, oid)[0].message == "real\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_DIR", "/nowhere"),
        ("GIT_WORK_TREE", "/nowhere"),
        ("GIT_INDEX_FILE", "/nowhere"),
        ("GIT_OBJECT_DIRECTORY", "/nowhere"),
        ("GIT_CONFIG_COUNT", "nonsense"),
        ("GIT_CONFIG_PARAMETERS", "'broken"),
        ("GIT_NAMESPACE", "other"),
        ("GIT_TRACE", "2"),
        ("GIT_EXTERNAL_DIFF", "false"),
        ("GIT_PAGER", "false"),
        ("PATH", ""),
    ],
)
def test_no_variable_of_the_caller_reaches_git(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    oid = repo.commit("one")
    monkeypatch.setenv(name, value)
    assert read(repo, oid)[0].files == [("A", "file.txt")]
    assert git.Git(repo.path / ".git").head_ref() == "refs/heads/main"


def test_the_environment_of_children_holds_no_git_variable_of_the_hook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GIT_DIR", "GIT_QUARANTINE_PATH", "GIT_PUSH_OPTION_0", "GIT_PREFIX"):
        monkeypatch.setenv(name, "x")
    ours = {"GIT_ALLOW_PROTOCOL", "GIT_NO_LAZY_FETCH", "GIT_NO_REPLACE_OBJECTS"}
    ours |= {"GIT_OPTIONAL_LOCKS", "GIT_TERMINAL_PROMPT"}
    said = {name for name in git_environment() if name.startswith("GIT_")}
    assert said <= ours | {
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_EXEC_PATH",
    }


def test_a_git_that_warns_without_end_does_not_block(repo: Repo) -> None:
    oid = repo.commit("one")
    refs = repo.path / ".git" / "refs" / "heads"
    for n in range(1500):
        (refs / f"broken-{n:04}-{'x' * 40}").write_text("")
    assert set(git.Git(repo.path / ".git").refs()) == {"refs/heads/main"}
    door = git.Git(repo.path / ".git")
    assert door.rev_list([oid], [f"{n:040x}" for n in range(1, 3000)], 10) == (
        {oid: []},
        1,
    )


@pytest.mark.parametrize(
    "rev",
    [
        "^HEAD",
        "--all",
        "--output=x",
        "-h",
        "",
        "HEAD..HEAD",
        "HEAD^@",
        ":file.txt",
        "@{u}",
    ],
)
def test_what_names_no_commit_peels_to_nothing(repo: Repo, rev: str) -> None:
    repo.commit("one")
    repo.commit("two")
    assert git.Git(repo.path / ".git").peel(rev) == ""


def test_many_are_peeled_by_one_child(repo: Repo) -> None:
    oid = repo.commit("one")
    repo.git("tag", "-am", "x", "inner")
    repo.git("tag", "-am", "y", "outer", "inner")
    outer, tree = repo.git("rev-parse", "outer"), repo.git("rev-parse", "HEAD^{tree}")
    door = git.Git(repo.path / ".git")
    assert door.peel_all([outer, tree, "1" * 40, oid]) == {outer: oid, oid: oid}
    assert door.peel_all([]) == {}


def test_configuration_is_read_as_git_reads_it(repo: Repo) -> None:
    with (repo.path / ".git" / "config").open("a") as config:
        config.write(
            '[Oberonc]\n\tService = one\n\tservice = "two\\nlines"\n\tenabled\n[a "B.c"]\n\tD = e\n'
        )
    said = git.Git(repo.path / ".git").config()
    assert said["oberonc.service"] == ["one", "two\nlines"]
    assert said["oberonc.enabled"] == ["true"]
    assert said["a.B.c.d"] == ["e"]


def test_a_missing_repository_and_a_missing_git_are_told_apart(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"git in .*gone: not a git repository"):
        git.Git(tmp_path / "gone").refs()
    with pytest.raises(BadInput, match=r"git in .*home: not a git repository"):
        git.Git(tmp_path / "home").refs()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="it is not on PATH"):
        git.Git(repo.path / ".git").config()


def test_reading_may_stop_early(repo: Repo) -> None:
    oids = [repo.commit(f"step {n}") for n in range(3)]
    reader = git.Git(repo.path / ".git").log(oids, 100, 100)
    assert next(iter(reader)).oid == oids[0]
    reader.close()


def test_an_unknown_oid_is_an_error_in_one_line(repo: Repo) -> None:
    repo.commit("one")
    with pytest.raises(BadInput) as caught:
        read(repo, "1" * 40)
    assert "\n" not in str(caught.value)
    assert os.fspath(repo.path) in str(caught.value)
