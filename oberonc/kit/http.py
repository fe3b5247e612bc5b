"""The only door to requests: time limits, a cap on the answer, no surprises from the
environment, an address guard.

A request ends within its total limit whatever the server does: a watchdog shuts the
connection down. Nothing is read from proxy variables or `~/.netrc`, nothing is
redirected unless asked for, and no secret reaches a message.
"""

import codecs
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit
from weakref import WeakSet

import requests
import requests.auth
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from oberonc.errors import Retry
from oberonc.kit.answers import (
    Answer,
    NotDone,
    Refused,
    check,
    expect_no_page,
    reset_wait,
)
from oberonc.redaction import redact, without_userinfo
from oberonc.text import one_line

CONNECT_LIMIT = 10.0
READ_LIMIT = 20.0
TOTAL_LIMIT = 25.0
#: Bytes of an answer that are read; a longer one is refused.
SIZE_LIMIT = 4 * 1024 * 1024
#: The same of an answer that only asks for authentication.
ASIDE_LIMIT = 64 * 1024
#: Redirects followed where they are followed at all.
REDIRECTS = 3
USER_AGENT = "oberonc (https://pypi.org/project/oberonc/)"


def part(text: str) -> str:
    """*text* as one part of a URL's path, whatever is in it."""
    return quote(text, safe="")


