"""Our wire as an adapter of `requests`: its session does redirects, cookies, hooks and authentication on top."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import requests
from certifi import where
from requests.adapters import HTTPAdapter
from requests.exceptions import SSLError
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import InsecureRequestWarning, ProtocolError, ReadTimeoutError

from loadkit.clock import SystemClock
from loadkit.plan.urls import SCHEMES
from loadkit.wire.base import Exchange, Origin, Request
from loadkit.wire.connection import HttpConnection
from loadkit.wire.resolver import Resolver, Trust, UnreadableFile
from loadkit.wire.session.call import FOREVER, CallContext, Observation, TimedAdapter
from loadkit.wire.session.exceptions import exception_of
from loadkit.wire.session.flow import Flow, begin
from loadkit.wire.session.outgoing import pieces_of, request_of
from loadkit.wire.session.pool import Cert, ConnectionPool, Verify
from loadkit.wire.session.raw import Pull, raw_of
from loadkit.wire.session.response import Response

if TYPE_CHECKING:
    from requests import PreparedRequest

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
    """Sends over our wire what it can; the rest (proxies) as `HTTPAdapter` does, over urllib3.

    With `heeds_replacements` it sends through `requests` and urllib3 while something `is_replaced` there.
    """

    def __init__(
        self, context: CallContext, pool: ConnectionPool, body_limit: int = 2**63, *, heeds_replacements: bool = True
    ) -> None:
        cast(Any, super()).__init__()
        self.context = context
        self.pool = pool
        self.body_limit = body_limit
        self.heeds_replacements = heeds_replacements

    def __getstate__(self) -> dict[str, Any]:
        return cast("dict[str, Any]", cast(Any, super()).__getstate__()) | {"body_limit": self.body_limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        clock = SystemClock()
        WireAdapter.__init__(self, CallContext(clock), ConnectionPool(Resolver(), clock), state.pop("body_limit"))
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
            if self.pool.is_aborted:
                raise requests.ConnectionError("aborted", request=request)
            options = {"stream": stream, "timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies}
            return TimedAdapter(super(), self.context).send(request, **options)
        call = self.context.current
        # what is over already fails as soon as it is tried
        span = FOREVER if call.deadline is None else max(call.deadline - self.context.clock.now(), 1)
        target = cast(Any, self).request_url(request, None)
        ready = request_of(request, target, timeout, span, follows=call.follows)
        observation = self.context.observation(ready.method, ready.url, len(ready.payload))
        begun = self._begun(request, ready, verify, cert, observation)
        if not isinstance(begun, Flow):
            observation.report(begun, (ready, b"", b"", False))
            raise self.failed(begun, request, ready.origin)
        return self._response(request, ready, begun, observation)

    def takes(self, request: PreparedRequest, proxies: Any) -> bool:
        """True if our wire can do this one."""
        url = request.url or ""
        scheme = urlsplit(url).scheme.lower()
        if scheme not in SCHEMES or select_proxy(url, proxies):
            return False
        return scheme == "http+unix" or not (self.heeds_replacements and is_replaced())

    def connection(
        self, request: PreparedRequest, origin: Origin, verify: Verify, cert: Cert, number: int = 0
    ) -> HttpConnection:
        """The session's connection to a place; raises `requests.RequestException` for unfit certificates."""
        if not origin.tls:
            return self.pool.connection((origin, None, None, number), Trust)
        trust = partial(self._trust, request, origin, verify, cert, number)
        return self.pool.connection((origin, verify, cert, number), trust)

    def failed(self, exchange: Exchange, request: PreparedRequest, origin: Origin) -> requests.RequestException:
        """The exception for an exchange that failed."""
        note = exchange[-1]
        assert note
        assert note.failure
        if note.failure.kind == "connect":
            self.pool.resolver.forget(origin)
        return exception_of(note.failure, request)

    def deadline_check(self, deadline: int, url: str) -> Callable[[], None]:
        """What raises when a body is decoded beyond the deadline, or although all was aborted."""

        def check() -> None:
            if self.pool.is_aborted:
                raise ProtocolError("aborted")
            if self.context.clock.now() > deadline:
                late = TimeoutError("the body was not decoded before the deadline")
                raise ReadTimeoutError(cast(Any, None), url, "Read timed out.") from late

        return check

    @property
    def unstamped(self) -> int:
        """Replies so far whose arrival the kernel did not stamp."""
        return self.pool.unstamped + self.context.unstamped

    def close(self) -> None:
        """Close all connections but those of streams that are not over; what is sent after it opens new ones."""
        self.pool.close()
        cast(Any, super()).close()

    def _begun(
        self, request: PreparedRequest, ready: Request, verify: Verify, cert: Cert, observation: Observation
    ) -> Flow | Exchange:
        """Send it on the session's connection, or on another one while that is in use."""
        for number in count():
            connection = self.connection(request, ready.origin, verify, cert, number)
            begun = begin(connection, ready, pieces_of(request, observation.count))
            if begun is not None:
                return begun
        raise AssertionError("there is always another")

    def _trust(self, request: PreparedRequest, origin: Origin, verify: Verify, cert: Cert, number: int) -> Trust:
        # requests itself says which files these are, and what is wrong with them
        files: Any = SimpleNamespace(ca_certs=None, ca_cert_dir=None, cert_file=None, key_file=None)
        cast(Any, self).cert_verify(files, "https://", verify, cert)
        resolver = self.pool.resolver
        # some versions of requests name no file for True
        ca = None if resolver.trusts_system and verify is True else files.ca_certs or files.ca_cert_dir or where()
        is_verified = files.cert_reqs != "CERT_NONE"
        trust = Trust(is_verified, _text(ca) if is_verified else None, _text(files.cert_file), _text(files.key_file))
        try:
            resolver.context(trust)
        except UnreadableFile as unreadable:
            raise SSLError(str(unreadable.error), request=request) from None
        if not is_verified and not number:
            # what urllib3 would say, once a connection
            warnings.warn(f"certificates of {origin} are not verified", InsecureRequestWarning, stacklevel=2)
        return trust

    def _response(self, request: PreparedRequest, ready: Request, flow: Flow, observation: Observation) -> Response:
        head = flow.reader.head
        response = Response()

        def report() -> None:
            observation.report(flow.exchange, (ready, head, flow.beginning, not flow.reader.complete))

        pull = Pull(head, str(request.method), flow=flow, ended=report)
        raw = raw_of(head, str(request.method), pull, self.deadline_check(flow.deadline, request.url or ""))
        built = cast(Any, self).build_response(request, raw)
        response.__dict__.update(built.__dict__)
        response._limit = self.body_limit
        return response


def _text(path: Any) -> str | None:
    return os.fspath(path) if path else None
