"""Bad days of a session: each ends with an exception of `requests` that says what it was, in time, and measured."""

from __future__ import annotations

import gzip
import pickle
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests import exceptions
from requests.adapters import BaseAdapter

from loadkit import Session, UsageError
from loadkit.plan.units import SECOND
from loadkit.wire.base import Exchange
from loadkit.wire.resolver import Resolver
from loadkit.wire.session.exceptions import BodyTimeout, BodyTooLarge
from tests.wire.conftest import Make, MemoryServer, Serve
from tests.wire.peer import OK, Gone, Line, chunked, full, replies, reply, then_close, then_reset
from tests.wire.test_oracle import drip

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BIG = 4_000_000


class Log(list[tuple[str, str, Exchange, int]]):
    """What a session's observer was told."""

    def __call__(self, asked: Any, exchange: Exchange, size: int) -> None:
        self.append((asked.method, asked.name or asked.url.partition("//")[2].partition("/")[2], exchange, size))

    @property
    def statuses(self) -> list[int]:
        """One for each exchange, 0 for those that failed."""
        return [exchange[0] for _, _, exchange, _ in self]

    @property
    def kinds(self) -> list[str]:
        notes = [exchange[-1] for _, _, exchange, _ in self]
        return [note.failure.kind for note in notes if note and note.failure]


@pytest.fixture
def log() -> Log:
    """What the observer of `http` was called with."""
    return Log()


@pytest.fixture
def http(session: Make, log: Log) -> Session:
    return session(observe=log)


