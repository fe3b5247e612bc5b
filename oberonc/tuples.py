"""`typing.NamedTuple` for modules that every hook loads.

Type checkers see the one of `typing`. That one costs a hook as much as a fifth of
Python's start, and each class another quarter of a millisecond, since its `__new__` is
compiled; this one does the same with what is loaded anyway. Its modules need `from
__future__ import annotations`: fields may have types that are only there for checkers.
"""

TYPE_CHECKING = False  # what checkers take for true, without loading `typing`
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    from _collections import _tuplegetter

    class _Kind(type):
        """Makes a class of what is annotated in it."""

        def __new__(cls, name, bases, space):
            """The class *name*: a tuple whose items are its annotated fields."""
            fields = tuple(space.get("__annotations__", ()))
            defaults = {field: space[field] for field in fields if field in space}
            getters = {
                field: _tuplegetter(index, f"Field {index}")
                for index, field in enumerate(fields)
            }
            own = {"_fields": fields, "_field_defaults": defaults, "__slots__": ()}
            own["__match_args__"] = fields
            return super().__new__(cls, name, bases, {**space, **getters, **own})

    class NamedTuple(tuple, metaclass=_Kind):
        """A tuple whose items have names."""

        def __new__(cls, /, *given, **named):
            """The tuple of all fields, by position or name, or by default."""
            if named or len(given) != len(cls._fields):
                rest = cls._fields[len(given) :]
                known = cls._field_defaults | named
                if not named.keys() <= {*rest} or not known.keys() >= {*rest}:
                    raise TypeError(f"{cls.__name__} has other fields")
                if len(given) > len(cls._fields):
                    raise TypeError(f"{cls.__name__} has fewer fields")
                given = (*given, *(known[field] for field in rest))
            return tuple.__new__(cls, given)

        @classmethod
        def _make(cls, items):
            return cls(*items)

        def _replace(self, /, **changes):
            return type(self)(**{**self._asdict(), **changes})

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            """What a copy is made of."""
            return tuple(self)

        def __repr__(self):
            """As it would be written."""
            items = ", ".join(f"{k}={v!r}" for k, v in self._asdict().items())
            return f"{type(self).__name__}({items})"