class Http:
    """Requests to one server, with its credentials; for one thread.

    `guarded=True` is for URLs that do not come from the administrator's configuration:
    https only, and no address but public ones is connected to.
    """

    def __init__(
        self,
        *,
        headers: dict[str, str] | None = None,
        auth: "tuple[str, str] | requests.auth.AuthBase | None" = None,
        secrets: Iterable[str] = (),
        proxy: str = "",
        ca: str = "",
        guarded: bool = False,
        remaining: Callable[[], float] = lambda: float("inf"),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.remaining, self.now, self.guarded = remaining, now, guarded
        self.secrets = [
            secret
            for secret in (*secrets, auth[1] if isinstance(auth, tuple) else "")
            if len(secret) > 3
        ]
        self._rest_until = 0.0
        self._watchdog = _Watchdog()
        self._session = _Session()
        # no proxies, no netrc, no CA bundle that an environment happens to name
        self._session.trust_env = False
        self._session.auth = auth
        self._session.proxies = (
            {"http": proxy, "https": proxy} if proxy and not guarded else {}
        )
        self._session.verify = ca or True
        self._session.headers.update(
            {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self._watchdog, guarded))

    def call(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        redirects: bool = False,
        pages: bool = False,
        errors: tuple[int, ...] = (),
    ) -> Answer:
        """The answer to a request. One that is no success raises what it means, but for
        the statuses in *errors*; so does a page of HTML, unless *pages* may come.

        With *redirects* a GET is followed to where it is sent within the same host.
        """
        what = f"{method} {self._shown(urlsplit(url)._replace(query='', fragment='').geturl())}"
        self._keep_rest(what)
        request = {"json": json, "data": data, "params": params, "headers": headers}
        for _ in range(REDIRECTS + 1):
            answer = self._send(method, url, what, request)
            target = _leads(url, answer) if redirects and method == "GET" else ""
            if not target:
                break
            url, request["params"] = target, None
        self._rest_until = self.now() + (reset_wait(answer.headers, self.now()) or 0.0)
        if answer.status in errors:
            return answer
        shown = answer._replace(text=self._redacted(answer.text))
        check(shown, what, self.now())
        if not pages:
            expect_no_page(shown, what)
        return answer

    def _keep_rest(self, what: str) -> None:
        """Do not even ask while the server's limit is used up."""
        wait = self._rest_until - self.now()
        if wait > 0:
            raise NotDone(f"rate limit: {what} would be refused", after=wait)

    def _send(
        self, method: str, url: str, what: str, request: dict[str, Any]
    ) -> Answer:
        if self.guarded and urlsplit(url).scheme != "https":
            raise Refused(f"{what}: only https is allowed here")
        total = min(TOTAL_LIMIT, self.remaining())
        if total <= 0:
            raise NotDone(f"{what}: no time is left", after=0.0)
        with self._watchdog.limit(total) as expired:
            try:
                return self._exchange(method, url, request, total)
            except Refused:
                raise
            except (
                requests.RequestException,
                urllib3.exceptions.HTTPError,
                OSError,
                ValueError,
            ) as error:
                raise self._failure(error, what, total if expired() else 0.0) from None

    def _exchange(
        self, method: str, url: str, request: dict[str, Any], total: float
    ) -> Answer:
        limits = (min(CONNECT_LIMIT, total), min(READ_LIMIT, total))
        with self._session.request(
            method, url, timeout=limits, stream=True, allow_redirects=False, **request
        ) as response:
            connection = response.raw.connection
            body = response.raw.read(SIZE_LIMIT + 1, decode_content=False)
            if response.status_code >= 300 and response.request.body and connection:
                # who refuses may not have read what was sent, and would take that for
                # the next request
                connection.close()
        if len(body) > SIZE_LIMIT:
            raise Refused(
                f"{method} {self._shown(url)}: the answer is longer than {SIZE_LIMIT} bytes"
            )
        headers = {name.lower(): value for name, value in response.headers.items()}
        if len(body) < int(headers.get("content-length", 0)) and method != "HEAD":
            raise OSError("the answer was cut short")
        return Answer(
            response.status_code,
            headers,
            body.decode(_charset(response.encoding), "replace"),
        )

    def _failure(self, error: Exception, what: str, limit: float) -> Retry:
        """What a failure without an answer means: certainly nothing was done when there
        was no connection.
        """
        if limit:
            return Retry(f"{what}: no whole answer within {limit:.0f} s")
        reason = one_line(self._redacted(_cause(error)), 200)
        kind = NotDone if _never_connected(error) else Retry
        return kind(f"{what}: {reason}")

    def _shown(self, url: str) -> str:
        return self._redacted(without_userinfo(url))

    def _redacted(self, text: str) -> str:
        return redact(text, self.secrets)


def _charset(name: str | None) -> str:
    """*name* where it is one in which people write; Python has others, of which some
    take a time that grows with the square of the text.
    """
    try:
        known = codecs.lookup(name or "utf-8").name
    except LookupError:
        return "utf-8"
    plain = known.startswith(("utf-8", "utf-16", "iso8859-", "cp125", "ascii"))
    return known if plain else "utf-8"


def _leads(url: str, answer: Answer) -> str:
    """Where *answer* redirects to, within the host of *url*; else an empty string."""
    try:
        target = urljoin(url, answer.headers.get("location", ""))
        old, new = urlsplit(url), urlsplit(target)
    except ValueError:
        return ""
    same = (old.scheme, old.netloc) == (new.scheme, new.netloc)
    return target if same and 300 <= answer.status < 400 else ""


def _cause(error: Exception) -> str:
    """The innermost reason: what the layers above it repeat is noise."""
    inner: BaseException = error
    while True:
        wrapped = (
            inner.args[0]
            if inner.args and isinstance(inner.args[0], Exception)
            else None
        )
        deeper = getattr(inner, "reason", None) or wrapped or inner.__cause__
        if not isinstance(deeper, Exception) or deeper is inner:
            break
        inner = deeper
    return f"{inner}" or type(inner).__name__


def _never_connected(error: Exception) -> bool:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    kinds = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
    )
    return isinstance(error, requests.ConnectTimeout) or isinstance(reason, kinds)


class AnyAuth(requests.auth.HTTPDigestAuth):
    """User and password by whichever of Digest and Basic the server asks for,
    and only once it asks; from then on without being asked.
    """

    _thread_local: Any  # requests'
    #: Whether the server asked for Basic.
    _basic = False

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        super().__call__(r)  # type: ignore[no-untyped-call]
        if self._basic:
            requests.auth.HTTPBasicAuth(self.username, self.password)(r)
        return r

    def handle_401(self, r: requests.Response, **kwargs: Any) -> requests.Response:
        """Called for every answer, whatever its status."""
        asked = r.headers.get("www-authenticate", "").lower()
        if r.status_code == 401 and "digest" in asked:
            if self._thread_local.num_401_calls < 2:
                _drop(r)
            answer: requests.Response = super().handle_401(r, **kwargs)  # type: ignore[no-untyped-call]
            return answer
        self._thread_local.num_401_calls = 1
        if r.status_code != 401 or r.request.headers.get("Authorization"):
            return r
        _drop(r)
        self._basic = True
        again = r.request.copy()
        requests.auth.HTTPBasicAuth(self.username, self.password)(again)
        return r.connection.send(again, **kwargs)