PART = reply(b"x" * 100)[:-50]
RESET = ConnectionResetError(104, "Connection reset by peer")
Fault = tuple[Any, dict[str, Any], type[Exception], str]
FAULTS: dict[str, Fault] = {
    "no reply": ([], {"timeout": (5, 0.5)}, exceptions.ReadTimeout, "nothing came for 0.5 s"),
    "no reply, deadline": ([], {"deadline": 0.8}, exceptions.ReadTimeout, r"no whole reply within 0\.[1-8]"),
    "half a head": ([b"HTTP/1.1 2"], {"timeout": (5, 0.5)}, exceptions.ReadTimeout, "10 bytes"),
    "half a body": ([PART], {"timeout": (5, 0.5)}, BodyTimeout, "nothing came for 0.5 s"),
    "closed": ([b""], {}, exceptions.ConnectionError, "connection closed before any reply"),
    "reset": ([RESET], {}, exceptions.ConnectionError, "reset"),
    "body cut": ([PART, b""], {}, exceptions.ChunkedEncodingError, "50 of 100 bytes"),
    "chunks cut": ([CHUNKED + b"5\r\ntea", b""], {}, exceptions.ChunkedEncodingError, "before the last chunk"),
    "chunks of nonsense": (CHUNKED + b"tea\r\n", {}, exceptions.ChunkedEncodingError, "chunked body"),
    "not HTTP": (b"220 mail ready\r\n", {}, exceptions.ConnectionError, "not HTTP"),
    "two lengths": (reply(b"tea", "Content-Length: 5"), {}, exceptions.InvalidHeader, "Content-Length"),
    "1 MB of head": (reply(b"", "X: " + "y" * 1_000_000), {}, exceptions.ConnectionError, "head of more than"),
    "endless headers": (reply(b"", *["X: 1"] * 5000), {}, exceptions.ConnectionError, "more than 500 headers"),
    "endless 1xx": (b"HTTP/1.1 100 Go on\r\n\r\n" * 99, {}, exceptions.ConnectionError, "interim replies"),
    "gzip cut short": (
        reply(gzip.compress(b"tea" * 100)[:-9], "Content-Encoding: gzip"),
        {},
        exceptions.ContentDecodingError,
        "cut short",
    ),
}
ON_A_SOCKET: dict[str, Fault] = {
    "no reply": (Line.stall, {"deadline": 0.4}, exceptions.ReadTimeout, r"no whole reply within 0\.[1-4]"),
    "half a body": (lambda line: (line.send(PART), line.stall()), {"timeout": (5, 0.3)}, BodyTimeout, "nothing came"),
    "a byte at a time": (drip, {"timeout": 2, "deadline": 0.4}, BodyTimeout, "no whole reply within"),
    "closed": (then_close(), {}, exceptions.ConnectionError, "connection closed before any reply"),
    "reset": (then_reset(), {}, exceptions.ConnectionError, "reset|closed|TLS"),
    "body cut": (then_close(PART), {}, exceptions.ChunkedEncodingError, "50 of 100 bytes"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("turns", [1, 3], ids=["first", "repeated"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_an_exception_of_requests(fault: Fault, turns: int, stream: bool):
    log = Log()
    check_fault(MemoryServer(*[OK] * (turns - 1), fault[0]).session(observe=log), log, fault, turns, stream)


@pytest.mark.parametrize(("turns", "stream"), [(1, False), (3, True)], ids=["first", "repeated stream"])
@pytest.mark.parametrize("fault", ON_A_SOCKET.values(), ids=ON_A_SOCKET)
def test_so_is_one_of_a_socket(serve: Serve, session: Make, fault: Fault, turns: int, stream: bool):
    log = Log()
    peer = serve(replies(*[OK] * (turns - 1), fault[0]))
    check_fault(session(base_url=peer.url, observe=log), log, fault, turns, stream)


def check_fault(http: Session, log: Log, fault: Fault, turns: int, stream: bool) -> None:
    """The last of so many requests meets the fault, on a connection that has served the others."""
    _, options, kind, words = fault
    for _ in range(turns - 1):
        assert http.post("/", **options).text == "ok"

    with pytest.raises(kind, match=words) as caught:
        http.post("/", stream=stream, **options).content  # noqa: B018 - reads it

    assert isinstance(caught.value, requests.RequestException)
    assert caught.value.request.url == f"{http.base_url}/"
    assert log.statuses == [200] * (turns - 1) + [200 if kind is exceptions.ContentDecodingError else 0]


def test_nobody_listens(http: Session, log: Log, free_port: int):
    for options in ({}, {"stream": True}):
        with pytest.raises(exceptions.ConnectionError, match=f"connection refused 127.0.0.1:{free_port}"):
            http.get(f"http://127.0.0.1:{free_port}/", **options)
    assert log.kinds == ["connect", "connect"]


def test_no_such_host(http: Session, log: Log):
    with pytest.raises(exceptions.ConnectionError, match=r"cannot resolve the host 'tea\.invalid'"):
        http.get("http://tea.invalid/")
    assert log.kinds == ["dns"]


def test_connecting_takes_too_long(session: Make):
    with full() as (_, port), pytest.raises(exceptions.ConnectTimeout, match="timed out connecting"):
        session().get(f"http://127.0.0.1:{port}/", timeout=(0.1, 5))


def test_a_certificate_nobody_knows(serve_as: Serve, tls: Any, http: Session):
    http.verify = True
    with pytest.raises(exceptions.SSLError, match="certificate verify failed"):
        http.get(serve_as(replies(OK), context=tls).url)


def test_unverified_certificates_are_warned_of(serve_as: Serve, tls: Any, http: Session):
    import urllib3

    http.verify = False
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning, match="not verified"):
        assert http.get(serve_as(replies(OK), context=tls).url).ok


@pytest.mark.parametrize(("setting", "value"), [("verify", "/no/such/ca.pem"), ("cert", "/no/such/cert.pem")])
def test_a_file_of_tls_that_is_not_there(serve_as: Serve, tls: Any, http: Session, setting: str, value: str):
    setattr(http, setting, value)
    with pytest.raises(OSError, match=value):
        http.get(serve_as(replies(OK), context=tls).url)


# -- limits


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"x" * BIG),
        CHUNKED + chunked(b"x" * BIG),
        reply(gzip.compress(b"x" * BIG), "Content-Encoding: gzip"),
        reply(gzip.compress(gzip.compress(b"x" * BIG)), "Content-Encoding: gzip, gzip"),
    ],
    ids=["length", "chunks", "gzip bomb", "gzip in gzip"],
)
@pytest.mark.parametrize("options", [{}, {"stream": True}], ids=["whole", "stream"])
def test_a_body_beyond_the_limit_is_refused(serve: Serve, session: Make, answer: bytes, options: dict[str, Any]):
    http = session(body_limit="1MB")
    with pytest.raises(BodyTooLarge, match=r"more than|body_limit"):
        http.get(serve(replies(answer)).url, **options).content  # noqa: B018 - reads it


