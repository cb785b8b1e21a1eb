"""Our wire as an adapter of `requests`: its session does redirects, cookies, hooks and authentication on top."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import requests
from certifi import where
from requests.adapters import HTTPAdapter
from requests.exceptions import SSLError
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.exceptions import InsecureRequestWarning, ProtocolError, ReadTimeoutError

from loadkit.clock import SystemClock
from loadkit.plan.redact import redact_message
from loadkit.plan.units import SECOND
from loadkit.wire.base import Clock, Exchange, Failure, Note, Origin, Request
from loadkit.wire.connection import HttpConnection
from loadkit.wire.resolver import Resolver, Trust, UnreadableFile
from loadkit.wire.session.call import FOREVER, Asked, Observer, ThreadCall
from loadkit.wire.session.exceptions import exception_of
from loadkit.wire.session.flow import Flow, begin
from loadkit.wire.session.outgoing import payload_of, pieces_of, place_of
from loadkit.wire.session.raw import Pull, raw_of
from loadkit.wire.session.response import Response

if TYPE_CHECKING:
    from requests import PreparedRequest


STILL: Final = FOREVER // 10
"""How long nothing may come if nobody says; less than for ever, so that the socket is armed once."""
MAX_PLACES: Final = 64
"""Connections that are kept open, each to another place."""
SCHEMES: Final = ("http", "https", "http+unix")


Verify: TypeAlias = bool | str | None
Cert: TypeAlias = str | tuple[str, str] | None
"""What `requests` calls verify and cert."""

Place: TypeAlias = tuple[Origin, Verify, Cert, int]
"""The number counts connections to the same origin: there are several while threads share a session."""

_BASE: Final = requests.Session
_REQUEST, _SEND, _CHOOSE = _BASE.request, _BASE.send, _BASE.get_adapter
_DELIVER: Final = HTTPAdapter.send
_PLAIN, _TLS = HTTPConnectionPool.ConnectionCls, HTTPSConnectionPool.ConnectionCls


def is_replaced() -> bool:
    """True if something else is in the place of these, as `responses`, `requests-mock` and `vcrpy` put it there."""
    # each by its name, for every call of a session comes here: 0.16 us, a loop takes four times as long
    return (
        HTTPAdapter.send is not _DELIVER
        or _BASE.send is not _SEND
        or _BASE.get_adapter is not _CHOOSE
        or _BASE.request is not _REQUEST
        or HTTPConnectionPool.ConnectionCls is not _PLAIN
        or HTTPSConnectionPool.ConnectionCls is not _TLS
    )


class WireAdapter(HTTPAdapter):
    """Sends over our wire what it can; the rest (proxies) as `HTTPAdapter` does, over urllib3."""

    def __init__(self, clock: Clock, resolver: Resolver | None = None, body_limit: int = 2**63) -> None:
        cast(Any, super()).__init__()
        self.clock = clock
        self.resolver = resolver or Resolver()
        self.body_limit = body_limit
        self.observe: Observer | None = None
        self.heeds_replacements = True
        """While `is_replaced`, send through `requests` and urllib3."""
        self.aborted = False
        self.calls = ThreadCall()
        self._unstamped = 0
        self.connections: dict[Place, HttpConnection] = {}
        self.forget: Callable[[], object] = _nobody_knows
        """Called when a connection is given up that may be known elsewhere."""
        weakref.finalize(self, _close_all, self.connections)

    def __getstate__(self) -> dict[str, Any]:
        return cast("dict[str, Any]", cast(Any, super()).__getstate__()) | {"body_limit": self.body_limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        WireAdapter.__init__(self, SystemClock(), body_limit=state.pop("body_limit"))
        cast(Any, super()).__setstate__(state)

    def send(  # type: ignore[override]
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Verify = True,
        cert: Cert = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request over the wire and read the head of the reply; raises `requests.RequestException`."""
        if not self.takes(request, proxies):
            return self._send_elsewhere(request, stream, timeout, verify, cert, proxies)
        ready = self.ready(request, timeout, follows=self.calls.current.follows)
        asked = Asked(ready.method, ready.url, self.calls.current.name)
        observation = _Observation(self, asked, len(ready.payload))
        self.calls.current.name = None
        begun = self._begun(request, ready, verify, cert, observation)
        if not isinstance(begun, Flow):
            raise self._failed(begun, observation, request, ready.origin)
        return self._response(request, begun, observation)

    def takes(self, request: PreparedRequest, proxies: Any) -> bool:
        """True if our wire can do this one."""
        url = request.url or ""
        scheme = urlsplit(url).scheme.lower()
        if scheme not in SCHEMES or select_proxy(url, proxies):
            return False
        return scheme == "http+unix" or not (self.heeds_replacements and is_replaced())

    def ready(
        self,
        request: PreparedRequest,
        timeout: Any,
        *,
        keep: int | None = None,
        span: int | None = None,
        follows: bool = False,
    ) -> Request:
        """The request as bytes, with its deadlines; of a body that is not text or bytes only the head."""
        connect_timeout, read_timeout = timeouts_of(timeout)
        origin, address = place_of(request)
        return Request(
            origin=origin,
            method=request.method or "",
            url=bare(request.url or ""),
            payload=payload_of(request, cast(Any, self).request_url(request, None), origin, address),
            timeout=self._left(timeout, span),
            keep=keep,
            lenient=True,
            read_timeout=STILL if read_timeout is None else read_timeout,
            connect_timeout=connect_timeout,
            follows=follows,
        )

    def _begun(
        self, request: PreparedRequest, ready: Request, verify: Verify, cert: Cert, observation: _Observation
    ) -> Flow | Exchange:
        """Send it on the session's connection, or on another one while that is in use."""
        for number in count():
            connection = self.connection(request, ready.origin, verify, cert, number)
            begun = begin(connection, ready, pieces_of(request, observation.count))
            if begun is not None:
                return begun
        raise AssertionError("there is always another")

    def connection(
        self,
        request: PreparedRequest,
        origin: Origin,
        verify: Verify,
        cert: Cert,
        number: int = 0,
    ) -> HttpConnection:
        """The session's connection to a place; raises `requests.RequestException` for unfit certificates."""
        place = (origin, verify, cert, number) if origin.tls else (origin, None, None, number)
        found = self.connections.get(place)
        if found is None:
            self._make_room()
            trust = self._trust(request, verify, cert) if origin.tls else Trust()
            if not trust.verify and not number:
                # what urllib3 would say, once a connection
                warnings.warn(f"certificates of {origin} are not verified", InsecureRequestWarning, stacklevel=2)
            made = HttpConnection(origin, partial(self.resolver.open, origin, trust, self.clock), self.clock)
            found = self.connections.setdefault(place, made)
        if self.aborted:
            # it may have been made after `abort` went through the others
            found.abort()
        return found

    @property
    def unstamped(self) -> int:
        """Replies so far whose arrival the kernel did not stamp."""
        return self._unstamped + sum(connection.unstamped for connection in tuple(self.connections.values()))

    def _make_room(self) -> None:
        """Give up the connection that was made first, if there are too many, of those that are not in use."""
        for place, first in list(self.connections.items()):
            if len(self.connections) < MAX_PLACES:
                return
            if not first.in_use and self.connections.pop(place, None) is not None:
                # for good, so that a prepared call that still refers to it takes another one
                first.in_use = True
                self._unstamped += first.unstamped
                first.close()
                self.forget()

    def revive(self) -> None:
        """Let requests go out again, on new connections: those that were aborted stay so."""
        self._unstamped = self.unstamped
        self.connections.clear()
        self.aborted = False

    def abort(self) -> None:
        """End the exchanges under way, from whatever thread; all later ones fail at once."""
        self.aborted = True
        for connection in list(self.connections.values()):
            connection.abort()

    def close(self) -> None:
        """Close all connections but those of streams that are not over; what is sent after it opens new ones."""
        for connection in list(self.connections.values()):
            connection.close()
        cast(Any, super()).close()

    # --

    def _left(self, timeout: Any, span: int | None) -> int:
        spans = [FOREVER if span is None else span]
        if isinstance(timeout, Timeout) and isinstance(timeout.total, int | float):
            spans.append(round(timeout.total * SECOND))
        if span is None and self.calls.current.deadline is not None:
            # what is over already fails as soon as it is tried
            spans.append(max(self.calls.current.deadline - self.clock.now(), 1))
        return min(spans)

    def _trust(self, request: PreparedRequest, verify: Verify, cert: Cert) -> Trust:
        # requests itself says which files these are, and what is wrong with them
        files: Any = SimpleNamespace(ca_certs=None, ca_cert_dir=None, cert_file=None, key_file=None)
        cast(Any, self).cert_verify(files, "https://", verify, cert)
        # some versions of requests name no file for True
        ca = None if self.resolver.trusts_system and verify is True else files.ca_certs or files.ca_cert_dir or where()
        is_verified = files.cert_reqs != "CERT_NONE"
        trust = Trust(is_verified, _text(ca) if is_verified else None, _text(files.cert_file), _text(files.key_file))
        try:
            self.resolver.context(trust)
        except UnreadableFile as unreadable:
            raise SSLError(str(unreadable.error), request=request) from None
        return trust

    def _response(self, request: PreparedRequest, flow: Flow, observation: _Observation) -> Response:
        head = flow.reader.head
        response = Response()
        pull = Pull(head, str(request.method), flow=flow, ended=lambda: observation.report(flow.exchange))
        raw = raw_of(head, str(request.method), pull, self.deadline_check(flow.deadline, request.url or ""))
        built = cast(Any, self).build_response(request, raw)
        response.__dict__.update(built.__dict__)
        response._limit = self.body_limit
        return response

    def deadline_check(self, deadline: int, url: str) -> Callable[[], None]:
        """What raises when a body is decoded beyond the deadline, or although all was aborted."""

        def check() -> None:
            if self.aborted:
                raise ProtocolError("aborted")
            if self.clock.now() > deadline:
                late = TimeoutError("the body was not decoded before the deadline")
                raise ReadTimeoutError(cast(Any, None), url, "Read timed out.") from late

        return check

    def _failed(
        self, exchange: Exchange, observation: _Observation, request: PreparedRequest, origin: Origin
    ) -> Exception:
        observation.report(exchange)
        note = exchange[-1]
        assert note
        assert note.failure
        if note.failure.kind == "connect":
            self.resolver.forget(origin)
        return exception_of(note.failure, request)

    def _send_elsewhere(self, request: PreparedRequest, *settings: Any) -> requests.Response:
        if self.aborted:
            raise requests.ConnectionError("aborted", request=request)
        stream, timeout, verify, cert, proxies = settings
        options = {"stream": stream, "timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies}
        return self.time(request, lambda: super(WireAdapter, self).send(request, **options))

    def time(self, request: PreparedRequest, send: Callable[[], requests.Response]) -> requests.Response:
        """Observe an exchange that others make: up to its head, for what is read later is not seen here."""
        asked = Asked(str(request.method), bare(request.url or ""), self.calls.current.name)
        self.calls.current.name = None
        sent = self.clock.now()
        status, note = 0, None
        try:
            response = send()
            status = response.status_code
            self._unstamped += 1
        except requests.RequestException as error:
            note = Note(failure_of(error))
            raise
        finally:
            now = self.clock.now()
            if self.observe is not None and (status or note):
                self.observe(asked, (status, sent, now, now, 0, note), 0)
        return response


class _Observation:
    """Tells the observer once of an exchange, whenever it is over."""

    __slots__ = ("_adapter", "asked", "size")

    def __init__(self, adapter: WireAdapter, asked: Asked, size: int) -> None:
        self._adapter = adapter
        self.asked = asked
        self.size = size
        """Bytes of the request."""

    def count(self, size: int) -> None:
        """So many bytes more of the request were sent."""
        self.size += size

    def report(self, exchange: Exchange | None) -> None:
        """The first time it is called with an exchange, that is what it was."""
        observe = self._adapter.observe
        if observe is not None and exchange:
            observe(self.asked, exchange, self.size)


def failure_of(error: BaseException) -> Failure:
    """What kind of failure an exception of `requests` tells of."""
    message = redact_message(str(error))
    if isinstance(error, SSLError):
        return Failure("tls", message)
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return Failure("connect", message)
    if isinstance(error, requests.Timeout):
        return Failure("timeout", message)
    return Failure("disconnect", message)


def timeouts_of(timeout: Any) -> tuple[int | None, int | None]:
    """What `timeout=` says of connecting and of waiting between bytes, in nanoseconds; raises `ValueError`."""
    if timeout is None:
        return None, None
    if isinstance(timeout, tuple):
        if len(timeout) != 2:
            raise ValueError(f"cannot use timeout={timeout!r}; write (connect, read), or one number for both")
        timeout = Timeout(connect=timeout[0], read=timeout[1])
    elif not isinstance(timeout, Timeout):
        timeout = Timeout(connect=timeout, read=timeout)
    read = timeout._read if isinstance(timeout._read, int | float) else None
    connect = timeout.connect_timeout
    connect_timeout = round(connect * SECOND) if isinstance(connect, int | float) else None
    return connect_timeout, None if read is None else round(read * SECOND)


def bare(url: str) -> str:
    """A URL without what is not shown: query, fragment, name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _nobody_knows() -> None:
    """For an adapter without a session."""


def _close_all(connections: dict[Place, HttpConnection]) -> None:
    for connection in list(connections.values()):
        connection.close()
        for channel in connection.lent():
            connection.drop(channel)


def _text(path: Any) -> str | None:
    return os.fspath(path) if path else None
