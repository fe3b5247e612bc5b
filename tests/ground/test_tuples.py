"""Our `NamedTuple` does what the one of `typing` does."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from typing import NamedTuple as Typing

import pytest

from oberonc.tuples import NamedTuple


class Ours(NamedTuple):
    """A point."""

    x: int
    y: list[int]
    #: How it is called.
    name: str = "point"

    @property
    def there(self) -> bool:
        """Whether it is anywhere."""
        return bool(self.x)


class Theirs(Typing):
    """A point."""

    x: int
    y: list[int]
    name: str = "point"


@pytest.mark.parametrize(
    "given",
    [
        ((1, []), {}),
        ((1, [], "a"), {}),
        ((1,), {"y": [2]}),
        ((), {"y": [2], "x": 1, "name": "b"}),
    ],
)
def test_it_is_made_by_position_by_name_and_by_default(given: Any) -> None:
    by_position, by_name = given
    ours, theirs = (kind(*by_position, **by_name) for kind in (Ours, Theirs))
    assert tuple(ours) == tuple(theirs)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert ours._asdict() == theirs._asdict()
    assert ours == tuple(ours)


@pytest.mark.parametrize(
    "given",
    [
        ((1,), {}),
        ((), {"x": 1}),
        ((1, [], "a", 4), {}),
        ((1, []), {"x": 1}),
        ((1, []), {"z": 1}),
        ((1, [], "a"), {"z": 1}),
    ],
)
def test_what_has_other_fields_is_refused(given: Any) -> None:
    by_position, by_name = given
    for kind in (Ours, Theirs):
        with pytest.raises(TypeError):
            kind(*by_position, **by_name)


def test_it_has_names_and_is_never_changed() -> None:
    point = Ours(1, [2])
    assert (point.x, point.y, point.name, point.there) == (1, [2], "point", True)
    assert Ours._fields == Theirs._fields
    assert Ours._field_defaults == Theirs._field_defaults
    moved = point._replace(x=0, name="origin")
    assert (moved, point.x, moved.there) == (Ours(0, [2], "origin"), 1, False)
    with pytest.raises((TypeError, ValueError)):
        point._replace(z=1)  # type: ignore[call-arg]
    for name in ("x", "z"):
        with pytest.raises(AttributeError):
            setattr(point, name, 5)
    assert not hasattr(point, "__dict__")
    match point:
        case Ours(x, _, name):
            assert (x, name) == (1, "point")


def test_a_copy_is_the_same() -> None:
    point = Ours(1, [2], "a")
    assert pickle.loads(pickle.dumps(point)) == point
    deep = copy.deepcopy(point)
    assert (deep, type(deep), deep.y is point.y) == (point, Ours, False)