def test_an_endless_body_ends_at_the_limit(serve: Serve, session: Make):
    def endless(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not line.over.is_set():
            line.send(b"x" * 65536)

    with pytest.raises(BodyTooLarge):
        session(body_limit="1MB").get(serve(replies(endless)).url)


def much(line: Line) -> None:
    """20 MB."""
    line.send(f"HTTP/1.1 200 OK\r\nContent-Length: {20 * 1_000_000}\r\n\r\n".encode())
    for _ in range(20):
        line.sock.sendall(b"x" * 1_000_000)


@pytest.mark.parametrize(
    "answer",
    [much, reply(gzip.compress(b"x" * 1_000_000) * 20, "Content-Encoding: gzip")],
    ids=["much", "a bomb"],
)
def test_a_stream_needs_memory_for_a_piece_only(serve_as: Serve, session: Make, answer: Any):
    response = session(body_limit="1MB").get(serve_as(replies(answer)).url, stream=True)
    tracemalloc.start()
    try:
        got = sum(map(len, response.iter_content(10_000)))
        # the server, in this process, holds a million bytes
        assert (got, tracemalloc.get_traced_memory()[1] < 4_000_000) == (20_000_000, True)
    finally:
        tracemalloc.stop()


def test_a_server_that_closes_after_each_reply_is_met_again(serve: Serve, http: Session, log: Log):
    peer = serve(replies(then_close(reply(b"tea", "Connection: close"))))
    assert [http.get(peer.url).text for _ in range(5)] == ["tea"] * 5
    assert peer.connections == 5
    assert [exchange[-1].connects for _, _, exchange, _ in log if exchange[-1]] == [1] * 5


# -- who gets what


@pytest.mark.parametrize(
    "call",
    [
        lambda http, url: http.get(url, headers={"X": "a\r\nb: c"}),
        lambda http, url: http.get(url, headers={"X\r\nY": "a"}),
        lambda http, url: http.request("GET / HTTP/1.1\r\nX: y\r\n\r\nGET", url),
        lambda http, url: http.get(url, headers={"X": "\N{SNOWMAN}"}),
        lambda http, url: http.get(url, auth=lambda request: request.headers.update({"X": "a\nb"}) or request),
    ],
    ids=["value", "name", "method", "not latin-1", "auth"],
)
def test_nothing_is_smuggled_into_a_request(serve_as: Serve, session: Make, call: Any):
    peer = serve_as(replies(OK))
    with pytest.raises(exceptions.InvalidHeader):
        call(session(), peer.url)
    assert peer.heard == []


def test_a_late_reply_is_never_the_next_ones(serve: Serve, http: Session):
    def late(line: Line) -> None:
        line.pause(0.2)
        line.send(reply(b"late"))

    peer = serve(replies(late), replies(reply(b"in time")))
    with pytest.raises(exceptions.ReadTimeout):
        http.get(peer.url, timeout=(5, 0.05))
    assert [http.get(peer.url).text for _ in range(2)] == ["in time"] * 2


def test_bytes_behind_a_reply_are_dropped_with_the_connection(serve: Serve, http: Session):
    peer = serve(replies(reply(b"tea") + reply(b"poison")))
    assert [http.get(peer.url).text for _ in range(3)] == ["tea"] * 3
    assert peer.connections == 3


# -- what a journey needs


def test_the_observer_is_told_of_each_hop(serve: Serve, http: Session, log: Log):
    peer = serve(replies(reply(b"", "Location: /b?c=d", status="302 Found"), OK, OK, OK, OK))
    http.get(peer.url + "/a?token=x", name="/{letter}")
    http.get(peer.url + "/a", name="/{letter}")
    http.get(peer.url + "/a?token=x", stream=True).close()
    http.post(peer.url + "/a", json={"x": 1})

    told = [(method, path, exchange[0]) for method, path, exchange, _ in log]
    assert told == [
        ("GET", "/{letter}", 302),
        ("GET", "b", 200),
        ("GET", "/{letter}", 200),
        ("GET", "a", 200),
        ("POST", "a", 200),
    ]
    for _, _, (_, sent, arrived, taken, size, _), length in log:
        assert 0 < sent <= arrived <= taken
        assert size >= len(OK) or size == len(reply(b"", "Location: /b?c=d", status="302 Found"))
        assert length > 100
    assert [length for *_, length in log][0::2] == [len(peer.heard[k]) for k in (0, 2, 4)]


def test_a_stream_is_told_once_when_it_is_over(serve: Serve, http: Session, log: Log):
    body = b"tea" * 100_000
    peer = serve(replies(reply(body)))
    response = http.get(peer.url, stream=True)
    pieces = response.iter_content(1000)
    next(pieces)
    assert log == []
    assert b"".join(pieces) == body[1000:]
    assert [exchange[4] for _, _, exchange, _ in log] == [len(reply(body))]
    response.close()
    assert len(log) == 1


def test_a_stream_outlives_its_session(serve: Serve, session: Make):
    body = b"tea" * 1_000_000
    with session() as http:
        response = http.get(serve(replies(reply(body))).url, stream=True)
    assert response.content == body


def test_a_stream_that_is_forgotten_is_told_of_and_closed(serve: Serve, http: Session, log: Log):
    ended = threading.Semaphore(0)

    def script(line: Line) -> None:
        try:
            replies(reply(b"tea" * 5_000_000))(line)
        finally:
            ended.release()

    peer = serve(script)
    for _ in range(3):
        assert http.get(peer.url, stream=True).ok
        assert ended.acquire(timeout=10)
    assert log.statuses == [200] * 3
    assert peer.connections == 3


def test_streams_and_requests_may_be_mixed(serve: Serve, http: Session):
    peer = serve(replies(reply(b"tea" * 100_000)))
    one, two = (http.get(peer.url, stream=True) for _ in range(2))
    assert http.get(peer.url).text == two.text == one.text
    assert 2 <= peer.connections <= 3


def test_a_deadline_counts_the_redirects():
    def slow() -> bytes:
        server.clock.advance(SECOND)
        return reply(b"", "Location: /on", status="302 Found")

    # each of them is well within it, and the limit of redirects is not reached before
    server = MemoryServer(slow)
    with pytest.raises(exceptions.ReadTimeout):
        server.session(deadline=4).get("/")


@pytest.mark.parametrize("stream", [False, True])
def test_abort_ends_what_is_under_way_and_all_that_follows(serve: Serve, http: Session, stream: bool):
    reached = threading.Event()

    def wait(line: Line) -> None:
        line.send(reply(b"x" * 100)[:-100])
        reached.set()
        line.stall()

    peer = serve(replies(OK, wait))
    assert http.get(peer.url).ok

    def interrupt() -> None:
        reached.wait(10)
        http.abort()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(requests.RequestException):
        http.get(peer.url, stream=stream).content  # noqa: B018 - reads it
    interrupter.join()
    for _ in range(2):
        with pytest.raises(exceptions.ConnectionError, match="aborted"):
            http.get(peer.url)
    elsewhere = serve(replies(OK))
    with pytest.raises(exceptions.ConnectionError, match="aborted"):
        http.get(elsewhere.url)
    assert (peer.connections, elsewhere.connections) == (1, 0)


def test_relative_urls_join_the_base(serve_as: Serve, session: Make):
    peer = serve_as(replies(OK))
    other = serve_as(replies(OK))
    http = session(base_url=peer.url + "/api/")
    there = {"/search": "/api/search", "search": "/api/search", "": "/api"}
    assert [http.get(url).url for url in there] == [peer.url + path for path in there.values()]
    assert http.get(other.url + "/x").url == other.url + "/x"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_url": "shop.example"}, "cannot use base_url='shop.example'; write it like 'http://127.0.0.1:8000'"),
        ({"deadline": 0}, "cannot use deadline=0; write it like '2s'"),
        ({"deadline": "soon"}, "cannot read the deadline 'soon'"),
        ({"body_limit": "huge"}, "cannot read the body_limit 'huge'"),
    ],
)
def test_a_wrong_setting_says_the_right_form(options: dict[str, Any], words: str):
    with pytest.raises(UsageError, match=words):
        Session(**options)
    if "body_limit" not in options:
        with Session() as http, pytest.raises(UsageError, match=words):
            setattr(http, *next(iter(options.items())))


