"""`oberonc brokers`: list, show, run and test."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oberonc import config
from oberonc.broker import registry
from oberonc.issues.embedded import IssueFile
from tests.support.admin import HEAD, Admin, sample
from tests.support.command import Command
from tests.support.terminal import Shown, on_terminal


def test_the_list_has_brokers_services_and_what_is_wrong(
    admin: Admin, oberonc: Command
) -> None:
    admin.broker(
        "fine",
        'class Found(BaseBroker):\n    """Does it."""\n    def handle(self, payload): pass\n',
    )
    admin.broker("broken", "x = (\n")
    loose = admin.broker("loose", "")
    loose.chmod(0o666)
    admin.configure(
        "[services.a]\nbroker = 'fine'\npassword = 'plain'\n[services.b]\nbroker = 'fin'\n"
    )
    said = oberonc("brokers", "--json").json
    assert said["brokers"]["fine"]["does"] == "Does it."
    assert "broken.py:2" in said["brokers"]["broken"]["error"]
    assert "chmod go-w" in said["problems"][str(loose)]
    assert said["services"]["a"]["settings"] == {"password": "***"}
    assert "did you mean 'fine'?" in said["services"]["b"]["state"]
    text = oberonc("brokers").out
    assert "Does it." in text
    assert "service a: broker fine" in text
    assert "plain" not in text


def test_show_tells_settings_of_a_broker_and_of_a_service(
    admin: Admin, oberonc: Command
) -> None:
    admin.handle(
        "b",
        "pass",
        "timeout = 5\nclass Settings:\n    url: str\n    token: Secret | None = None",
    )
    admin.configure(
        "[services.a]\nbroker = 'b'\nurl = 'https://u:p@x.example'\ntoken = 'env:T'"
    )
    assert "url  (str, required)" in oberonc("brokers", "show", "b").out
    assert "time limit 5 s" in oberonc("brokers", "show", "b").out
    said = oberonc("brokers", "show", "a", "--json").json
    assert said["settings"]["url"]["value"] == "https://***@x.example"
    assert said["settings"]["token"]["value"] == "env:T"
    assert "did you mean 'issues'?" in oberonc("brokers", "show", "isues", code=2).err


def test_run_takes_the_sample_settings_and_a_folder(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "my brokers"
    folder.mkdir()
    body = "print('printed')\n        return repr(payload['service']) + payload['repository']['full_name']"
    (folder / "issues.py").write_text(
        f"{HEAD}class Found(BaseBroker):\n    def handle(self, payload):\n        {body}\n"
    )
    given = [
        "--set",
        "n=3",
        "--set",
        "t=some text",
        "--set",
        "when=2026-01-01",
        "--set",
        "k=env:HOME",
        "--set",
        "e=",
    ]
    said = oberonc(
        "brokers", "run", "issues", "--yes", "--directory", folder, *given
    ).out
    assert said.startswith(
        "printed\nissues: done: {'n': 3, 't': 'some text', 'when': '2026-01-01'"
    )
    assert "'k': Secret('***')" in said
    assert str(admin.home) not in said


def test_run_is_exit_1_where_it_does_not_end_well(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    admin.handle("b", "raise Reject('never ' + payload['user'])")
    file = tmp_path / "p.json"
    file.write_text(__import__("json").dumps(sample(user="ann")))
    assert (
        "b: dead: never ann"
        in oberonc("brokers", "run", "b", "--payload", file, code=1).out
    )
    assert (
        oberonc("brokers", "run", "b", "--yes", "--json", code=1).json["kind"] == "dead"
    )


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["run", "nosuch"], 2, "there is no broker or service called 'nosuch'"),
        (["run", "issues", "--directory", "none"], 65, "is not a folder"),
        (["run", "issues", "--set", "x"], 2, "--set wants KEY=VALUE"),
        (["run", "issues", "--set", "=x"], 2, "--set wants KEY=VALUE"),
        (
            ["run", "issues", "--set", "token=file:none"],
            78,
            "file: wants an absolute path",
        ),
        (["run", "loose"], 78, "chmod go-w"),
        (["run", "broken"], 78, "broken.py:2"),
        (["test", "nosuch"], 2, "there is no service called 'nosuch'"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    admin: Admin, oberonc: Command, args: list[str], code: int, said: str
) -> None:
    admin.broker("loose", "").chmod(0o666)
    admin.broker("broken", "x = (\n")
    done = oberonc("brokers", *args, code=code)
    assert said in done.err
    assert done.err.count("\n") == 1


def test_test_proves_a_service_and_tells_what_mends_it(
    admin: Admin, oberonc: Command
) -> None:
    admin.handle(
        "b",
        "pass",
        "class Settings:\n    n: int = 1\ndef check(self): return [Check(self.settings.n == 1, 'n is 1', 'set n')]",
    )
    admin.configure(
        "[services.a]\nbroker = 'b'\n[services.c]\nbroker = 'b'\nn = 2\n[services.d]\nbroker = 'b'\nm = 2"
    )
    assert oberonc("brokers", "test", "a").out.splitlines()[-1] == "ok    n is 1"
    failed = oberonc("brokers", "test", "c", code=1).out
    assert "FAIL  n is 1\n      mend: set n\n" in failed
    assert "unknown setting 'm'" in oberonc("brokers", "test", "d", code=1).out
    assert oberonc("brokers", "test", "c", "--json", code=1).json[-1] == {
        "ok": False,
        "what": "n is 1",
        "mend": "set n",
    }


def test_a_test_is_sent_only_when_asked_for_and_when_all_is_well(
    admin: Admin, oberonc: Command
) -> None:
    checks = "def check(self): return [Check(self.settings.n == 1, 'n is 1', 'set n')]"
    keep = "open(DONE, 'a').write(payload['event'] + payload['id'] + '\\n')"
    admin.handle("b", keep, f"class Settings:\n    n: int = 1\n{checks}")
    admin.configure("[services.a]\nbroker = 'b'\n[services.c]\nbroker = 'b'\nn = 2\n")
    oberonc("brokers", "test", "a")
    oberonc("brokers", "test", "c", "--send", code=1)
    assert admin.lines() == []
    said = oberonc("brokers", "test", "a", "--send").out.splitlines()
    assert said[-1] == "ok    a test message was sent"
    oberonc("brokers", "test", "a", "--send")
    first, second = admin.lines()
    assert first.startswith("test") and second.startswith("test") and first != second


def test_what_became_of_a_test_is_said(admin: Admin, oberonc: Command) -> None:
    admin.handle("no", "raise Reject('they want none')")
    admin.handle("none", "return 'nothing: there is none'")
    admin.configure("[services.a]\nbroker = 'no'\n[services.b]\nbroker = 'none'")
    failed = oberonc("brokers", "test", "a", "--send", code=1).out
    assert "FAIL  the test message was not sent: they want none" in failed
    said = oberonc("brokers", "test", "b", "--send").out
    assert "ok    no test was sent: there is none" in said


def test_the_list_says_which_extra_a_shipped_broker_needs_and_whether_it_is_there(
    monkeypatch: pytest.MonkeyPatch, oberonc: Command
) -> None:
    said = oberonc("brokers", "--json").json["brokers"]
    assert (said["twitter"]["extra"], said["twitter"]["missing"]) == ("twitter", [])
    assert "extra" not in said["webhook"]
    assert "needs oberonc[twitter]: installed" in oberonc("brokers").out
    real = importlib.metadata.distribution

    def without(name: str) -> importlib.metadata.Distribution:
        if name == "requests-oauthlib":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", without)
    place = registry.find(config.load()).places["twitter"]
    assert registry.extra_of(place) == ("twitter", ["requests-oauthlib"])


def test_a_broker_of_ones_own_needs_no_extra_of_ours(admin: Admin) -> None:
    admin.handle("web", "pass")
    assert registry.extra_of(admin.place("web")) is None


def _terminal(*args: str, answers: list[tuple[str, str]], cwd: Path) -> Shown:
    argv = [*Command().argv, "brokers", *args]
    return on_terminal(argv, *answers, cwd=cwd)


def test_run_shows_what_it_would_do_with_the_sample_and_asks(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    plan = "def plan(self, payload): return ['close ' + payload['repository']['name']]"
    admin.handle("b", "open(DONE, 'a').write('ran\\n')", plan)
    refused = oberonc("brokers", "run", "b", code=2).err
    assert "  close shop\n" in refused
    assert "give --yes" in refused
    no = _terminal("run", "b", answers=[("Do it?", "n")], cwd=tmp_path)
    assert (no.code, admin.lines()) == (1, [])
    yes = _terminal("run", "b", answers=[("Do it?", "y")], cwd=tmp_path)
    assert (yes.code, admin.lines()) == (0, ["ran"])
    assert "close shop" in yes.text
    oberonc("brokers", "run", "b", "--yes")
    file = tmp_path / "p.json"
    file.write_text(__import__("json").dumps(sample()))
    oberonc("brokers", "run", "b", "--payload", file)
    assert admin.lines() == ["ran"] * 3


def test_the_issue_the_sample_names_stays_open_until_somebody_says_yes(
    oberonc: Command, state: Path
) -> None:
    tracker = IssueFile(state)
    for number in range(42):
        tracker.new("web/shop", str(number))
    said = oberonc("brokers", "run", "issues", code=2).err
    assert "close" in said and "#42" in said
    shown = oberonc("issues", "show", "42", "--repository", "web/shop").out
    assert "(open)" in shown


def test_run_takes_the_name_of_a_service_with_its_settings(
    admin: Admin, oberonc: Command
) -> None:
    admin.handle("b", "return f\"{self.service} {payload['service']}\"")
    admin.configure("[services.chat]\nbroker = 'b'\nn = 1\nm = 2\n")
    said = oberonc("brokers", "run", "chat", "--yes", "--set", "m=3").out
    assert said == "chat: done: chat {'n': 1, 'm': 3}\n"


def test_what_a_broker_raises_is_shown_whole_when_asked_for(
    admin: Admin, oberonc: Command
) -> None:
    admin.secret("token", "s3cret")
    admin.handle("b", "self.deep(payload)", "def deep(self, p):\n    p['none']")
    told = oberonc("brokers", "run", "b", "--yes", code=1).out
    assert "Traceback" not in told
    given = ["--set", f"token=file:{admin.home}/token"]
    shown = oberonc("brokers", "run", "b", "--yes", "--traceback", *given, code=1).out
    assert "Traceback" in shown and "in deep" in shown
    assert "perform.py" not in shown
    assert "s3cret" not in shown


def test_a_broker_is_debugged_where_it_raises(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    admin.handle("b", "found = 41 + 1\nraise ValueError('odd')")
    refused = oberonc("brokers", "run", "b", "--yes", "--pdb", code=2).err
    assert "--pdb needs a terminal" in refused
    answers = [("(Pdb)", "p 'found', found"), ("(Pdb)", "q")]
    shown = _terminal("run", "b", "--yes", "--pdb", answers=answers, cwd=tmp_path)
    assert "('found', 42)" in shown.text
    assert "b: retry: ValueError: odd" in shown.text
    assert shown.code == 1


def test_a_new_broker_and_its_test_are_never_written_over(
    oberonc: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    oberonc("brokers", "new", "deploy_it", "--directory", folder)
    written = {p: p.read_text() for p in folder.rglob("*.py")}
    assert {str(p.relative_to(folder)) for p in written} == {
        "deploy_it.py",
        "tests/test_deploy_it.py",
    }
    said = oberonc("brokers", "new", "deploy_it", "--directory", folder, code=65).err
    assert "is there already" in said
    (folder / "deploy_it.py").unlink()
    oberonc("brokers", "new", "deploy_it", "--directory", folder, code=65)
    assert not (folder / "deploy_it.py").exists()
    for name, why in (("slack", "there is a broker called"), ("A-b", "cannot be")):
        refused = oberonc("brokers", "new", name, "--directory", folder, code=65).err
        assert why in refused


#: What checks the files of a new broker; mypy and ruff where they are installed.
CHECKS = {
    "pytest": ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", "tests"],
    "mypy": ["--strict", "--cache-dir=/dev/null", "."],
    "ruff": ["check", "--isolated", "--no-cache", "."],
}


@pytest.mark.parametrize("tool", CHECKS)
@pytest.mark.parametrize("name", ["deploy_it", "secret"])
def test_a_new_broker_is_good_as_it_is_written(
    oberonc: Command, tmp_path: Path, name: str, tool: str
) -> None:
    pytest.importorskip(tool)
    folder = tmp_path / "mine"
    oberonc("brokers", "new", name, "--directory", folder)
    top = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", tool, *CHECKS[tool]],
        cwd=folder,
        env=os.environ | {"MYPYPATH": top, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = oberonc("brokers", "run", name, "--directory", folder, code=78).err
    assert "setting 'url' is missing" in listed
