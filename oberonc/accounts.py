"""What the machine calls its accounts and groups. Light, since each hook asks."""

import pwd
import time

#: Seconds for which a name is remembered, and how many are: a directory on the network
#: may be asked for each, and a daemon asks for each push.
_REMEMBERED = 60.0
_MOST = 1024
#: {uid: (until when, the name)}
_names: dict[int, tuple[float, str | None]] = {}


def name(uid: int) -> str | None:
    """The name of the account *uid*; None where it has none, as in a container."""
    now = time.monotonic()
    until, known = _names.get(uid, (0.0, None))
    if now < until:
        return known
    try:
        known = pwd.getpwuid(uid).pw_name
    except KeyError:
        known = None
    if len(_names) >= _MOST:
        _names.clear()
    _names[uid] = (now + _REMEMBERED, known)
    return known


def person(uid: int) -> str:
    """*uid* in words: its account's name, or `uid 1000`."""
    return name(uid) or f"uid {uid}"


def group_name(gid: int) -> str:
    """The name of the group *gid*, or its number."""
    import grp  # no hook that goes well needs it

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