def test_settings_may_be_changed(serve_as: Serve, session: Make):
    one, two = serve_as(replies(OK)), serve_as(replies(Line.stall))
    http = session(base_url=one.url)
    assert http.get("/").ok
    http.base_url, http.deadline = two.url + "/", "50ms"
    with pytest.raises(exceptions.ReadTimeout, match=r"within 0\.05 s"):
        http.get("/")
    assert two.heard[0].startswith(b"GET / HTTP")


def test_sessions_share_a_resolver(serve: Serve, session: Make, monkeypatch: pytest.MonkeyPatch):
    peer = serve(replies(OK))
    asked: list[Any] = []
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: asked.append(args) or look_up(*args, **options))
    shared = Resolver()
    for _ in range(3):
        assert session(resolver=shared).get(peer.url.replace("127.0.0.1", "localhost")).ok
    assert len(asked) == 1


def test_a_unix_socket_is_spoken_to(serve_as: Serve, session: Make, tmp_path: Path):
    peer = serve_as(replies(OK), unix=tmp_path / "tea.sock")
    http = session(base_url=peer.url)
    assert [http.get("/x").text for _ in range(3)] == ["ok"] * 3
    assert peer.heard[0].startswith(b"GET /x HTTP/1.1\r\nHost: localhost\r\n")


