"""The values that pass through the door to the network: requests, where they go, and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias
from urllib.parse import urlsplit

from loadkit.plan.redact import redact_message
from loadkit.plan.urls import strip_url

Kind: TypeAlias = Literal["dns", "connect", "tls", "send", "timeout", "disconnect", "protocol", "check"]

NO_PORT: Final = "no local port is free"
"""In the message of a connection that failed for want of one (EADDRNOTAVAIL): a failure of this side."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed: a kind to count by, and a sentence for a person."""

    kind: Kind | str
    """Of a journey: `check`, or the type of what it raised."""
    message: str
    late: bool = field(default=False, compare=False)
    """Time ran out while connecting, for kinds that do not say so. This and what follows is not counted by."""
    begun: bool = field(default=False, compare=False)
    """Some of the reply had come."""
    headed: bool = field(default=False, compare=False)
    """The head of the reply had come, so that it is the body that failed."""
    surplus: bool = field(default=False, compare=False)
    """Nothing is wrong with the reply but that its body is more than was asked for."""


class Opened(NamedTuple):
    """How long it took to make a connection, nanoseconds; `tls` is None for one without."""

    connect: int
    tls: int | None


class Note(NamedTuple):
    """What was out of the ordinary in one exchange; the common one has none. A third of the cost of a dataclass."""

    failure: Failure | None = None
    connects: int = 0
    reconnects: int = 0
    connect_time: int = 0
    """Nanoseconds, those of the handshakes and of what failed among them."""
    openings: tuple[Opened, ...] = ()
    """How long each connection took that was made."""
    first_byte: int = 0
    """Nanoseconds from the sending to the first piece of a reply that came in several pieces; 0 for one."""
    is_prepared: bool = False
    """It is a journey with a fixture, of which only the call itself is timed."""


Exchange: TypeAlias = tuple[int, int, int, int, int, Note | None]
"""`status, sent, arrived, taken, size, note`: nanoseconds of the monotonic clock, bytes received.

A plain tuple, because one is made for each request: 40 ns against 310 ns for a named one. A failed exchange
has `arrived == taken`, the instant it was given up, and `sent` 0 if nothing was sent.
"""

Send: TypeAlias = "Callable[[Request], Exchange]"
"""Sends a request and waits for the reply. Made for one request, it sends those that differ only in their payload."""


Seen: TypeAlias = "tuple[Request | None, bytes, bytes, bool]"
"""Of one exchange: what was sent, head and body of the reply as far as they were kept, and whether that was cut."""


DEFAULT_PORTS: Final = {"http": 80, "https": 443}

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""Statuses of replies whose Location header names another URL to request."""

OF_BODY: Final = frozenset({"content-encoding", "content-language", "content-length", "content-type"})
"""Headers about a body, which go along with a redirect only with it (RFC 9110, 15.4)."""

HARMLESS: Final = frozenset({"accept", "accept-encoding", "accept-language", "connection", "range", "user-agent"})
"""Headers that go along when a redirect changes host, port or scheme; each other one may be a credential."""


class BrokenExchange(Exception):
    """How the wire's own functions tell each other of a failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go: scheme, host and port, or the path of a unix socket."""

    scheme: str
    host: str
    port: int
    unix: str | None = None

    def __str__(self) -> str:
        if self.unix:
            return f"unix:{self.unix}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def tls(self) -> bool:
        """True for https."""
        return self.scheme == "https"


class Sink(Protocol):
    """Where the body of a reply goes piece by piece, for whoever saves bodies larger than memory.

    Both may raise `BrokenExchange`, which ends the exchange with that failure; nothing else.
    """

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head has come, names in lower case. Called once an exchange, before any piece."""

    def write(self, data: bytes | memoryview) -> int:
        """The next piece as it came, still encoded; how many nanoseconds more the exchange may take for it.

        What is in a view may change when the exchange has ended.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that is ready to be sent, as often as one likes.

    `payload` is the whole HTTP/1.1 message. `timeout` is the deadline of the whole exchange in nanoseconds; `keep` how
    many bytes of a body are kept for a check, None if there is none. `read_timeout` is how long nothing may come, and
    `connect_timeout` how long connecting may take, where that is less. With a `sink` the body goes there instead, and
    each piece of it may move the deadline.
    """

    origin: Origin
    method: str
    url: str
    payload: bytes
    timeout: int
    keep: int | None
    sink: Sink | None = None
    read_timeout: int | None = None
    connect_timeout: int | None = None
    lenient: bool = False
    """As browsers are: what comes behind a reply is dropped, and the connection with it. A body of more bytes than are
    kept is a failure, and read no further."""

    follows: bool = False
    """A redirect is followed, so that its body is read only if that is short."""

    @property
    def io_timeout(self) -> int:
        """How long one call to the kernel may wait, in nanoseconds."""
        return self.timeout if self.read_timeout is None else min(self.timeout, self.read_timeout)

    @property
    def idempotent(self) -> bool:
        """Sending it twice does what sending it once does (RFC 9110, 9.2.2)."""
        return self.method not in ("POST", "PATCH")


class WithPayload(Request):
    """A request that differs from another one only in its payload.

    What only unusual exchanges ask for is worked out then: 0.1 us to make one, against 1 us for a `Request`.
    """

    __slots__ = ("_like",)
    _like: Request
    # the two of a frozen dataclass are functions of Python, and cost 0.1 us more
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__

    def __init__(self, like: Request, payload: bytes) -> None:
        self._like = like
        self.payload = payload  # type: ignore[misc] # only a dataclass is frozen

    @property
    def url(self) -> str:
        """Its URL, as it may be shown."""
        parts = urlsplit(self._like.url)
        return f"{parts.scheme}://{parts.netloc}{strip_url(_target(self.payload))}"


# what both have in common; not by __getattr__, which makes each look at `payload` 20 ns dearer
for _field in fields(Request):
    if _field.name not in ("payload", "url"):
        setattr(WithPayload, _field.name, property(attrgetter(f"_like.{_field.name}")))


def full_url(request: Request) -> str:
    """The URL of a request with its query, as it may be shown: in the query only what is harmless by its name."""
    return redact_message(raw_url(request))


def raw_url(request: Request) -> str:
    """The URL of a request with its query, as it is sent."""
    parts = urlsplit(request.url)
    return f"{parts.scheme}://{parts.netloc}{_target(request.payload)}"


def _target(payload: bytes) -> str:
    return payload.partition(b"\r\n")[0].decode("latin-1").split(" ")[1]


class Clock(Protocol):
    """Time, through one small door; `clock` has the real one and one that is moved by hand."""

    wall_offset: int
    """Nanoseconds from the monotonic to the wall clock, which the kernel stamps arrivals with."""

    def now(self) -> int:
        """Nanoseconds of the monotonic clock."""

    def pause(self, span: int, woken: Callable[[], bool]) -> None:
        """Wait `span` nanoseconds, or less if `woken` says so; it is asked twice a second."""

    def reanchor(self) -> int:
        """Measure `wall_offset` again; how far it had moved, in nanoseconds."""