def _drop(answer: requests.Response) -> None:
    """Have done with the body of an answer that only asks for something, so that its
    connection can be used again.

    Libraries would read all of it, whatever its size. A connection on which more is to
    come, or on which what was sent may lie unread, is closed.
    """
    connection = answer.raw.connection
    if len(answer.raw.read(ASIDE_LIMIT + 1, decode_content=False)) > ASIDE_LIMIT:
        answer.raw.close()
    answer._content, answer._content_consumed = b"", True  # type: ignore[attr-defined]
    answer.close()
    if answer.request.body and connection:
        connection.close()


class _Session(requests.Session):
    """Follows no redirects,
    and does not read the bodies of those that it will not follow.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: `Http.call` follows what may be followed."""


class _Watchdog:
    """Shuts the sockets of a request down when its total time is over: limits on each
    read do not add up.
    """

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def watch(self, sock: socket.socket) -> None:
        self._sockets.add(sock)

    @contextmanager
    def limit(self, seconds: float) -> Iterator[Callable[[], bool]]:
        """Yields a function that tells whether the time was over."""
        expired = threading.Event()
        timer = threading.Timer(seconds, self._expire, [expired])
        timer.daemon = True
        timer.start()
        try:
            yield expired.is_set
        finally:
            timer.cancel()

    def _expire(self, expired: threading.Event) -> None:
        expired.set()
        for sock in list(self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Connections that the watchdog knows, and that a guard may refuse."""

    def __init__(self, watchdog: _Watchdog, guarded: bool) -> None:
        self._pools = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, watchdog, guarded)
        }
        self._pools["https"] = _pool(
            HTTPSConnectionPool, HTTPSConnection, watchdog, guarded
        )
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pool(pool: Any, connection: Any, watchdog: _Watchdog, guarded: bool) -> Any:
    """The *pool* class, whose connections are watched and, where *guarded*, go to
    checked addresses only.
    """

    class Watched(connection):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            watchdog.watch(self.sock)

        def _new_conn(self) -> socket.socket:
            if not guarded:
                made: socket.socket = super()._new_conn()
                return made
            try:
                return connect_public(self.host, self.port, CONNECT_LIMIT)
            except OSError as error:
                raise urllib3.exceptions.NewConnectionError(self, str(error)) from error

    return type(pool.__name__, (pool,), {"ConnectionCls": Watched})


def connect_public(host: str, port: int, limit: float) -> socket.socket:
    """A connection to *host* by one of its addresses, all of
    which are public; resolved once, so no second answer of a
    name server can lead elsewhere than where the check looked.
    """
    addresses = [
        str(row[4][0])
        for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]
    for address in addresses:
        if not is_public(address):
            raise Refused(
                f"{one_line(host)} has the address {address}, which is not a public one"
            )
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), limit)
    return socket.create_connection((addresses[-1], port), limit)


#: What is not the public network, whatever the interpreter's `ipaddress` holds of it,
#: which differs between releases: IANA's special-purpose registries (RFC 6890) without
#: the exceptions in them, multicast, and old 6to4 relays.
_SPECIAL: Final = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24"
    " 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
    " 2001::/23 2001:db8::/32 3fff::/20"
)
_NOT_PUBLIC: Final = [ipaddress.ip_network(net) for net in _SPECIAL.split()]
#: The only IPv6 addresses that IANA has given out for everybody.
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
#: IPv6 networks whose addresses hold an IPv4 address, and how many bits follow it:
#: mapped, NAT64, 6to4.
_HOLDS_IPV4: Final = [
    (ipaddress.ip_network(net), after)
    for net, after in (("::ffff:0:0/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
]


def is_public(address: str) -> bool:
    """Whether *address* leads to the public network, also where it holds another
    address inside.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    for net, after in _HOLDS_IPV4:
        if ip in net:
            ip = ipaddress.IPv4Address(int(ip) >> after & 0xFFFFFFFF)
    if ip.version == 6 and ip not in _GLOBAL_UNICAST:
        return False
    return not any(ip in net for net in _NOT_PUBLIC)
