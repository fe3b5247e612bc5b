"""oberonc: a push moves the work that hangs on it.

`BaseBroker`, `Reject`, `Retry`, `Secret`, `Check` and the type `Payload` are the whole
interface for plugins.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oberonc.broker.contract import BaseBroker, Check
    from oberonc.broker.given import Payload
    from oberonc.errors import Reject, Retry
    from oberonc.redaction import Secret

__version__ = "0.1.0"
__all__ = ["BaseBroker", "Check", "Payload", "Reject", "Retry", "Secret"]

_HOMES = {
    "BaseBroker": "broker.contract",
    "Check": "broker.contract",
    "Payload": "broker.given",
    "Secret": "redaction",
    "Reject": "errors",
    "Retry": "errors",
}


def __getattr__(name: str) -> "Any":
    """Load the name when it is asked for: the hook imports `oberonc.hook` and should
    pay for that alone.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'oberonc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"oberonc.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
