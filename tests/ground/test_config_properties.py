"""Configurations survive the way through TOML, and no text leads to anything but a
value or one line.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oberonc import config
from oberonc.errors import ConfigError, OberoncError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LISTS = st.lists(TEXT, max_size=3)
FOLDERS = st.from_regex(r"/[a-zA-Z0-9 äö._/-]{0,20}", fullmatch=True)
SECONDS = st.one_of(st.integers(1, 86_400), st.floats(0.001, 86_400))
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        TEXT,
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.floats(allow_nan=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)
SERVICE = st.fixed_dictionaries(
    {"broker": NAMES},
    optional={
        "repositories": LISTS,
        "refs": LISTS,
        "paths": LISTS,
        "authors": LISTS,
        "timeout": SECONDS,
        "hold": SECONDS,
        "order": st.sampled_from(config.ORDERS),
    },
)
SETTINGS = st.dictionaries(
    TEXT.filter(lambda key: key not in config.SERVICE_KEYS), VALUES, max_size=3
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "delivery": st.sampled_from(config.DELIVERIES),
        "publish": LISTS,
        "state": FOLDERS,
        "spool": FOLDERS,
        "brokers": st.fixed_dictionaries(
            {}, optional={"directories": st.lists(FOLDERS, max_size=3)}
        ),
        "daemon": st.fixed_dictionaries(
            {},
            optional={
                "socket": FOLDERS,
                "control": FOLDERS,
                "workers": st.integers(1, 1000),
                "stop_timeout": st.integers(0, 86_400),
                "keep": st.floats(0, 36_500),
            },
        ),
        "limits": st.fixed_dictionaries(
            {},
            optional={
                "commits": st.integers(1, 8192),
                "bytes": st.integers(1, 8 << 20),
            },
        ),
        "services": st.dictionaries(
            NAMES,
            st.tuples(SERVICE, SETTINGS).map(lambda pair: pair[1] | pair[0]),
            max_size=3,
        ),
    },
)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    return json.dumps(value)


def _document(values: dict[str, Any]) -> str:
    return "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in values.items())


def _load(text: str) -> config.Config:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        return config.load(str(file))


@given(CONFIGS)
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_what_is_in_force(values: dict[str, Any]) -> None:
    found = _load(_document(values))
    assert found.delivery == values.get("delivery", "here")
    assert found.publish == tuple(values.get("publish", ["HEAD"]))
    assert "state" not in values or found.state == Path(values["state"])
    assert "spool" not in values or found.spool == Path(values["spool"])
    assert found.directories == tuple(values.get("brokers", {}).get("directories", []))
    daemon = values.get("daemon", {})
    assert found.daemon.workers == daemon.get("workers", 8)
    assert found.daemon.keep == daemon.get("keep", 30) * config.DAY
    assert {
        key: getattr(found.limits, key) for key in values.get("limits", {})
    } == values.get("limits", {})
    for name, table in values.get("services", {}).items():
        service = found.services[name]._asdict()
        for key, value in table.items():
            read = (
                service[key] if key in config.SERVICE_KEYS else service["settings"][key]
            )
            assert read == (
                tuple(value)
                if key in config.SERVICE_KEYS and isinstance(value, list)
                else value
            )
        assert set(service["settings"]) == set(table) - set(config.SERVICE_KEYS)


@given(CONFIGS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_key_nobody_knows_is_refused_at_every_level(
    values: dict[str, Any], data: st.DataObject
) -> None:
    places = [
        ("", values),
        *(
            (name, values[name])
            for name in ("daemon", "limits", "brokers")
            if values.get(name)
        ),
    ]
    _, table = data.draw(
        st.sampled_from(
            [place for place in places if place[1]] or [("", {"delivery": "here"})]
        )
    )
    key = data.draw(st.sampled_from(sorted(table)))
    known = {*config._TOP, *config._DAEMON, *config.Limits._fields, "directories"}
    wrong = data.draw(
        st.sampled_from([key[:-1], key + "x", key.upper(), key[::-1], "x" + key])
    )
    assume(wrong not in known)
    table[wrong] = table.pop(key)
    if not values:
        values = table
    try:
        _load(_document(values))
    except ConfigError as error:
        assert "unknown key" in str(error)
        assert "\n" not in str(error)
    else:
        raise AssertionError(f"{wrong} was taken")


@given(
    st.one_of(
        st.text(),
        st.dictionaries(st.sampled_from([*config._TOP, "x"]), VALUES, max_size=4).map(
            _document
        ),
    )
)
@settings(max_examples=150, deadline=None)
def test_no_text_leads_to_a_traceback(text: str) -> None:
    try:
        _load(text)
    except OberoncError as error:
        assert error.exit_code in (77, 78)
        assert "\n" not in str(error)


#: As `oberonc init --system` writes it, in another place.
MACHINE = """\
delivery = "daemon"
user_config = false
state = "/nowhere/state"
spool = "TOP/spool"

[daemon]
socket = "TOP/run/submit.sock"
workers = 4

[services.issues]
broker = "issues"
words = { close = ["done"] }
"""


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_slip_of_a_hand_in_a_machines_file_loses_a_push(data: st.DataObject) -> None:
    """What does not change the text of a value leads to where the daemon looks, or to a
    configuration that is whole.
    """
    with tempfile.TemporaryDirectory() as top, pytest.MonkeyPatch.context() as patch:
        for name in ("etc", "run", "spool"):
            (Path(top) / name).mkdir()
        for name, folder in (("SYSTEM", "etc"), ("SOCKETS", "run"), ("SPOOL", "spool")):
            patch.setattr(f"oberonc.paths.{name}", Path(top) / folder)
        patch.delenv("OBERONC_CONFIG_NOSYSTEM")
        text = MACHINE.replace("TOP", top)
        open_places = [
            at
            for at in range(len(text))
            if text[text.rfind("\n", 0, at) + 1 : at].count('"') % 2 == 0
        ]
        at = data.draw(st.sampled_from(open_places))
        slip = data.draw(
            st.sampled_from(
                [
                    "",
                    "",
                    "x",
                    "=",
                    '"',
                    "'",
                    "[",
                    "]",
                    "\n",
                    "#",
                    "{",
                    "\x00",
                    '\n"""',
                    "\xe9",
                    ",",
                ]
            )
        )
        gone = data.draw(st.integers(0, 1))
        file = Path(top) / "etc" / "config.toml"
        file.write_text(text[:at] + slip + text[at + gone :], encoding="latin-1")
        found = config.learn(server_hook=True)
        if found.fault:
            assert str(file) in found.fault
            assert found.delivery == "daemon"
            assert (found.spool, found.daemon.socket) == (
                Path(top) / "spool",
                Path(top) / "run" / "submit.sock",
            )
            assert found.services == {}
