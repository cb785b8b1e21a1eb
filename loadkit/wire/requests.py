"""The same job through `requests`: slow (400 us a request), timed by our own clock; a reference for the fast wire."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, cast

import requests
import urllib3

from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND
from loadkit.wire.base import Clock, Exchange, Failure, Note, Origin, Request, Sender
from loadkit.wire.reply import Reply

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario


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
        self.unstamped = 0

    def open(self) -> Note:
        """`requests` connects when it sends."""
        return Note()

    def sender(self, request: Request) -> Sender:
        """The function for this request."""

        def send() -> Exchange:
            sent = self._clock.now()
            try:
                status, size = self._exchange(request)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                now = self._clock.now()
                return 0, sent, now, now, 0, Note(self._failure(error, request))
            arrived = self._clock.now()
            self.unstamped += 1
            return status, sent, arrived, arrived, size, None

        return send

    def _exchange(self, request: Request) -> tuple[int, int]:
        prepared = cast(requests.PreparedRequest, request.prepared)
        timeout = request.timeout / SECOND
        response = self._session.send(prepared, timeout=timeout, stream=True, allow_redirects=False)
        body = response.raw.read(decode_content=False)
        response.raw.release_conn()
        if request.keep:
            kept = body[: request.keep]
            self._last = Reply(head=_head(response), body=kept, url=request.url, truncated=len(kept) < len(body))
        return response.status_code, len(body)

    def _failure(self, error: Exception, request: Request) -> Failure:
        if isinstance(error, requests.exceptions.SSLError):
            return Failure("tls", f"{_cause(error)} {self._origin}")
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Failure("connect", f"timed out connecting to {self._origin}")
        if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
            return Failure("timeout", f"no whole reply within {request.timeout / SECOND:g} s")
        text = str(error)
        if "NewConnectionError" in text or "Failed to establish" in text:
            return Failure("connect", f"{_cause(error)} {self._origin}")
        if "Connection aborted" in text or "Connection broken" in text or "IncompleteRead" in text:
            return Failure("disconnect", _cause(error))
        return Failure("protocol", _cause(error))

    def reply(self) -> Reply:
        """The last reply of a request that keeps bodies."""
        assert self._last, "a reply was kept"
        return self._last

    def abort(self) -> None:
        """Closing its pools is all that `requests` offers; a read under way ends by its timeout."""
        self._session.close()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def _head(response: requests.Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status_code:03} {response.reason or ''}"]
    lines += [f"{name}: {value}" for name, value in response.raw.headers.iteritems()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _cause(error: BaseException) -> str:
    """The innermost reason, without the addresses of objects that urllib3 puts in its messages."""
    while error.args and isinstance(error.args[-1], BaseException):
        error = error.args[-1]
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _cause(reason)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).rpartition(": ")[2].lower()
