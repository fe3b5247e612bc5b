"""What is wrong with valid JSON, YAML, XML or form data, and the 422 that says it."""

from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from oberonc.piston.problems import Problem

#: Of the faults that an answer names: a stranger makes one with each byte or two.
MOST: Final = 100
#: Characters of paths in an answer: a long key is in the path of each fault below it.
LONGEST: Final = 100_000
#: What a fragment may hold as it is, beside letters and digits (RFC 3986, 3.5).
_FRAGMENT: Final = "!$&'()*+,;=:@?/"


class Fault(NamedTuple):
    """One thing that is wrong, at *path* (keys and indexes, () is the whole)."""

    path: tuple[str | int, ...]
    detail: str
    code: str


def unprocessable(faults: Iterable[Fault], place: str = "pointer") -> Problem:
    """The Problem 422 with `errors`; *place* is "parameter" for query strings."""
    errors: list[dict[str, str]] = []
    length = 0
    for fault in faults:
        if place == "pointer":
            where = pointer(fault.path)
        else:
            where = "".join(str(part) for part in fault.path[:1])
        length += len(where)
        if errors and (len(errors) == MOST or length > LONGEST):
            break
        errors.append({place: where, "detail": fault.detail, "code": fault.code})
    return Problem(422, "The request is well-formed, but not valid.", errors=errors)


def pointer(path: tuple[str | int, ...]) -> str:
    """*path* as a JSON pointer in a URI fragment (RFC 6901, 3 and 6)."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + "".join(
        "/" + quote(part, safe=_FRAGMENT, errors="surrogatepass") for part in parts
    )


def django_faults(error: ValidationError) -> list[Fault]:
    """What a form's, a model's or anybody's ValidationError says."""
    if not hasattr(error, "error_dict"):
        return _of(error.error_list, ())
    faults = []
    for name, errors in error.error_dict.items():
        path = () if name == NON_FIELD_ERRORS else (name,)
        faults += _of(errors, path)
    return faults


def _of(errors: Iterable[ValidationError], path: tuple[str, ...]) -> list[Fault]:
    return [Fault(path, one.messages[0], one.code or "invalid") for one in errors]
