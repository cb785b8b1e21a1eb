"""What servers must not do: each is a failure of its kind, soon enough, and never feeds the next request."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from loadkit import UsageError
from loadkit.wire.connection import RESTED
from tests.wire.conftest import Call, Caller, Serve
from tests.wire.peer import OK, Gone, Line, Script, chunked, full, replies, reply, then_close, then_reset

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# a fault must be the same whether the first request meets it or one that goes the fast way, on which each connection
# is from its third or, with TLS, its fourth request
TURNS = {"first": 0, "repeated": 4}
turns = pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)


def met(names: str, cases: Iterable[Any]) -> pytest.MarkDecorator:
    """Each fault without TLS and with it: one of the two meets the first request, and the other one a repeated one."""
    found = [
        pytest.param(*case.values, context, TURNS[turn], id=f"{case.id}-{context}-{turn}")
        for k, case in enumerate(cases)
        for context, turn in zip(("plain", "tls"), sorted(TURNS, reverse=k % 2 == 1), strict=True)
    ]
    return pytest.mark.parametrize((*names.split(), "context", "turn"), found, indirect=["context"])


def warmed(call: Call, serve: Serve, turn: int, *faults: Script | bytes | Sequence[bytes], **options) -> Caller:
    """A caller that had `turn` good replies and will meet the faults next; on a new connection all is well again.

    On a busy machine a short timeout may pass while it warms up, so the server waits until it is told.
    """
    due = threading.Event()
    lines: list[Line] = []

    def answer(line: Line) -> None:
        fault: Script | bytes | Sequence[bytes] = OK
        if due.is_set() and (not lines or lines[0] is line):
            lines.append(line)
            fault = faults[min(len(lines), len(faults)) - 1]
        if callable(fault):
            fault(line)
        else:
            line.send(*([fault] if isinstance(fault, bytes) else fault))

    caller = call(serve(replies(answer)), **options)
    while turn:
        turn -= not caller.send().kind
    due.set()
    return caller


WRONG = [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", id="the length twice"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", id="two lengths"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", id="a list of lengths"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", id="a negative length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", id="a signed length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", id="a hex length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\nok", id="a length with a space"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok", id="an empty length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", id="a length beyond 64 bits"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", id="TE beside CL"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" + chunked(b"ok"),
        id="CL beside TE",
    ),
    pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ok"), id="TE in HTTP/1.0"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" + chunked(b"ok"), id="chunked twice"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n" + chunked(b"ok"), id="chunked not the last"
    ),
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", id="bare line feeds"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n\r\nok", id="one bare line feed"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n\r\nok", id="a bare carriage return"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", id="a folded header"),
    pytest.param(b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 2\r\n\r\nok", id="a space before the first header"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", id="a space before the colon"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\nok", id="a space within a name"),
    pytest.param(b"HTTP/1.1 200 OK\r\n: 2\r\n\r\nok", id="a header without a name"),
    pytest.param(b"HTTP/1.1 200 OK\r\nnothing\r\n\r\nok", id="a header without a colon"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok", id="NUL in a header"),
    pytest.param(b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", id="a status of two digits"),
    pytest.param(b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", id="a status of four digits"),
    pytest.param(b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok", id="a status of zero"),
    pytest.param(b"HTTP/1.1 099 OK\r\n\r\n" + OK, id="a status below 100"),
    pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", id="another major version"),
    pytest.param(b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok", id="a version before headers were"),
    pytest.param(b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", id="http in small letters"),
    pytest.param(b"\r\n" + OK, id="an empty line before"),
    pytest.param(b"\r\n\r\n" + OK, id="an empty head before"),
    pytest.param(b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", id="another protocol that looks alike"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="ssh"),
    pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="a TLS alert"),
    pytest.param(b"<html>go away</html>", id="no head at all"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="a request"),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="101"),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK, id="101 that says no more"),
    pytest.param(OK + b"!", id="a byte more"),
    pytest.param(OK + OK, id="a second reply"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\nok", id="204 with a body"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", id="304 with a body"),
    pytest.param(CHUNKED + chunked(b"tea") + OK, id="a second reply after chunks"),
    pytest.param(CHUNKED + chunked(b"tea") + b"x", id="a byte after chunks"),
    pytest.param(CHUNKED + b"xyz\r\n", id="a chunk size that is none"),
    pytest.param(CHUNKED + b"-1\r\n", id="a negative chunk size"),
    pytest.param(CHUNKED + b"fffffffffffffffff\r\n", id="a chunk size beyond 64 bits"),
    pytest.param(CHUNKED + b"2\r\nokay\r\n0\r\n\r\n", id="a chunk longer than its size"),
    pytest.param(CHUNKED + b"2\nok\n0\n\n", id="chunks with bare line feeds"),
    pytest.param(CHUNKED + b"2;" + b"x" * 400_000, id="a chunk extension of 400 kB"),
    pytest.param(CHUNKED + b"0\r\n" + b"X: y\r\n" * 100_000, id="trailers of 600 kB"),
    pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 501 + b"\r\n", id="501 headers"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", id="a header of 70 kB"),
    pytest.param(b"HTTP/1.1 200 " + b"y" * 70_000, id="a reason phrase of 70 kB"),
    pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n" * 60, id="60 interim replies"),
]


# one for each place that finds it, and what comes in many receives; all of them are read in memory in test_http1
OVER_SOCKETS = {
    "two lengths",
    "an empty line before",
    "no head at all",
    "101",
    "a byte more",
    "204 with a body",
    "a second reply after chunks",
    "a chunk size that is none",
    "a chunk extension of 400 kB",
    "trailers of 600 kB",
    "a header of 70 kB",
    "60 interim replies",
}


@met("message", [one for one in WRONG if one.id in OVER_SOCKETS])
def test_what_is_not_sound_is_a_protocol_failure(serve: Serve, call: Call, message: bytes, turn: int):
    caller = warmed(call, serve, turn, message)

    outcome = caller.send()

    assert outcome.kind == "protocol", outcome.message
    # and the next request starts on a clean line
    assert (caller.send().message, caller.send().status) == ("", 200)


def test_a_body_after_the_reply_to_head_is_a_protocol_failure(serve: Serve, call: Call):
    outcome = call(serve(replies(OK)), "HEAD").send()

    assert (outcome.kind, outcome.message) == ("protocol", "2 bytes more than the reply announced")


CUT = [
    pytest.param(then_close(), "connection closed before any reply", id="nothing"),
    pytest.param(then_close(b"HTTP/1.1 20"), "connection closed after 11 bytes, within the head", id="in the head"),
    pytest.param(
        then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x" * 499),
        "connection closed after 499 of 1,000 bytes of the body",
        id="in the body",
    ),
    pytest.param(
        then_close(reply(b"x" * 1000)[:-501]), "connection closed after 499 of 1,000 bytes of the body", id="at once"
    ),
    pytest.param(
        then_close(CHUNKED + b"5\r\nab"), "connection closed after 52 bytes, before the last chunk", id="in a chunk"
    ),
    pytest.param(
        then_close(CHUNKED + b"2\r\nab\r\n0\r\n"),
        "connection closed after 57 bytes, before the last chunk",
        id="before the end of the trailers",
    ),
    pytest.param(
        then_close(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        "connection closed after an interim reply",
        id="after an interim reply",
    ),
    pytest.param(then_reset(), "connection reset by peer before any reply", id="a reset"),
    pytest.param(
        then_reset(reply(b"x" * 1000)[:-501]),
        f"connection reset by peer after {len(reply(b'x' * 1000)) - 501} bytes of the reply",
        id="a reset in the body",
    ),
]


@met("fault message", CUT)
def test_a_reply_that_is_cut_tells_how_far_it_came(serve: Serve, call: Call, fault: Script, message: str, turn: int):
    # POST: a GET would be sent a second time where nothing had come
    caller = warmed(call, serve, turn, fault, method="POST")

    outcome = caller.send()

    assert (outcome.kind, outcome.message) == ("disconnect", message)


def test_a_reply_without_a_length_must_end_with_the_goodbye_of_tls(serve_as: Serve, call: Call, tls):
    def script(line: Line) -> None:
        line.request()
        line.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        line.cut()

    outcome = call(serve_as(script, context=tls)).send()

    assert (outcome.kind, outcome.message) == (
        "disconnect",
        "connection closed after 29 bytes without the end of TLS, so the reply may be cut",
    )


@pytest.mark.parametrize("fault", [then_close(), then_reset()], ids=["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_request_that_met_a_closed_connection_is_sent_once_more(serve: Serve, call: Call, fault: Script, method: str):
    answer = OK[:-2] if method == "HEAD" else OK
    peer = serve(replies(*[answer] * 4, fault), replies(answer))
    caller = call(peer, method)

    outcomes = caller.sends(6)

    assert [outcome.status for outcome in outcomes] == [200] * 6
    assert [outcome.connects for outcome in outcomes] == [(1, 0), *[(0, 0)] * 3, (1, 1), (0, 0)]
    assert len(peer.heard) == 7


@pytest.mark.parametrize("fault", [then_close(), then_reset()], ids=["close", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_must_not_happen_twice_is_not_sent_twice(serve: Serve, call: Call, fault: Script, method: str):
    peer = serve(replies(*[OK] * 4, fault), replies(OK))
    caller = call(peer, method, data="an order")

    outcomes = caller.sends(6)

    assert [outcome.kind for outcome in outcomes] == ["", "", "", "", "disconnect", ""]
    assert len(peer.heard) == 6


@turns
def test_a_reply_that_had_begun_is_not_asked_for_again(serve: Serve, call: Call, turn: int):
    peer = serve(replies(*[OK] * turn, then_close(b"H")), replies(OK))
    caller = call(peer)
    caller.sends(turn)

    assert caller.send().kind == "disconnect"
    assert peer.connections == 1


def test_a_server_that_closes_every_connection_is_a_failure_each_time_and_not_an_endless_loop(serve: Serve, call: Call):
    peer = serve(then_close_at_once)
    caller = call(peer)

    outcomes = caller.sends(3)

    assert {outcome.kind for outcome in outcomes} <= {"disconnect", "send", "tls", "connect"}
    # a new connection that ends at once is no reason to try another
    assert peer.connections == 3


def then_close_at_once(line: Line) -> None:
    """Not even read what is asked."""
    line.cut()


def endless(*parts: bytes, every: float = 0.0) -> Script:
    """The first part once, then the others again and again."""

    def answer(line: Line) -> None:
        line.send(parts[0])
        for part in itertools.cycle(parts[1:]):
            line.send(part)
            line.pause(every)

    return answer


def stalled(*parts: bytes) -> Script:
    """Say this, and no more."""

    def answer(line: Line) -> None:
        line.send(*parts)
        line.stall()

    return answer


SLOW = [
    pytest.param(stalled(), id="nothing"),
    pytest.param(stalled(b"HTTP/1.1 200 O"), id="within the head"),
    pytest.param(stalled(OK[:-1]), id="within the body"),
    pytest.param(stalled(CHUNKED, b"5\r\nab"), id="within a chunk"),
    pytest.param(stalled(b"HTTP/1.1 200 OK\r\n\r\n", b"some"), id="until a close that never comes"),
    pytest.param(lambda line: line.drip(OK[:14] + b"x" * 1000), id="a drip in the head"),
    pytest.param(lambda line: line.drip(reply(b"x" * 1000)[-1010:]), id="a drip of garbage that looks like a head"),
    pytest.param(endless(reply(b"x" * 1000)[:-1000], b"x", every=0.02), id="a drip in the body"),
    pytest.param(endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n", every=0.02), id="endless interim replies"),
    pytest.param(endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", every=0.02), id="endless headers"),
    pytest.param(endless(CHUNKED, b"1\r\nx\r\n", every=0.02), id="endless chunks"),
    pytest.param(endless(CHUNKED, b"1\r\nx\r\n" * 1000), id="endless chunks as fast as they can be read"),
    pytest.param(endless(CHUNKED + b"1;", b"x", every=0.02), id="an endless chunk extension"),
    pytest.param(endless(CHUNKED + b"0\r\n", b"X: y\r\n", every=0.02), id="endless trailers"),
]


@met("fault", SLOW)
def test_one_deadline_ends_whatever_a_server_does(serve: Serve, call: Call, fault: Script, turn: int):
    caller = warmed(call, serve, turn, fault, timeout=0.1)
    began = time.monotonic()

    outcome = caller.send()

    # on a busy machine it may be over before the handshake is
    assert outcome.kind in ("timeout", "protocol") or outcome.message.startswith("timed out during the TLS handshake")
    if outcome.kind == "timeout":
        assert outcome.message.startswith("no whole reply within 0.1 s")
        assert time.monotonic() - began >= 0.09
    assert time.monotonic() - began < 10


def test_a_late_part_does_not_begin_the_deadline_anew(serve: Serve, call: Call):
    def late(line: Line) -> None:
        line.pause(1.9)
        line.send(OK[:-1])
        line.stall()

    caller = call(serve(replies(late)), timeout=2)
    began = time.monotonic()

    assert caller.send().kind == "timeout"
    # 3.9 s if it did
    assert time.monotonic() - began < 3.85


FAST_FLOODS = [
    pytest.param(endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), id="interim replies"),
    pytest.param(endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100), id="headers"),
    pytest.param(endless(CHUNKED + b"1;", b"x" * 10_000), id="a chunk extension"),
    pytest.param(endless(CHUNKED + b"0\r\n", b"X: y\r\n" * 1000), id="trailers"),
]


FLOODED = (
    "more than 50 interim replies",
    "head of more than 65,536 bytes",
    "more than 65,536 bytes of chunk headers or trailers",
)


@pytest.mark.parametrize("fault", FAST_FLOODS)
def test_a_flood_without_end_is_ended_by_a_limit(serve: Serve, call: Call, fault: Script):
    outcome = call(serve(replies(fault))).send()

    assert outcome.kind == "protocol"
    assert outcome.message in FLOODED


def test_a_timeout_tells_how_much_had_come(serve: Serve, call: Call):
    outcome = call(serve(replies(stalled(OK[:-1]))), timeout=1).send()

    assert outcome.message == f"no whole reply within 1 s, {len(OK) - 1} bytes of the reply had come"
    assert outcome.size == len(OK) - 1


@turns
def test_the_deadline_is_one_for_sending_and_receiving(serve_as: Serve, call: Call, turn: int):
    def busy(line: Line) -> None:
        for _ in range(turn):
            line.request()
            line.send(OK)
        assert line.receive()
        # for most of the time it reads nothing, and then all of it
        line.pause(1.8)
        while line.receive():
            pass

    caller = call(serve_as(busy), timeout=2)
    caller.sends(turn)
    caller.use(call(caller.request.url, "PUT", data=bytes(20_000_000), timeout=2).request)
    began = time.monotonic()

    outcome = caller.send()

    assert outcome.kind == "timeout"
    # 3.8 s if each had all of it
    assert time.monotonic() - began < 3.75


@turns
def test_a_late_reply_is_never_taken_for_the_next_requests(serve: Serve, call: Call, turn: int):
    def late(line: Line) -> None:
        line.pause(0.6)
        line.send(reply(b"late"))

    caller = warmed(call, serve, turn, late, timeout=0.5, check=bool)

    assert caller.send().kind == "timeout"
    assert [caller.read() for _ in range(4)] == [b"ok"] * 4


SURPLUS = [
    pytest.param(OK, id="a reply"),
    pytest.param(reply(b"bad"), id="another reply"),
    pytest.param(b"x", id="a byte"),
    pytest.param(OK[:10], id="a part"),
    pytest.param(CHUNKED, id="a head"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", id="a head with a length"),
]


@met("surplus", SURPLUS)
def test_bytes_that_come_while_the_connection_rests_never_feed_the_next_request(
    serve: Serve, call: Call, surplus: bytes, turn: int
):
    def answer(line: Line) -> None:
        # the second part goes when the client has read the first
        line.send(OK, surplus)
        said.set()

    said = threading.Event()
    peer = serve(replies(*[OK] * turn, answer, reply(b"right")), replies(reply(b"fresh")))
    caller = call(peer, check=bool)
    caller.sends(turn + 1)
    assert said.wait(5)
    rested = caller.clock.now() + RESTED
    while caller.clock.now() < rested:
        pass

    outcome = caller.send()

    assert (caller.connection.reply().content, outcome.connects) == (b"fresh", (1, 1))
    assert caller.read() == b"fresh"


@turns
def test_a_second_reply_in_a_tls_record_of_its_own_never_feeds_the_next_request(
    serve_as: Serve, call: Call, tls, turn: int
):
    def doubled(line: Line) -> None:
        line.send_raw(line.sealed(reply(b"one")) + line.sealed(reply(b"two")))

    peer = serve_as(replies(*[reply(b"one")] * turn, doubled, reply(b"new")), replies(reply(b"fresh")), context=tls)
    caller = call(peer, check=bool)

    assert [caller.read() for _ in range(turn)] == [b"one"] * turn
    assert caller.send().message == f"{len(reply(b'two'))} bytes more than the reply announced"
    assert caller.read() == b"fresh"


def test_half_a_tls_record_after_a_reply_never_feeds_the_next_request(serve_as: Serve, call: Call, tls):
    rest: list[bytes] = []

    def begun(line: Line) -> None:
        surplus = line.sealed(reply(b"two"))
        rest.append(surplus[10:])
        line.send_raw(first + surplus[:10])

    def ended(line: Line) -> None:
        line.send_raw(rest[0] + line.sealed(reply(b"new")))

    first = b""

    def script(line: Line) -> None:
        nonlocal first
        line.request()
        first = line.sealed(reply(b"one"))
        begun(line)
        line.request()
        ended(line)

    caller = call(serve_as(script, replies(reply(b"fresh")), context=tls), check=bool)

    assert caller.read() == b"one"
    assert caller.send().kind in ("", "protocol")
    assert caller.connection.reply().content != b"two"
    assert caller.read() == b"fresh"


@turns
def test_a_broken_tls_record_is_a_failure(serve_as: Serve, call: Call, tls, turn: int):
    peer = serve_as(replies(*[OK] * turn, lambda line: line.send_raw(b"\x17\x03\x03\x00\x20" + b"x" * 32)), context=tls)
    caller = call(peer)
    caller.sends(turn)

    outcome = caller.send()

    assert outcome.kind == "tls"
    assert outcome.message.startswith("TLS failed: ")


def test_a_port_on_which_nobody_listens_is_refused_by_name(call: Call, free_port: int):
    outcome = call(f"http://127.0.0.1:{free_port}").send()

    assert (outcome.kind, outcome.message) == ("connect", f"connection refused 127.0.0.1:{free_port}")
    assert (outcome.sent, outcome.size) == (0, 0)


def test_opening_beforehand_tells_the_same_and_the_first_request_meets_it_again(call: Call, free_port: int):
    caller = call(f"http://127.0.0.1:{free_port}")

    note = caller.connection.open()

    assert note.failure
    assert note.failure.message == f"connection refused 127.0.0.1:{free_port}"
    assert caller.send().kind == "connect"


def test_a_missing_unix_socket_is_named(call: Call, tmp_path):
    path = str(tmp_path / "nobody.sock")

    outcome = call("http+unix://" + path.replace("/", "%2F")).send()

    assert (outcome.kind, outcome.message) == ("connect", f"no such file or directory unix:{path}")


def test_a_host_that_there_is_not_is_the_users_mistake(call: Call):
    with pytest.raises(UsageError, match=r"cannot resolve the host 'no\.such\.host\.invalid'"):
        call("http://no.such.host.invalid/")


def test_a_connection_that_is_not_accepted_times_out(call: Call):
    with full() as (_, port):
        began = time.monotonic()

        outcome = call(f"http://127.0.0.1:{port}", timeout=0.3).send()

        assert outcome.kind == "connect"
        assert outcome.message.startswith("timed out connecting to 127.0.0.1:")
        assert 0.25 < time.monotonic() - began < 10


def test_a_unix_socket_whose_queue_is_full_is_waited_for(call: Call, tmp_path):
    with full(tmp_path / "full.sock") as path:
        began = time.monotonic()

        outcome = call("http+unix://" + path.replace("/", "%2F"), timeout=0.3).send()

        assert (outcome.kind, outcome.message) == ("connect", f"timed out connecting to unix:{path}")
        assert 0.25 < time.monotonic() - began < 10


def test_a_handshake_that_does_not_end_is_ended_by_the_deadline(serve_as: Serve, call: Call):
    peer = serve_as(lambda line: line.stall())

    outcome = call(peer.url.replace("http:", "https:"), timeout=0.2).send()

    assert outcome.kind == "tls"
    assert outcome.message == f"timed out during the TLS handshake, at 127.0.0.1:{peer.port}"


def test_a_server_that_does_not_speak_tls_is_told(serve_as: Serve, call: Call):
    def script(line: Line) -> None:
        line.receive()
        line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        raise Gone

    outcome = call(serve_as(script).url.replace("http:", "https:")).send()

    assert outcome.kind == "tls"
    assert outcome.message.startswith("TLS handshake failed: wrong version number, at 127.0.0.1:")
