"""We do the same job as `requests`: ordinary cases come out alike, and so do the kinds of the usual faults."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from loadkit import Endpoint, Scenario, run
from loadkit.plan.units import SECOND
from loadkit.wire.protocols import Wire
from loadkit.wire.sockets import SocketWire
from tests.wire.conftest import Call, Serve
from tests.wire.oracle import RequestsWire
from tests.wire.peer import OK, Line, chunked, replies, reply, then_close, then_reset

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

clients = pytest.mark.parametrize("client", [SocketWire, RequestsWire])

ORDINARY = [
    pytest.param("GET", reply(b"tea", "X: 1"), 200, b"tea", id="a length"),
    pytest.param("GET", CHUNKED + chunked(b"green ", b"tea"), 200, b"green tea", id="chunks"),
    pytest.param("HEAD", reply(b"tea")[:-3], 200, b"", id="HEAD"),
    pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="204"),
    pytest.param("GET", reply(b"", "Location: /else", status="302 Found"), 302, b"", id="a redirect is not followed"),
    pytest.param("POST", reply(b"no", status="500 Oops"), 500, b"no", id="500"),
    pytest.param("GET", reply(gzip.compress(b"tea"), "Content-Encoding: gzip"), 200, b"tea", id="gzip"),
    pytest.param("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"tea"), 200, b"tea", id="1xx before"),
]


@clients
@pytest.mark.parametrize(("method", "message", "status", "body"), ORDINARY)
def test_an_ordinary_reply_is_read(
    serve_as: Serve, call: Call, client: type[Wire], method: str, message: bytes, status: int, body: bytes
):
    peer = serve_as(replies(message))
    caller = call(peer, method, check=bool, client=client)

    for _ in range(3):
        outcome = caller.send()

        assert (outcome.status, outcome.message) == (status, "")
        assert caller.connection.reply().content == body
        assert caller.connection.reply().status_code == status
    assert peer.connections == 1


def drip(line: Line) -> None:
    """A body that comes, but not in time."""
    line.send(reply(b"x" * 1000)[:-1000])
    line.drip(b"x" * 1000, every=0.02)


FAULTS = [
    pytest.param(then_close(), "disconnect", id="closed"),
    pytest.param(then_reset(), "disconnect", id="reset"),
    pytest.param(then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"), "disconnect", id="cut"),
    pytest.param(then_close(CHUNKED + b"5\r\nab"), "disconnect", id="cut in a chunk"),
    pytest.param(then_reset(reply(b"x" * 1000)[:-500]), "disconnect", id="reset in the body"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "protocol", id="not HTTP"),
    pytest.param(CHUNKED + b"xyz\r\n\r\n", "protocol", id="a chunk size that is none"),
    pytest.param(Line.stall, "timeout", id="no reply"),
    pytest.param(lambda line: (line.send(OK[:-1]), line.stall()), "timeout", id="half a reply"),
    pytest.param(drip, "timeout", id="a drip"),
]


@clients
@pytest.mark.parametrize(("fault", "kind"), FAULTS)
def test_a_fault_has_the_same_kind(serve_as: Serve, call: Call, client: type[Wire], fault, kind: str):
    # POST: that it is not sent a second time is one more thing they share
    peer = serve_as(replies(fault), replies(OK))
    caller = call(peer, "POST", client=client, timeout=0.15 if kind == "timeout" else 5.0)

    outcome = caller.send()

    assert (outcome.kind, outcome.status) == (kind, 0), outcome.message
    assert "object at 0x" not in outcome.message
    assert outcome.message
    # on a busy machine a handshake takes longer than the fault may
    caller.use(replace(caller.request, timeout=5 * SECOND))
    assert caller.send().status == 200


@clients
def test_a_body_is_cut_at_its_limit(serve: Serve, call: Call, client: type[Wire]):
    caller = call(serve(replies(reply(b"x" * 1000))), client=client, check=bool, body_limit=0)
    caller.send()

    assert caller.connection.reply().status_code == 200
    with pytest.raises(AssertionError, match=r"^the body was cut at body_limit, 0 bytes$"):
        _ = caller.connection.reply().content


@pytest.mark.parametrize("sent", [b"", reply(b"x" * 1000)[:-500]], ids=["no reply", "half a reply"])
def test_what_is_under_way_is_cut(serve: Serve, ca_file: Path, sent: bytes):
    peer = serve(lambda line: (line.request(), line.send(sent), line.stall()))
    scenario = Scenario(
        base_url=peer.url,
        endpoints=[Endpoint("GET", "/")],
        threads=1,
        duration="200ms",
        graceful_stop="100ms",
        timeout="1m",
        ca=ca_file,
    )

    result = run(scenario)

    assert (result.total.cut, result.total.requests) == (1, 0)
    assert "stuck" not in {caveat.code for caveat in result.caveats}
