"""One payload through one broker: whatever it does, it costs its limit at most and its
neighbours nothing.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from oberonc import paths
from oberonc.broker import loading, perform, registry, runner
from oberonc.broker.request import Outcome, Request
from oberonc.redaction import Secret
from tests.brokers_for_tests import source
from tests.support.admin import HEAD, Admin, sample
from tests.support.eventually import eventually

CANARY = "canary-7f3a91"


def _request(**settings: object) -> Request:
    return Request("svc", "b", settings, "/nowhere", 5.0, "d", sample())


def test_what_a_broker_returns_is_the_note(admin: Admin) -> None:
    admin.handle("b", "return 'told ' + payload['service']['who']")
    assert admin.run("b", who="ann") == Outcome("done", "told ann")


def test_retry_reject_and_any_other_exception_are_told_apart(admin: Admin) -> None:
    admin.handle(
        "b",
        """
        kind = payload['service']['kind']
        if kind == 'retry':
            raise Retry('busy', after=7, progress=True)
        if kind == 'reject':
            raise Reject('never')
        if kind == 'exit':
            raise SystemExit(3)
        raise KeyError('x')
        """,
    )
    assert admin.run("b", kind="retry") == Outcome("retry", "busy", 7, True)
    assert admin.run("b", kind="reject") == Outcome("dead", "never")
    assert (
        admin.run("b", kind="exit").note
        == "SystemExit: the broker called exit(3) (b.py:12)"
    )
    assert admin.run("b", kind="other") == Outcome("retry", "KeyError: 'x' (b.py:13)")


@pytest.mark.parametrize(
    "after",
    ["float('nan')", "float('inf')", "-1", "'soon'", "True if 0 else 10**12"],
    ids=lambda text: str(text)[:8],
)
def test_a_senseless_after_is_no_time(admin: Admin, after: str) -> None:
    admin.handle("b", f"error = Retry('r')\nerror.after = {after}\nraise error")
    assert admin.run("b") == Outcome("retry", "r", None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os; os._exit(7)", "exited with 7"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "killed by signal 9",
        ),
        ("import ctypes; ctypes.string_at(0)", "killed by signal 11"),
        ("import os; os.closerange(3, 64); os._exit(0)", "exited with 0"),
        (
            # libraries have files of their own there, not all of them to be written to
            "import contextlib, os\nfor fd in range(3, 9):\n"
            "    with contextlib.suppress(OSError): os.write(fd, b'junk')",
            "exited",
        ),
    ],
)
def test_a_broker_that_ends_its_process_is_a_crash(
    admin: Admin, body: str, said: str
) -> None:
    admin.handle("b", body)
    outcome = admin.run("b")
    assert outcome.kind == "crash"
    assert said in outcome.note


def test_a_hanging_broker_costs_its_limit(admin: Admin) -> None:
    admin.handle(
        "b",
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('here')\ntime.sleep(60)",
    )
    began = time.monotonic()
    outcome = admin.run("b", limit=1.5)
    assert outcome.kind == "crash"
    assert "its limit of 1.5 s" in outcome.note
    assert time.monotonic() - began < 40


def test_where_a_broker_stood_when_its_time_was_over_is_said(admin: Admin) -> None:
    admin.broker("load", "import time\ntime.sleep(60)\n")
    admin.handle("hang", "import time\ntime.sleep(60)")
    assert admin.run("hang", limit=8).note.endswith(" and was ended (hang.py:6)")
    said = runner.ask(admin.place("load"), {"describe": True}, 8)["error"]
    assert said.endswith(
        "load.py: loading it or asking it took more than 8 s (load.py:3)"
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return Retry('later')", "TypeError: handle gave back Retry; raise it"),
        ("return ValueError", "TypeError: handle gave back ValueError; raise it"),
        ("raise ValueError", "ValueError (b.py:5)"),
        (
            "self.settigns",
            "'Found' object has no attribute 'settigns'; did you mean 'settings'? (b.py:5)",
        ),
    ],
)
def test_a_slip_of_an_author_is_a_failed_attempt_that_says_what_to_do(
    admin: Admin, body: str, said: str
) -> None:
    admin.handle("b", body)
    outcome = admin.run("b")
    assert outcome.kind == "retry"
    assert said in outcome.note


@pytest.mark.parametrize(
    ("call", "given", "said"),
    [
        ("plan", "'do it'", "plan gave back a text; a list of lines is wanted"),
        ("check", "Check(True, 'x')", "check gave back a Check; a list of Check"),
        ("check", "True", "check gave back a bool; a list of Check is wanted"),
    ],
)
def test_a_plan_or_a_check_that_is_no_list_is_told(
    admin: Admin, call: str, given: str, said: str
) -> None:
    form = "self, payload" if call == "plan" else "self"
    admin.handle("b", "pass", f"def {call}({form}):\n    return {given}")
    broker = loading.load(admin.place("b"))
    assert said in perform.call(broker, call, _request())["error"]


def test_what_a_stopped_broker_left_running_is_ended_too(admin: Admin) -> None:
    admin.handle(
        "b",
        """
        import os, subprocess, time
        child = subprocess.Popen(['sleep', '60'])
        open(DONE, 'w').write(f'{child.pid}\\n')
        time.sleep(60)
        """,
    )
    assert admin.run("b", limit=2).kind == "crash"
    pid = admin.pid()
    eventually(
        lambda: (
            not Path(f"/proc/{pid}").exists()
            or " Z " in Path(f"/proc/{pid}/stat").read_text()
        )
    )


def test_a_grandchild_that_keeps_the_pipes_open_is_not_waited_for(admin: Admin) -> None:
    admin.handle(
        "b", "import subprocess\nsubprocess.Popen(['sleep', '60'])\nreturn 'ok'"
    )
    began = time.monotonic()
    assert admin.run("b", limit=30) == Outcome("done", "ok")
    assert time.monotonic() - began < 40


def test_a_fork_that_comes_back_gives_one_answer(admin: Admin) -> None:
    admin.handle("b", "import os\nos.fork()\nreturn 'ok'")
    assert admin.run("b").kind == "done"


@pytest.mark.parametrize(
    ("given_back", "what"),
    [
        ("later()", "coroutine"),
        ("(x for x in [1])", "generator"),
        ("map(print, [1])", "map"),
        ("stream()", "async_generator"),
        ("Promise()", "Promise"),
    ],
)
def test_a_handle_that_gives_back_work_instead_of_doing_it_fails(
    admin: Admin, given_back: str, what: str
) -> None:
    admin.handle(
        "b",
        f"""
        async def later(): pass
        async def stream(): yield
        class Promise:
            def __await__(self): yield
        return {given_back}
        """,
    )
    outcome = admin.run("b")
    assert (outcome.kind, outcome.output) == ("retry", "")
    assert f"handle gave back a {what}, of which nothing ran" in outcome.note


def test_a_thread_that_never_ends_is_not_waited_for(admin: Admin) -> None:
    admin.handle(
        "b",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nreturn 'ok'",
    )
    assert admin.run("b", limit=30) == Outcome("done", "ok")


def test_ten_megabytes_of_output_are_capped_and_slow_nobody(admin: Admin) -> None:
    admin.handle(
        "b",
        """
        import os, sys
        for _ in range(80):
            os.write(1, b'o' * 65536)
            sys.stderr.write('e' * 65536)
        return 'ok'
        """,
    )
    outcome = admin.run("b", limit=60)
    assert outcome.kind == "done"
    assert 0 < len(outcome.output) <= runner.OUTPUT


@pytest.mark.parametrize(
    "deed",
    [
        "sys.stdout.close()",
        "sys.stdout = sys.stderr = None",
        "sys.stdout = sys.stderr = Trap()",
        "os.close(1)",
    ],
)
def test_a_broker_may_close_or_replace_its_streams(admin: Admin, deed: str) -> None:
    trap = "import os, sys\nclass Trap:\n    def flush(self): os._exit(1)\n"
    admin.handle("b", f"{trap}{deed}\nreturn 'ok'")
    assert admin.run("b") == Outcome("done", "ok")


def test_a_broker_that_fills_the_memory_fails_alone(admin: Admin) -> None:
    admin.handle("b", "kept = []\nwhile True:\n    kept.append(bytearray(1 << 26))")
    outcome = admin.run("b", limit=60)
    assert outcome.kind == "retry"
    assert "MemoryError" in outcome.note


def test_an_exception_that_cannot_be_shown_is_told(admin: Admin) -> None:
    admin.broker(
        "b",
        """
        class Odd(Exception):
            def __str__(self):
                raise ValueError('no')
        class Found(BaseBroker):
            def handle(self, payload):
                raise Odd()
        """,
    )
    assert admin.run("b").note.startswith("Odd: its message cannot be shown")


def test_settings_that_do_not_fit_wait_for_the_administrator(admin: Admin) -> None:
    admin.handle("b", "return 'ok'", "class Settings:\n    url: str")
    outcome = admin.run("b", ulr="x")
    assert outcome == Outcome(
        "retry", "settings of service 'svc': unknown setting 'ulr'; did you mean 'url'?"
    )


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("Retry('no way there')", "no way there"),
        ("Reject('not here')", "not here"),
        ("KeyError('x')", "KeyError: 'x' (b.py:5)"),
    ],
)
def test_what_a_check_says_is_told_without_the_name_of_an_exception(
    admin: Admin, raised: str, said: str
) -> None:
    checks = f"class Settings:\n    url: str\ndef check(self): raise {raised}"
    admin.handle("b", "return 'ok'", checks)
    broker = loading.load(admin.place("b"))
    assert perform.call(broker, "check", _request(url="x")) == {"error": said}
    missing = {"error": "setting 'url' is missing"}
    assert perform.call(broker, "check", _request()) == missing


def test_each_handle_gets_its_own_deep_copy(admin: Admin) -> None:
    admin.handle(
        "b",
        "payload['commits'].clear(); payload['service'].clear(); del payload['broker']",
    )
    asked = _request(deep={"list": [1]})
    before = json.dumps(asked)
    assert perform.perform(loading.load(admin.place("b")), asked).kind == "done"
    assert json.dumps(asked) == before


def test_the_payload_has_the_keys_of_a_delivery(admin: Admin) -> None:
    admin.handle(
        "b",
        "import json\nreturn json.dumps([payload[k] for k in ('broker', 'delivery_id', 'attempt', 'order')])",
    )
    asked = _request()._replace(attempt=4, gap=True)
    said = perform.perform(loading.load(admin.place("b")), asked)
    assert json.loads(said.note) == ["b", "d", 4, {"gap": True}]


def test_a_secret_is_plain_text_for_the_broker(admin: Admin) -> None:
    admin.handle(
        "b",
        """
        import copy, json, urllib.parse
        token = payload['service']['token']
        spelled = [json.dumps({'t': token}), urllib.parse.urlencode({'t': token}), '%s' % token, f'{token}', token + '']
        assert all(CANARY in text for text in spelled), spelled
        assert CANARY in copy.deepcopy(payload)['service']['token']
        assert isinstance(self.settings.token, Secret) and CANARY not in repr(payload)
        """.replace("CANARY", "'canary' + '-7f3a91'"),
    )
    assert (
        perform.perform(
            loading.load(admin.place("b")), _request(token=Secret(CANARY))
        ).note
        == ""
    )


@pytest.mark.parametrize(
    "manner",
    [
        "return t",
        "raise Reject(t)",
        "raise Retry(t)",
        "raise ValueError(t)",
        "print(t)",
    ],
)
@pytest.mark.parametrize("before", [0, 2040, 4090])
def test_no_text_that_leaves_holds_a_secret_not_even_half_of_one(
    admin: Admin, manner: str, before: int
) -> None:
    admin.handle("b", f"t = 'x' * {before} + payload['service']['token']\n{manner}")
    outcome = perform.perform(
        loading.load(admin.place("b")), _request(token=Secret(CANARY))
    )
    assert "canary" not in outcome.note


def test_a_secret_with_odd_characters_is_redacted_before_it_is_escaped(
    admin: Admin,
) -> None:
    odd = 'a\x1b"b  c\u202e'
    admin.handle("b", "raise ValueError(payload['service']['token'])")
    outcome = perform.perform(
        loading.load(admin.place("b")), _request(token=Secret(odd))
    )
    assert "***" in outcome.note


def test_printed_secrets_are_redacted_also_where_the_output_is_cut(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", CANARY)
    admin.handle(
        "b",
        f"print(payload['service']['token'] + 'x' * ({runner.OUTPUT} - 20) + payload['service']['token'])",
    )
    output = admin.run("b", token="env:TOKEN").output
    assert output.startswith("***xxx")
    assert "canar" not in output


def test_secrets_are_not_in_argv_or_environment(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", CANARY)
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    monkeypatch.setenv("OBERONC_CONFIG_X", "x")
    admin.handle(
        "b",
        """
        import os, glob
        seen = []
        for f in glob.glob('/proc/*/cmdline'):
            try:
                seen.append(open(f, 'rb').read())
            except OSError:
                pass  # it has ended meanwhile
        own = open('/proc/self/environ', 'rb').read() + repr(dict(os.environ)).encode()
        assert not any(payload['service']['token'].encode() in text for text in [*seen, own])
        assert payload['service']['other'] == 'x'
        return ' '.join(sorted(k for k in os.environ if k.startswith(('GIT_', 'OBERONC_'))))
        """,
    )
    assert admin.run("b", token="env:TOKEN", other="x") == Outcome("done", "")


def test_a_broker_sees_neither_the_callers_folder_nor_its_stdin(
    admin: Admin, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    admin.handle(
        "b",
        "import sys\nreturn repr((sys.stdin.read(), '' in sys.path, json_is()))\n",
        "pass",
    )
    file = admin.brokers / "b.py"
    file.write_text(
        file.read_text()
        + "\ndef json_is():\n    import json\n    return 'lib' in json.__file__\n"
    )
    assert admin.run("b").note == "('', False, True)"


def test_the_broker_dies_with_the_process_that_started_it(admin: Admin) -> None:
    admin.handle(
        "b",
        "import os, time\nopen(DONE, 'w').write(f'{os.getpid()}\\n')\ntime.sleep(60)",
    )
    args = [sys.executable, "-I", "-m", "oberonc", "brokers", "run", "b", "--yes"]
    with subprocess.Popen(
        args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as parent:
        pid = admin.pid()
        parent.send_signal(signal.SIGKILL)
    eventually(
        lambda: (
            not Path(f"/proc/{pid}").exists()
            or " Z " in Path(f"/proc/{pid}/stat").read_text()
        )
    )


def test_a_worker_whose_parent_is_gone_does_nothing(admin: Admin) -> None:
    admin.handle("b", "open(DONE, 'w').write('ran\\n')")
    asked = _request()
    ask = json.dumps(
        {
            "place": admin.place("b")._asdict(),
            "request": asked.wire(),
            "payload": asked.payload,
        }
    )
    done = subprocess.run(
        [sys.executable, "-I", "-m", "oberonc.broker.child", "1"],
        input=ask.encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, admin.lines()) == (0, b"", [])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{",
        b"[1]",
        b'{"kind": "fine"}',
        b'{"kind": "done", "note": 5}',
        b'{"x": 1}',
        b'"done"',
        b"[" * 100_000,
    ],
)
def test_a_forged_answer_is_a_crash(answer: bytes) -> None:
    assert runner._parsed(answer) is None


def test_describe_and_check_survive_what_a_broker_says(admin: Admin) -> None:
    admin.handle(
        "odd",
        "return ''",
        """
        timeout = 5
        class Settings:
            token: Secret = Secret('plain')
            many: tuple = ((1, 2), {3})
        def check(self):
            return [(True, 'one'), Check(False, 'two', 'mend')]
        """,
    )
    admin.handle(
        "worse",
        "return ''",
        "class Settings:\n    x: 'Missing'\ndef check(self):\n    return [1]",
    )
    described = runner.ask(admin.place("odd"), {"describe": True}, 20)
    assert described["timeout"] == 5
    assert described["settings"]["token"]["default"] == "***"
    asked = _request()
    call = {"call": "check", "request": asked.wire(), "payload": asked.payload}
    assert runner.ask(admin.place("odd"), call, 20)["said"] == [
        [True, "one", ""],
        [False, "two", "mend"],
    ]
    assert (
        "NameError" in runner.ask(admin.place("worse"), {"describe": True}, 20)["error"]
    )
    assert "error" in runner.ask(admin.place("worse"), call, 20)


def test_asking_a_broker_that_hangs_or_dies_at_import_is_an_error(admin: Admin) -> None:
    admin.broker("hang", "import time\ntime.sleep(60)\n")
    admin.broker("die", "import os\nos._exit(4)\n")
    assert (
        "more than 1 s"
        in runner.ask(admin.place("hang"), {"describe": True}, 1)["error"]
    )
    assert (
        "die.py: its process exited with 4"
        in runner.ask(admin.place("die"), {"describe": True}, 20)["error"]
    )


def test_all_brokers_are_asked_at_the_same_time_and_a_bad_one_spoils_no_other(
    admin: Admin,
) -> None:
    for name in ("one", "two"):
        admin.broker(name, source("meeting"), head="")
    os.mkfifo(admin.brokers / "meeting")
    admin.broker("die", "import os\nos._exit(4)\n")
    admin.broker("forge", "import os\nos.write(1, b'{}'); os._exit(0)\n")
    found = registry.find(admin.load(), entry_points=False)
    places = list(found.places.values())
    said = runner.describe(places, 20)
    assert said.keys() == {place.name for place in places}
    bad = {name: told["error"] for name, told in said.items() if "error" in told}
    assert bad.keys() == {"die", "forge"}
    assert "die.py: its process exited with 4" in bad["die"]


def test_where_a_shipped_broker_ends_its_process_each_is_asked_alone(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.handle("good", "pass")
    admin.broker("die", "import os\nos._exit(4)\n")
    places = list(registry.find_in(admin.brokers).places.values())
    monkeypatch.setattr(paths, "bundled", lambda _name: admin.brokers)
    said = runner.describe(places, 20)
    assert said["good"]["class"] == "Found"
    assert "die.py: its process exited with 4" in said["die"]["error"]


def test_a_class_without_a_docstring_says_its_files(admin: Admin) -> None:
    for name, line in (("told", '"""Of the file."""\n'), ("mute", "")):
        body = "class Found(BaseBroker):\n    def handle(self, payload): ...\n"
        admin.broker(name, line + HEAD + body, head="")
    said = runner.describe([admin.place("told"), admin.place("mute")], 20)
    assert [each["doc"] for each in said.values()] == ["Of the file.", ""]


def test_the_child_is_reaped_and_nothing_stays_open(admin: Admin) -> None:
    admin.handle("b", "return 'ok'")
    admin.run("b")
    before = len(os.listdir("/proc/self/fd")), _children()
    for _ in range(3):
        admin.run("b")
    assert (len(os.listdir("/proc/self/fd")), _children()) == before


def _children() -> set[str]:
    """The process ids of this process's children, dead ones that nobody waited for
    among them.
    """
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.add(stat.parent.name)
    return found
