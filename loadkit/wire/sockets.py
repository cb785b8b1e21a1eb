"""The client on sockets: HTTP/1.1, one connection a thread, kept alive, arrivals stamped by the kernel."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, cast

from loadkit.plan.errors import UsageError, reason_of
from loadkit.plan.units import SECOND
from loadkit.wire.base import BrokenExchange, Clock, Note, Origin, Request, Seen, Send
from loadkit.wire.connection import HttpConnection
from loadkit.wire.failed_reply import FailedReply, failed_reply
from loadkit.wire.fast import sender
from loadkit.wire.resolver import Resolver, Trust, UnreadableFile

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from loadkit.plan.scenario import Scenario
    from loadkit.wire.session.response import Response


class SocketWire:
    """Connections straight on sockets; names are looked up and certificates read once."""

    def __init__(self, clock: Clock, scenario: Scenario, resolver: Resolver | None = None) -> None:
        self.resolver = resolver or Resolver(trusts_system=True)
        self._clock = clock
        self._trust = trust_of(scenario)
        self._timeout = round(cast(float, scenario.timeout) * SECOND)

    def resolve(self, origin: Origin) -> None:
        """Look the name up; `UsageError` if there is no such host, or the TLS files cannot be used."""
        if origin.tls:
            self.read_certificates()
        try:
            self.resolver.addresses(origin)
        except BrokenExchange as broken:
            raise UsageError(broken.failure.message) from None

    def read_certificates(self) -> ssl.SSLContext:
        """How TLS is spoken; `UsageError` if its files cannot be used."""
        trust = self._trust
        try:
            return self.resolver.context(trust)
        except UnreadableFile as unreadable:
            if unreadable.source == "ca":
                what = f"certificate authorities from ca={trust.ca!r}"
            else:
                what = f"the client's certificate from {trust.cert}"
            raise UsageError(f"cannot read {what}: {_why(unreadable.error)}") from None

    def connect(self, origin: Origin) -> SocketConnection:
        """A connection for one thread, not opened yet."""
        return SocketConnection(self.open_connection(origin), self._timeout)

    def open_connection(self, origin: Origin) -> HttpConnection:
        """The same for those who do not send by a `Send`."""
        open_channel = partial(self.resolver.open, origin, self._trust, self._clock)
        return HttpConnection(origin, open_channel, self._clock)


def _why(error: OSError) -> str:
    """The reason without the names that OpenSSL and Python have for it: `[X509: …] … (_ssl.c:4154)`."""
    return re.sub(r"\[[^]]*\] | \(_ssl\.c:\d+\)", "", reason_of(error))


def trust_of(scenario: Scenario) -> Trust:
    """Whom a scenario trusts, and who it says it is."""
    files = scenario.cert if isinstance(scenario.cert, tuple) else (scenario.cert, None)
    cert, key = (None if file is None else str(file) for file in files)
    ca = None if scenario.ca is None else str(scenario.ca)
    return Trust(scenario.verify, ca if scenario.verify else None, cert, key)


class SocketConnection:
    """One connection; see `wire.protocols.Connection`."""

    def __init__(self, http: HttpConnection, timeout: int) -> None:
        self.http = http
        self._timeout = timeout
        self._response: Callable[..., Response] | None = None

    @property
    def unstamped(self) -> int:
        """Replies whose arrival the kernel did not stamp."""
        return self.http.unstamped

    def open(self) -> Note:
        """Connect now."""
        now = self.http.clock.now
        began = now()
        try:
            self.http.open(self._timeout)
        except BrokenExchange as broken:
            return Note(broken.failure)
        channel = self.http.channel
        return Note(connects=1, connect_time=now() - began, openings=(channel.took,) if channel else ())

    def sender(self, request: Request) -> Send:
        """The function for this request, and others like it but for their payload, on this connection."""
        if request.keep is not None and not self._response:
            # it comes with requests, whose import takes 65 ms of CPU: before the run, and only if there is a check
            from loadkit.wire.session.checked import response_maker

            self._response = response_maker()
        return sender(self.http, request)

    def reply(self) -> Response:
        """The last reply of a request that keeps bodies."""
        assert self._response, "a reply was kept"
        return self._response(*self.http.last)

    def failed_reply(self) -> FailedReply | None:
        """What is shown of the last reply that was kept: an error, or any of a request that keeps bodies."""
        request, head, body, _ = self.http.last
        return failed_reply(request, head, body) if request else None

    def seen(self) -> Seen:
        """The last reply that was kept, with its request."""
        return self.http.last

    def abort(self) -> None:
        """End an exchange under way in another thread, for good."""
        self.http.abort()

    def close(self) -> None:
        """Close; the next request opens it again."""
        self.http.close()