def _gone() -> bytes:
    raise Gone


def uploads(request: bytes, line: Line) -> bytes:
    """Reads a chunked request to its end."""
    request += bytes(line._buffer)
    while not request.endswith(b"\r\n0\r\n\r\n"):
        request += line.receive() or _gone()
    return request


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_an_iterable_is_sent_in_chunks(serve: Serve, http: Session, log: Log, size: int):
    heard: list[bytes] = []

    def script(line: Line) -> None:
        heard.append(uploads(line.request(), line))
        line.send(OK)
        line.stall()

    assert http.post(serve(script).url, data=iter([b"a" * size, b"", b"tea"])).ok
    first = b"%x\r\n%s\r\n" % (size, b"a" * size) if size else b""
    assert heard[0].partition(b"\r\n\r\n")[2] == first + b"3\r\ntea\r\n0\r\n\r\n"
    assert log[0][-1] == len(heard[0])


def test_a_file_is_sent_with_its_length(serve: Serve, session: Make, tmp_path: Path):
    path = tmp_path / "tea.txt"
    path.write_bytes(b"tea" * 50_000)
    peer = serve(replies(OK))
    with path.open("rb") as file:
        assert session().put(peer.url, data=file).ok
    head, _, body = peer.heard[0].partition(b"\r\n\r\n")
    assert (b"Content-Length: 150000" in head, body) == (True, path.read_bytes())


def test_what_a_body_raises_is_raised(serve_as: Serve, http: Session):
    def broken() -> Iterator[bytes]:
        yield b"tea"
        raise OSError("no more tea")

    peer = serve_as(lambda line: uploads(line.request(), line), replies(OK))
    with pytest.raises(OSError, match="no more tea"):
        http.post(peer.url, data=broken())
    assert http.get(peer.url).ok


