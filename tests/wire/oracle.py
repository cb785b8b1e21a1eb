"""The same job done by `requests` alone, for tests to compare with: slow, and timed by our own clock."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any, Final

import requests
import urllib3

from loadkit import Scenario
from loadkit.clock import SystemClock
from loadkit.plan.units import SECOND
from loadkit.wire.base import Exchange, Failure, Note, Origin, Request, Send
from loadkit.wire.session.checked import checked_response
from loadkit.wire.session.response import Head, Response

PIECE: Final = 64 * 1024
# what http.client raises for what is not HTTP; a ValueError is a chunk's size that is no number
GARBAGE: Final = (http.client.BadStatusLine, http.client.LineTooLong, urllib3.exceptions.HeaderParsingError, ValueError)


class RequestsWire:
    """A `requests.Session` for each connection."""

    def __init__(self, clock: SystemClock, scenario: Scenario) -> None:
        self._clock = clock
        self._scenario = scenario

    def resolve(self, origin: Origin) -> None:
        """`requests` looks it up itself."""

    def connect(self, origin: Origin) -> RequestsConnection:
        """A session for one thread."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self._scenario.ca)
        return RequestsConnection(session, self._clock)


class RequestsConnection:
    """See `wire.protocols.Connection`."""

    def __init__(self, session: requests.Session, clock: SystemClock) -> None:
        self._session = session
        self._clock = clock
        self._last: Response | None = None
        self.unstamped = 0

    def open(self) -> Note:
        """`requests` connects when it sends."""
        return Note()

    def sender(self, request: Request) -> Send:
        return self._send

    def _send(self, request: Request) -> Exchange:
        sent = self._clock.now()
        try:
            status, size = self._exchange(request, sent + request.timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            now = self._clock.now()
            return 0, sent, now, now, 0, Note(self._failure(error, request))
        arrived = self._clock.now()
        self.unstamped += 1
        return status, sent, arrived, arrived, size, None

    def _exchange(self, request: Request, deadline: int) -> tuple[int, int]:
        timeout = request.timeout / SECOND
        response = self._session.send(prepared(request), timeout=timeout, stream=True, allow_redirects=False)
        with response:
            size, kept = self._body(response, request.keep or 0, deadline)
        if request.keep is not None:
            self._last = checked_response(request, Head(_head(response)), kept, is_cut=len(kept) < size)
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
        if any(isinstance(cause, TimeoutError | requests.exceptions.Timeout) for cause in causes):
            return Failure("timeout", f"no whole reply within {request.timeout / SECOND:g} s")
        if any(isinstance(cause, GARBAGE) and not isinstance(cause, ConnectionError) for cause in causes):
            return Failure("protocol", _reason(causes))
        return Failure("disconnect", _reason(causes))

    def reply(self) -> Response:
        """The last reply of a request that keeps bodies."""
        assert self._last is not None, "a reply was kept"
        return self._last

    def failed_reply(self) -> None:
        """Nothing is shown."""

    def abort(self) -> None:
        """Nobody does."""

    def close(self) -> None:
        self._session.close()


def prepared(request: Request) -> requests.PreparedRequest:
    """The request as `requests` takes it, read from its bytes."""
    head, _, body = request.payload.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    url = f"{request.origin.scheme}://{request.origin}{first.split(' ')[1]}"
    headers = dict(line.split(": ", 1) for line in lines)
    return requests.Request(request.method, url, headers=headers, data=body).prepare()


def _head(response: requests.Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status_code:03} {response.reason or ''}"]
    lines += [f"{name}: {value}" for name, value in response.raw.headers.iteritems()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _causes(error: Any) -> Iterator[BaseException]:
    """An exception and all that it was made of, the innermost last; urllib3 wraps them in each other's arguments."""
    while error:
        yield error
        inner = [arg for arg in (*error.args, getattr(error, "reason", None)) if isinstance(arg, BaseException)]
        error = inner[0] if inner else error.__cause__ or error.__context__


def _reason(causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return f"{type(causes[-1]).__name__}: {causes[-1]}"
