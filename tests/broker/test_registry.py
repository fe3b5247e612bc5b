"""Brokers are found in order, loaded from source under private names, and refused where
others may write them.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from oberonc import paths
from oberonc.broker import declared, loading, registry
from oberonc.broker.contract import BaseBroker
from oberonc.broker.registry import BrokenBroker
from tests.support.admin import HEAD, Admin

GOOD = "class Found(BaseBroker):\n    def handle(self, payload):\n        return ''\n"


def test_the_shipped_brokers_and_ones_own_are_found_without_running_them(
    admin: Admin,
) -> None:
    admin.broker("mine", "raise SystemExit('run')")
    admin.broker("_helper", "")
    catalogue = registry.find(admin.load())
    assert {"issues", "mine"} <= set(catalogue.places)
    assert "_helper" not in catalogue.places
    assert catalogue.problems == {}


def test_places_are_asked_in_their_order(admin: Admin, tmp_path: Path) -> None:
    admin.configure(f'brokers.directories = ["{tmp_path}/b", "{tmp_path}/a"]')
    folders = registry.directories(admin.load())
    assert folders == [
        tmp_path / "b",
        tmp_path / "a",
        admin.brokers,
        paths.bundled("brokers"),
    ]


def test_one_folder_under_two_names_is_one_folder(admin: Admin, tmp_path: Path) -> None:
    admin.broker("mine", GOOD)
    (tmp_path / "link").symlink_to(admin.brokers)
    admin.configure(f'brokers.directories = ["{admin.brokers}", "{tmp_path}/link"]')
    catalogue = registry.find(admin.load())
    assert catalogue.problems == {}
    assert "mine" in catalogue.places


def test_a_name_found_twice_is_unusable_and_names_both_places(admin: Admin) -> None:
    file = admin.broker("issues", GOOD)
    catalogue = registry.find(admin.load())
    assert "issues" not in catalogue.places
    assert str(file) in catalogue.problems["issues"]
    assert str(paths.bundled("brokers") / "issues.py") in catalogue.problems["issues"]
    assert catalogue.why("issues") == catalogue.problems["issues"]


def test_a_folder_that_is_not_there_is_said(admin: Admin, tmp_path: Path) -> None:
    admin.configure(f'brokers.directories = ["{tmp_path}/none"]')
    assert "not a folder" in registry.find(admin.load()).problems[f"{tmp_path}/none"]


@pytest.mark.parametrize("name", ["Big", "2fast", "with-dash", "x" * 65])
def test_a_file_with_a_name_no_service_can_say_is_reported(
    admin: Admin, name: str
) -> None:
    file = admin.broker(name, GOOD)
    catalogue = registry.find(admin.load())
    assert name not in catalogue.places
    assert "small letters" in catalogue.problems[str(file)]


@pytest.mark.parametrize("kind", ["fifo", "folder", "dangling"])
def test_what_is_no_plain_file_is_reported_and_never_opened(
    admin: Admin, kind: str
) -> None:
    file = admin.broker("odd", GOOD)
    file.unlink()
    {
        "fifo": os.mkfifo,
        "folder": os.mkdir,
        "dangling": lambda path: Path(path).symlink_to("nowhere"),
    }[kind](file)
    catalogue = registry.find(admin.load())
    assert "plain file" in catalogue.problems[str(file)]
    assert "issues" in catalogue.places


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_broker_that_others_may_write_is_refused_and_its_neighbours_are_not(
    admin: Admin, mode: int
) -> None:
    file = admin.broker("loose", GOOD)
    admin.broker("good", GOOD)
    file.chmod(mode)
    catalogue = registry.find(admin.load())
    assert "good" in catalogue.places
    assert "chmod go-w" in catalogue.problems[str(file)]
    assert catalogue.why("loose") == catalogue.problems[str(file)]


def test_a_folder_that_others_may_write_is_refused(admin: Admin) -> None:
    admin.broker("b", GOOD)
    admin.folder.chmod(0o777)
    catalogue = registry.find(admin.load())
    assert "b" not in catalogue.places
    assert f"others may write {admin.folder}" in catalogue.why("b")


def test_a_helper_that_others_may_write_spoils_its_folder(admin: Admin) -> None:
    admin.broker("b", "from ._help import x\n" + GOOD)
    admin.broker("_help", "x = 1").chmod(0o666)
    assert "_help.py" in registry.find(admin.load()).why("b")


def test_a_package_beside_a_broker_is_looked_at_too(admin: Admin) -> None:
    admin.broker("b", "from .lib.deep import x\n" + GOOD)
    (admin.brokers / "lib").mkdir()
    (admin.brokers / "lib" / "__init__.py").touch()
    deep = admin.brokers / "lib" / "deep.py"
    deep.write_text("x = 1\n")
    assert loading.load(admin.place("b")).__name__ == "Found"
    deep.chmod(0o666)
    assert "deep.py" in registry.find(admin.load()).why("b")


def test_a_link_is_as_safe_as_where_it_leads(admin: Admin, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    (open_to_all / "b.py").write_text(HEAD + GOOD)
    admin.broker("x", GOOD)
    (admin.brokers / "b.py").symlink_to(open_to_all / "b.py")
    assert "b" in registry.find(admin.load()).places
    open_to_all.chmod(0o777)
    assert "others may write" in registry.find(admin.load()).why("b")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_broker_of_another_user_is_refused(admin: Admin) -> None:
    file = admin.broker("b", GOOD)
    os.chown(file, 54321, -1)
    assert "belongs to another user" in registry.find(admin.load()).why("b")


def test_roots_sticky_folders_count_as_safe(short_dir: Path) -> None:
    assert registry.unsafe(short_dir) == "" or os.stat("/tmp").st_uid != 0


def test_code_is_loaded_from_source_and_nothing_is_written_beside_it(
    admin: Admin,
) -> None:
    script = (
        "import json, sys; from oberonc.broker import loading, registry;"
        "found = loading.load(registry.Place(*json.loads(sys.argv[1])));"
        "odd = [p for p in sys.path if 'brokers' in p], [m for m in sys.modules if m in ('b', 'brokers')];"
        "print(found().handle({}), *odd)"
    )
    said = []
    for text in ("one", "two"):
        admin.handle("b", f"return {text!r}")
        place = json.dumps(registry.Place("b", str(admin.brokers / "b.py"), None, ""))
        said.append(
            subprocess.run(
                [sys.executable, "-c", script, place],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    assert said == ["one [] []\n", "two [] []\n"]
    assert [path.name for path in admin.brokers.iterdir()] == ["b.py"]


def test_two_folders_may_have_helpers_of_one_name(admin: Admin, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for folder, name, value in ((admin.brokers, "a", 1), (other, "b", 2)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_same.py").write_text(f"X = {value}\n")
        (folder / f"{name}.py").write_text(
            f"{HEAD}from ._same import X\n{GOOD.replace(repr(''), 'X')}"
        )
    admin.configure(f'brokers.directories = ["{other}"]')
    assert loading.load(admin.place("a"))().handle({}) == 1  # type: ignore[comparison-overlap]
    assert loading.load(admin.place("b"))().handle({}) == 2  # type: ignore[comparison-overlap]


def made(attributes: str, base: str = "BaseBroker") -> str:
    """A broker whose class begins with *attributes*; its `handle` is good."""
    good = "" if "handle" in attributes else "    def handle(self, payload): ...\n"
    return f"class Found({base}):\n{textwrap.indent(attributes, ' ' * 4)}\n{good}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (\n", ":2: '(' was never closed"),
        ("1/0\n", ":2: ZeroDivisionError"),
        (
            "import no_such_library\n",
            ":2: needs the library 'no_such_library', which is not installed",
        ),
        ("from . import _missing\n", "there is no _missing.py beside the broker"),
        ("import urllib2\n", "urllib.request replaces it"),
        ("raise SystemExit(3)\n", ":2: SystemExit: the broker called exit(3)"),
        ("x = 1\n", "this one has none"),
        (
            GOOD + GOOD.replace("Found", "Second"),
            ":5: a broker file has one subclass of BaseBroker; this one has Found (line 2), Second (line 5)",
        ),
        (
            "class Found(BaseBroker):\n    pass\n",
            ":2: Found has no handle(self, payload)",
        ),
        (
            "class Found(BaseBroker):\n    def handle(self): pass\n",
            ":3: Found.handle must be def handle(self, payload)",
        ),
        (
            "class Found(BaseBroker):\n    async def handle(self, payload): pass\n",
            "is async or a generator",
        ),
        (
            "class Found(BaseBroker):\n    def handle(self, payload): yield\n",
            "is async or a generator",
        ),
        (
            "class Found(BaseBroker):\n    timeout = 'x'\n    def handle(self, payload): pass\n",
            "number of seconds",
        ),
        (
            "class E(Exception):\n    def __str__(self): raise self\nraise E\n",
            ":4: E: its message cannot be shown",
        ),
        ("x = '\0'\n", "null bytes"),
        ("from oberonc import Basebroker\n", "did you mean 'BaseBroker'?"),
        (
            "import sys\nsys.pathh\n",
            ":3: AttributeError: module 'sys' has no attribute 'pathh'; did you mean 'path'?",
        ),
        (
            "class A(Basebroker): pass\n",
            ":2: NameError: name 'Basebroker' is not defined; did you mean 'BaseBroker'?",
        ),
        (
            "class A:\n    def handle(self, payload): pass\n",
            ":2: a broker file has one subclass of BaseBroker; this one has none: write class A(BaseBroker)",
        ),
        (
            "import neighbour.inner\n",
            ":2: what lies beside the broker is imported with a dot: from .neighbour import ...",
        ),
        (
            made("def handle(payload): ..."),
            ":3: Found.handle must be def handle(self, payload)",
        ),
        (
            made("@staticmethod\ndef handle(payload): ..."),
            "handle must be def handle(self, payload)",
        ),
        (made("handle = None"), ":2: Found.handle must be def handle(self, payload)"),
        (made("def plan(self): ..."), ":3: Found.plan must be def plan(self, payload)"),
        (made("async def check(self): ..."), ":3: Found.check is async or a generator"),
        (made("def verify(self): yield"), ":3: Found.verify is async or a generator"),
        (made("def __init__(self, url): ..."), ":3: Found is made without arguments"),
        (
            made(
                "import abc\n@abc.abstractmethod\ndef more(self): ...",
                "BaseBroker, metaclass=__import__('abc').ABCMeta",
            ),
            ":2: Found has no more",
        ),
        (made("state = 'x'"), ":2: Found.state is what oberonc gives"),
        (
            made("timeout = True"),
            ":2: Found.timeout is True; it must be a number of seconds",
        ),
        (made("timeout = float('inf')"), "timeout is inf; it must be"),
        (made("timeout = 10**6"), "above 0, at most a week"),
        (made("Settings = {'url': str}"), ":2: Found.Settings must be a class"),
        (
            made("class settings:\n    url: str"),
            ":3: Found.settings is a class; its name must be Settings",
        ),
        (
            made("class Settings:\n    url = ''"),
            ":3: Found.Settings.url has no type; write url: str = ...",
        ),
        (
            made("class Settings:\n    url: 'Strr'"),
            ":3: Found.Settings cannot be read: NameError",
        ),
        (
            made("class Settings:\n    at: list[bytes]"),
            ":3: Found.Settings.at: no setting can be of that type; there are str,",
        ),
    ],
)
def test_a_broken_broker_is_reported_with_file_and_line(
    admin: Admin, text: str, said: str
) -> None:
    file = admin.broker("broken", text)
    (admin.brokers / "neighbour").mkdir()
    (admin.brokers / "neighbour" / "__init__.py").touch()
    with pytest.raises(BrokenBroker) as caught:
        loading.load(admin.place("broken"))
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "handle",
    [
        "    @through\n    async def handle(self, payload): pass\n",
        "    @through\n    @through\n    def handle(self, payload): yield\n",
        "    @staticmethod\n    async def handle(payload, more=None): pass\n",
        "    @classmethod\n    async def handle(cls, *args): yield\n",
        "    @functools.cache\n    def handle(self, payload): yield\n",
        "    handle = functools.partial(functools.partial(other))\n",
    ],
)
def test_a_handle_of_which_nothing_would_run_is_refused_through_decorators_too(
    admin: Admin, handle: str
) -> None:
    head = """
