"""The two ends of a wire: a server that does what a test says, and a client through the public interface."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import trustme

from loadkit import Endpoint, Scenario, Session
from loadkit.clock import ManualClock, SystemClock
from loadkit.wire.base import BrokenExchange, Failure, Note, Request, Send
from loadkit.wire.channel import SO_TIMESTAMPNS
from loadkit.wire.encode import encode
from loadkit.wire.extension import EXTENSION
from loadkit.wire.fake_network import FakeNetwork, Piece
from loadkit.wire.protocols import Connection, Wire
from loadkit.wire.sockets import SocketWire
from tests.wire.peer import Peer, Script

needs_extension = pytest.mark.skipif(EXTENSION is None, reason="the extension in C was not built")


class Outcome(NamedTuple):
    status: int
    sent: int
    arrived: int
    taken: int
    size: int
    note: Note | None

    @property
    def kind(self) -> str:
        """The kind of its failure, empty if it is none."""
        return self.note.failure.kind if self.note and self.note.failure else ""

    @property
    def message(self) -> str:
        return self.note.failure.message if self.note and self.note.failure else ""

    @property
    def connects(self) -> tuple[int, int]:
        """Connections made for it, and those of them that stood in for one that was lost."""
        return (self.note.connects, self.note.reconnects) if self.note else (0, 0)


class Caller:
    """One connection with one request, to be sent again and again."""

    def __init__(
        self, scenario: Scenario, clock: SystemClock, client: Callable[[SystemClock, Scenario], Wire] = SocketWire
    ) -> None:
        self.clock = clock
        self.request: Request = encode(cast(Endpoint, scenario.endpoints[0]), scenario)
        wire = client(clock, scenario)
        wire.resolve(self.request.origin)
        self.connection: Connection = wire.connect(self.request.origin)
        self._sent = self.request
        self._send: Send = self.connection.sender(self.request)

    def use(self, request: Request) -> None:
        """Send another request from now on, over the same connection."""
        self._sent = request
        self._send = self.connection.sender(request)

    def send(self) -> Outcome:
        """Send it once; what holds for every outcome is held here."""
        before = self.clock.now()
        outcome = Outcome(*self._send(self._sent))
        assert outcome.arrived <= outcome.taken <= self.clock.now()
        if outcome.sent:
            assert before <= outcome.sent <= outcome.arrived
        if outcome.kind:
            assert (outcome.status, outcome.arrived) == (0, outcome.taken)
        return outcome

    def sends(self, times: int) -> list[Outcome]:
        return [self.send() for _ in range(times)]

    def read(self) -> bytes:
        """Send it, and the body as a check would read it."""
        outcome = self.send()
        assert not outcome.kind, outcome.message
        return self.connection.reply().content


class Basin:
    """A sink that keeps all, or refuses where it is told to."""

    def __init__(self) -> None:
        self.heads: list[tuple[int, dict[bytes, bytes]]] = []
        self.bodies: list[bytes] = []
        self.refuses_head = False
        self.refuses_body = False

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self.refuses_head:
            raise BrokenExchange(Failure("check", "not this one"))
        self.heads.append((status, dict(headers)))
        self.bodies.append(b"")

    def write(self, data: bytes | memoryview) -> int:
        if self.refuses_body:
            raise BrokenExchange(Failure("check", "no room"))
        self.bodies[-1] += data
        return 0


Serve = Callable[..., Peer]
Call = Callable[..., Caller]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs the certificates of the tests."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session", autouse=True)
def system_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One authority that signs nothing instead of the system's hundreds: each context reads them, which takes 15 ms."""
    path = tmp_path_factory.mktemp("system") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