class Canned(BaseAdapter):
    """An adapter of somebody's own."""

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.url, response.request = 203, request.url, request
        return response

    def close(self) -> None:
        """There is nothing to close."""


def test_an_adapter_of_ones_own_is_used_and_timed(http: Session, log: Log):
    http.mount("tea://", Canned())
    assert http.get("tea://pot/a?b=c", name="pot").status_code == 203
    assert [(method, name, exchange[0]) for method, name, exchange, _ in log] == [("GET", "pot", 203)]
    assert isinstance(http.get_adapter("tea://pot"), Canned)


@pytest.mark.parametrize("how", ["session", "request", "environment"])
def test_a_proxy_is_left_to_urllib3(
    serve_as: Serve, http: Session, log: Log, monkeypatch: pytest.MonkeyPatch, free_port: int, how: str
):
    proxy = serve_as(replies(reply(b"by proxy")))
    url = f"http://127.0.0.1:{free_port}/"
    options: dict[str, Any] = {}
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if how == "session":
        http.proxies["http"] = proxy.url
    elif how == "request":
        options = {"proxies": {"http": proxy.url}}
    else:
        http.trust_env = True
        url = serve_as(replies(reply(b"directly"))).url + "/"
        assert [http.get(url).text for _ in range(2)] == ["directly"] * 2
        monkeypatch.setenv("http_proxy", proxy.url)

    assert [http.get(url, **options).text for _ in range(2)] == ["by proxy"] * 2
    assert len(proxy.heard) == 2
    assert log.statuses[-2:] == [200, 200]
    assert proxy.heard[0].startswith(f"GET {url} HTTP/1.1".encode())


def test_a_subclass_that_changes_how_things_are_sent_is_asked_each_time(serve_as: Serve):
    class Signing(Session):
        def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
            prepared = super().prepare_request(request)
            prepared.headers["X-Count"] = str(next(counter))
            return prepared

    counter = iter(range(9))
    peer = serve_as(replies(OK))
    with Signing() as http:
        for _ in range(3):
            http.get(peer.url)
    assert [b"X-Count: %d" % k in request for k, request in enumerate(peer.heard)] == [True] * 3


def test_a_session_and_its_reply_can_be_pickled(serve_as: Serve, session: Make):
    peer = serve_as(replies(reply(b"tea", "X: 1", "Set-Cookie: a=b")))
    http = session(base_url=peer.url, deadline=5)
    response = http.get("/")

    copied, again = pickle.loads(pickle.dumps((response, http)))

    assert (copied.text, copied.headers["x"], copied.status_code) == ("tea", "1", 200)
    with again:
        assert [again.get("/").text for _ in range(2)] == ["tea"] * 2
        assert again.cookies["a"] == "b"
    assert b"Cookie: a=b" in peer.heard[-1]


def test_a_closed_session_opens_again(serve: Serve, http: Session):
    peer = serve(replies(OK))
    for _ in range(2):
        assert http.get(peer.url).ok
        http.close()
    assert peer.connections == 2


def test_connections_to_many_places_are_bounded():
    server = MemoryServer(OK)
    http = server.session()
    for k in range(70):
        assert [http.get(f"http://shop{k}.test/").text for _ in range(2)] == ["ok"] * 2
    # the first six have made room for the others
    assert [sock.is_closed for sock in server.network.sockets] == [True] * 6 + [False] * 64
    assert http.get("http://shop0.test/").ok
    assert len(server.network.sockets) == 71


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"timeout": "soon"}, {"deadline": 0}])
def test_a_wrong_time_is_refused_before_anything_is_sent(serve_as: Serve, http: Session, options: dict[str, Any]):
    peer = serve_as(replies(OK))
    assert http.get(peer.url).ok
    with pytest.raises((ValueError, UsageError), match=r"(?i)timeout|deadline"):
        http.get(peer.url, **options)
    assert len(peer.heard) == 1