import functools
from oberonc import BaseBroker
def through(wrapped):
    @functools.wraps(wrapped)
    def call(*args, **more):
        return wrapped(*args, **more)
    return call
async def other(*args): pass
"""
    admin.broker("lazy", f"class Found(BaseBroker):\n{handle}", head=head)
    with pytest.raises(BrokenBroker, match=r"Found\.handle is async or a generator"):
        loading.load(admin.place("lazy"))


def test_a_syntax_error_in_a_helper_names_the_helper(admin: Admin) -> None:
    admin.broker("b", "from . import _help\n" + GOOD)
    helper = admin.broker("_help", "x = (\n", head="")
    with pytest.raises(BrokenBroker, match=rf"^{helper}:1: '\(' was never closed"):
        loading.load(admin.place("b"))


def test_a_base_class_beside_the_broker_is_no_second_broker(admin: Admin) -> None:
    admin.broker("b", GOOD + "class Leaf(Found):\n    pass\n")
    assert loading.load(admin.place("b")).__name__ == "Leaf"


def test_an_entry_point_names_a_class_or_a_module(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "third_party.py").write_text(
        HEAD + GOOD + "Alias = Found\nclass Box:\n    Inner = Found\n"
    )
    (tmp_path / "lib" / "third_front.py").write_text(
        "from third_party import Found\nx = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "lib")
    for value in (
        "third_party",
        "third_party:Found",
        "third_front:Found",
        "third_party:Box.Inner",
    ):
        found = loading.load(registry.Place("b", None, value, "entry point of third"))
        assert issubclass(found, BaseBroker)
    for value, said in (
        ("third_front:x", "no subclass"),
        ("third_front:y", "AttributeError"),
        ("no_such", "no_such"),
    ):
        with pytest.raises(BrokenBroker, match=said):
            loading.load(registry.Place("b", None, value, "entry point of third"))


@pytest.mark.parametrize(
    ("text", "timeout"),
    [
        ("class A(BaseBroker):\n    def handle(self, p): pass", 60.0),
        ("class A(BaseBroker):\n    timeout = 5\n    def handle(self, p): pass", 5.0),
        (
            "class A(oberonc.BaseBroker):\n    timeout: float = 0.5\n    def handle(self, p): pass",
            0.5,
        ),
        (
            "class Url:\n    timeout = 1\nclass A(BaseBroker):\n    def handle(self, p): pass",
            60.0,
        ),
        (
            "class B(BaseBroker):\n    timeout = 7\nclass A(B):\n    def handle(self, p): pass",
            7.0,
        ),
        (
            "class A(BaseBroker):\n    timeout = 2 * 60\n    def handle(self, p): pass",
            None,
        ),
        ("class A(Imported):\n    def handle(self, p): pass", None),
        ("class A(A):\n    def handle(self, p): pass", None),
        ("if 1:\n    class A(BaseBroker):\n        def handle(self, p): pass", None),
        ("class A(", None),
        ("(" * 10_000, None),
    ],
)
def test_a_time_limit_is_read_without_running_the_file_or_not_at_all(
    tmp_path: Path, text: str, timeout: float | None
) -> None:
    (tmp_path / "b.py").write_text(text)
    assert (
        declared.timeout(registry.Place("b", str(tmp_path / "b.py"), None, ""))
        == timeout
    )


def test_the_first_line_of_the_docstring_says_what_it_does(admin: Admin) -> None:
    admin.broker(
        "b",
        '"""Of the module."""\nclass Found(BaseBroker):\n    """Of the class.\n\n    More."""\n',
    )
    assert declared.docline(admin.place("b")) == "Of the class."


def test_of_several_classes_the_broker_says_what_it_does(admin: Admin) -> None:
    admin.broker(
        "b",
        'class Call:\n    """A request."""\n'
        'class Found(BaseBroker):\n    """Starts builds,\n    and tests."""\n'
        "    def handle(self, payload):\n        pass\n",
    )
    assert declared.docline(admin.place("b")) == "Starts builds, and tests."