def served(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """How a server on loopback speaks TLS."""
    return served(authority, "127.0.0.1", "::1", "localhost")


@pytest.fixture(params=["plain", "tls"])
def context(request: pytest.FixtureRequest, tls: ssl.SSLContext) -> ssl.SSLContext | None:
    """Each test that serves runs without TLS and with it."""
    return tls if request.param == "tls" else None


@pytest.fixture(params=["tcp", "tls", "unix"])
def over(request: pytest.FixtureRequest, tls: ssl.SSLContext, tmp_path: Path) -> dict[str, Any]:
    """Options of a server: each test runs over TCP, with TLS, and over a unix socket."""
    options: dict[str, dict[str, Any]] = {"tcp": {}, "tls": {"context": tls}, "unix": {"unix": tmp_path / "s"}}
    return options[request.param]


@pytest.fixture(scope="session", autouse=True)
def stamping() -> Iterator[None]:
    """The kernel stamps what arrives: it begins some time after the first socket asks, and ends with the last."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        stamp: list[Any] = []
        while not stamp and sys.platform == "linux":
            own.sendto(b"x", own.getsockname())
            stamp = own.recvmsg(1, 64)[1]
        yield


@pytest.fixture
def serve_as() -> Iterator[Serve]:
    """Makes servers that end with the test."""
    before = set(threading.enumerate())
    peers: list[Peer] = []

    def start(*scripts: Script, **options: Any) -> Peer:
        peers.append(Peer(*scripts, **options))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert not left, f"threads were left behind: {left}"


@pytest.fixture
def serve(serve_as: Serve, context: ssl.SSLContext | None) -> Serve:
    """The same, once plain and once with TLS."""
    return lambda *scripts: serve_as(*scripts, context=context)


@pytest.fixture
def call(ca_file: Path) -> Iterator[Call]:
    """Makes callers whose connections are closed after the test."""
    callers: list[Caller] = []

    def start(target: Peer | str, method: str = "GET", path: str = "/", **options: Any) -> Caller:
        url = target if isinstance(target, str) else target.url
        clock, client = options.pop("clock", None) or SystemClock(), options.pop("client", SocketWire)
        callers.append(Caller(_scenario(url, method, path, {"ca": ca_file, **options}), clock, client))
        return callers[-1]

    yield start
    for caller in callers:
        caller.connection.close()


def _scenario(url: str, method: str, path: str, options: dict[str, Any]) -> Scenario:
    of_scenario: dict[str, Any] = {"timeout": 5.0}
    for name in ("timeout", "ca", "cert", "verify", "body_limit", "headers_of_all"):
        if name in options:
            of_scenario[name.removesuffix("_of_all")] = options.pop(name)
    return Scenario(base_url=url, endpoints=[Endpoint(method, path, **options)], **of_scenario)


Make = Callable[..., Session]


@pytest.fixture
def session(ca_file: Path) -> Iterator[Make]:
    """Makes sessions that trust the tests' authority, do not trust the environment, and end with the test."""
    with ExitStack() as made:

        def start(**options: Any) -> Session:
            http = made.enter_context(Session(**options))
            http.verify, http.trust_env = str(ca_file), False
            return http

        yield start


@pytest.fixture
def http(session: Make) -> Session:
    return session()


class MemoryServer:
    """Every host, answering from memory in turn, the last answer again and again; an answer is bytes or pieces."""

    def __init__(
        self, *answers: bytes | Iterable[Piece] | Callable[[], bytes], clock: ManualClock | None = None
    ) -> None:
        self.clock = clock or ManualClock()
        self.network = FakeNetwork(self.clock, self._serve)
        self.heard: list[bytes] = []
        self._answers = answers

    def session(self, **options: Any) -> Session:
        """A session that finds it everywhere."""
        http = Session(base_url="http://shop.test", resolver=self.network, clock=self.clock, **options)
        http.trust_env = False
        return http

    def _serve(self, request: bytes) -> Iterable[Piece]:
        answer = self._answers[min(len(self.heard), len(self._answers) - 1)]
        self.heard.append(request)
        if callable(answer):
            return [answer()]
        return [answer] if isinstance(answer, bytes) else answer
