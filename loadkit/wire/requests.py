"""The same job through `requests`: slow (400 us a request), timed by our own clock; a reference for the fast wire."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from loadkit.plan.errors import UsageError
from loadkit.plan.redact import masked_message
from loadkit.plan.units import SECOND
from loadkit.wire.base import Clock, Exchange, Failure, Note, Origin, Request, Send
from loadkit.wire.channel import tls_reason
from loadkit.wire.reply import Reply

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario

PIECE: Final = 64 * 1024
# what http.client raises for what is not HTTP; a ValueError is a chunk's size that is no number
GARBAGE: Final = (http.client.BadStatusLine, http.client.LineTooLong, urllib3.exceptions.HeaderParsingError, ValueError)


class RequestsWire:
    """A `requests.Session` for each connection."""

    clock_source = "own"

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        self._clock = clock
        self._scenario = scenario

    def resolve(self, origin: Origin) -> None:
        """See that there is such a host; `requests` will look it up again."""
        if origin.unix:
            raise UsageError("transport='requests' does not speak http+unix; use transport='sockets'")
        try:
            socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"cannot resolve the host {origin.host!r}: {reason}") from None

    def connect(self, origin: Origin) -> _Connection:
        """A session for one thread."""
        session = requests.Session()
        session.trust_env = False
        scenario = self._scenario
        if not scenario.verify:
            # the report says so, once; urllib3 would for each request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        session.verify = str(scenario.ca) if scenario.verify and scenario.ca else scenario.verify
        if scenario.cert is not None:
            cert = scenario.cert
            session.cert = (str(cert[0]), str(cert[1])) if isinstance(cert, tuple) else str(cert)
        return _Connection(session, origin, self._clock)


class _Connection:
    def __init__(self, session: requests.Session, origin: Origin, clock: Clock) -> None:
        self._session = session
        self._origin = origin
        self._clock = clock
        self._last: Reply | None = None
        self._aborted = False
        self._made: http.client.HTTPConnection | None = None
        self.unstamped = 0
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(self._keep))

    def _keep(self, made: http.client.HTTPConnection) -> None:
        self._made = made

    def open(self) -> Note:
        """`requests` connects when it sends."""
        return Note()

    def sender(self, request: Request) -> Send:  # noqa: ARG002 - it has to look at each anyway
        """The function for any request."""
        return self._send

    def _send(self, request: Request) -> Exchange:
        sent = self._clock.now()
        if self._aborted:
            return 0, 0, sent, sent, 0, Note(Failure("disconnect", "aborted"))
        try:
            status, size = self._exchange(request, sent + request.timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            now = self._clock.now()
            return 0, sent, now, now, 0, Note(self._failure(error, request))
        arrived = self._clock.now()
        self.unstamped += 1
        return status, sent, arrived, arrived, size, None

    def _exchange(self, request: Request, deadline: int) -> tuple[int, int]:
        prepared = cast(requests.PreparedRequest, request.prepared)
        timeout = request.timeout / SECOND
        response = self._session.send(prepared, timeout=timeout, stream=True, allow_redirects=False)
        with response:
            size, kept = self._body(response, request.keep or 0, deadline)
        if request.keep is not None:
            self._last = Reply(head=_head(response), body=kept, url=request.url, truncated=len(kept) < size)
        return response.status_code, size

    def _body(self, response: requests.Response, keep: int, deadline: int) -> tuple[int, bytes]:
        """How many bytes came, and the first of them; `requests` knows no deadline, so it is held here."""
        size, kept = 0, b""
        # what urllib3 has read of it at once; before 2.1 it knew only all that was asked for
        read = getattr(response.raw, "read1", response.raw.read)
        while piece := read(PIECE, decode_content=False):
            size += len(piece)
            kept += piece[: keep - len(kept)]
            if self._clock.now() > deadline:
                raise requests.exceptions.ReadTimeout
        return size, kept

    def _failure(self, error: Exception, request: Request) -> Failure:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                return Failure("tls", f"{tls_reason(cause)} {self._origin}")
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Failure("connect", f"timed out connecting to {self._origin}")
        if any(isinstance(cause, TimeoutError | requests.exceptions.Timeout) for cause in causes):
            return Failure("timeout", f"no whole reply within {request.timeout / SECOND:g} s")
        if any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes):
            return Failure("connect", f"{_reason(causes)} {self._origin}")
        if any(isinstance(cause, GARBAGE) and not isinstance(cause, ConnectionError) for cause in causes):
            return Failure("protocol", _reason(causes))
        return Failure("disconnect", _reason(causes))

    def reply(self) -> Reply:
        """The last reply of a request that keeps bodies."""
        assert self._last, "a reply was kept"
        return self._last

    def abort(self) -> None:
        """End what is under way; what is being connected ends by its timeout."""
        self._aborted = True
        self._session.close()
        sock = self._made.sock if self._made else None
        if sock is not None:
            with suppress(OSError):
                # not that of ssl, which would take the state of TLS from the thread that reads
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


class _Adapter(HTTPAdapter):
    """Tells of each connection that it makes: `requests` has no other way to end an exchange of another thread."""

    def __init__(self, keep: Callable[[http.client.HTTPConnection], None]) -> None:
        self._keep = keep
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Have pools that tell."""
        super().init_poolmanager(*args, **options)
        kinds = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {scheme: self._telling(pool) for scheme, pool in kinds.items()}

    def _telling(self, pool: Any) -> Any:
        def make(*args: Any, **options: Any) -> Any:
            made = pool.ConnectionCls(*args, **options)
            self._keep(made)
            return made

        return type(pool.__name__, (pool,), {"ConnectionCls": staticmethod(make)})


def _head(response: requests.Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status_code:03} {response.reason or ''}"]
    lines += [f"{name}: {value}" for name, value in response.raw.headers.iteritems()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that it was made of, the innermost last; urllib3 wraps them in each other's arguments."""
    while error:
        yield error
        inner = [arg for arg in (*error.args, getattr(error, "reason", None)) if isinstance(arg, BaseException)]
        error = inner[0] if inner else error.__cause__ or error.__context__


def _reason(causes: list[BaseException]) -> str:
    """What the system says, else the innermost: without the addresses of objects in urllib3's own messages."""
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return f"{type(causes[-1]).__name__}: {masked_message(str(causes[-1]))}"
