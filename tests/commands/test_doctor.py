"""`oberonc doctor`: each fault is found, and the command that mends it is named."""

from pathlib import Path

import pytest

from oberonc import rights
from oberonc.admin.doctor.examine import examine
from oberonc.delivery import spool
from tests.support.admin import Admin, sample
from tests.support.command import Command
from tests.support.repo import Repo


def _wrong(oberonc: Command, cwd: Path, code: int = 1, **env: str) -> dict[str, str]:
    found = oberonc("doctor", "--json", cwd=cwd, code=code, env=env).json
    return {row["what"]: row["mend"] for row in found if row["ok"] is False}


def test_a_good_installation_has_nothing_to_mend(bare: Repo, oberonc: Command) -> None:
    oberonc("hook", "install", bare.path)
    assert _wrong(oberonc, bare.path, code=0) == {}
    assert "FAIL" not in oberonc("doctor", cwd=bare.path).out


def test_a_broken_configuration_is_the_last_thing_looked_at(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    file = admin.configure("delivry = 1")
    mend = "put right what is named: the file's text, its owner or its mode"
    assert _wrong(oberonc, tmp_path) == {
        f"{file}: unknown key 'delivry'; did you mean 'delivery'?": mend
    }


def test_a_machines_file_that_others_cannot_read_is_found_by_who_can(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner's own commands work, and everybody's hooks and the next start of the
    daemon do not.
    """
    monkeypatch.setattr("oberonc.paths.SYSTEM", short_dir)
    monkeypatch.delenv("OBERONC_CONFIG_NOSYSTEM", raising=False)
    monkeypatch.chdir(short_dir)
    short_dir.chmod(0o755)
    if rights.hurdle(short_dir, rights.EVERYBODY, 1):
        pytest.skip("the folder for temporary files is closed to others")
    file = short_dir / "config.toml"
    file.write_text(f'state = "{short_dir}/state"\n')
    for mode, found in (
        (0o644, []),
        (0o640, [f"{file} cannot be read by everybody, because of {file} (mode 0640)"]),
    ):
        file.chmod(mode)
        assert [
            each.what
            for each in examine(None)
            if not each.ok and "read by" in each.what
        ] == found


def test_folders_services_and_brokers_are_looked_at(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    admin.broker("loose", "").chmod(0o666)
    admin.handle(
        "b",
        "pass",
        "def check(self):\n    return [Check(False, 'the server answers', 'start it')]",
    )
    (tmp_path / "file").touch()
    admin.state.mkdir(parents=True)
    admin.state.chmod(0o755)
    admin.configure(
        f"spool = '{tmp_path}/file/spool'\n"
        "[services.a]\nbroker = 'b'\n[services.c]\nbroker = 'isues'\n"
        "[services.d]\nbroker = 'issues'\ntoken = 'env:MISSING'\n[services.e]\nbroker = 'issues'\nurll = 'x'"
    )
    wrong = _wrong(oberonc, tmp_path)
    text = str(wrong)
    assert wrong["service a: the server answers"] == "start it"
    assert (
        wrong[f"state folder {admin.state} is open to everybody"]
        == f"chmod o-rwx {admin.state}"
    )
    assert f"spool folder {tmp_path}/file/spool cannot be written" in wrong
    assert "did you mean 'issues'?" in text
    assert "the environment has no MISSING" in text
    assert "unknown setting 'urll'; did you mean 'url'?" in text
    assert "chmod go-w" in text


def test_hooks_and_the_default_branch_are_looked_at(
    bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    oberonc("hook", "install", bare.path)
    (bare.path / "hooks" / "post-receive").chmod(0o644)
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    work.git("push", "-q", "origin", "HEAD:refs/heads/trunk")
    wrong = _wrong(oberonc, bare.path)
    assert (
        "symbolic-ref HEAD refs/heads/NAME"
        in wrong["default branch refs/heads/main exists"]
    )
    assert [mend for what, mend in wrong.items() if "not run by git" in what] == [
        "oberonc hook install"
    ]
    bare.git("config", "core.hooksPath", str(tmp_path))
    assert [what for what in _wrong(oberonc, bare.path) if "git never runs" in what]


def test_what_waits_or_was_given_up_is_said(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    folder = admin.state / "spool"
    entry = {"payload": sample(), "services": None}
    spool.put(folder, entry)
    spool.reject(spool.put(folder, entry), "why")
    spool.bury(folder, entry["payload"], "svc")  # type: ignore[arg-type]
    wrong = _wrong(oberonc, tmp_path)
    assert wrong[f"1 push not taken in yet, in {folder}"] == "oberonc send --spooled"
    assert f"{folder / 'bad'} holds 1 file that could not be read" in wrong
    assert (
        "oberonc send --payload"
        in wrong[f"{folder / 'dead'} holds 1 delivery given up"]
    )


def test_a_missing_git_is_said(oberonc: Command, tmp_path: Path) -> None:
    assert (
        _wrong(oberonc, tmp_path, PATH="/none")["git is not on PATH"] == "install git"
    )
