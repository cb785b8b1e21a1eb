"""What a request consists of: connecting, the TLS handshake, and the time to the first byte of a reply in pieces."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import trustme

from loadkit import Endpoint, Scenario, Session, run
from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.judge.times import Times
from loadkit.report.html import html_report
from loadkit.report.json import load
from loadkit.report.layout import Layout
from loadkit.report.text import text_report
from tests.conftest import Call
from tests.wire.peer import Line, Peer, chunked, replies, reply

PAUSE = 0.1
WHOLE = reply(b"0123456789")
PIECES = WHOLE[:-5], WHOLE[-5:]
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(b"01234", b"56789")


def slowly(*parts: bytes) -> Callable[[Line], None]:
    """Send the parts with a pause between two of them."""

    def answer(line: Line) -> None:
        for k, part in enumerate(parts):
            if k:
                line.pause(PAUSE)
            line.send(part)

    return answer


def found(answer: Any, target: Any = None, context: ssl.SSLContext | None = None, **fields: Any) -> Result:
    with closing(Peer(replies(answer), context=context)) as peer:
        endpoints = [target or Endpoint("GET", "/")]
        scenario = Scenario(base_url=peer.url, endpoints=endpoints, **({"threads": 1, "iterations": 3} | fields))
        return run(scenario)


def whole(http: Session) -> None:
    http.get("/")


def streamed(http: Session) -> None:
    assert sum(map(len, http.get("/", stream=True).iter_content(3))) == 10


@pytest.mark.parametrize("target", [None, whole, streamed])
@pytest.mark.parametrize("parts", [PIECES, CHUNKS], ids=["length", "chunks"])
def test_the_first_byte_is_that_of_the_first_piece(parts: tuple[bytes, ...], target: Any):
    result = found(slowly(*parts), target)

    first, service = result.total.first_byte_time, result.total.service_time
    assert first is not None
    assert first.count == service.count == 3
    assert first.min is not None
    assert first.mean is not None
    assert first.min > 0
    assert service.mean is not None
    assert service.mean - first.mean >= PAUSE
    assert [row.first_byte_time for row in result.endpoints] == [first]


def test_a_reply_in_one_piece_has_none_and_neither_has_an_interim_one():
    assert found(WHOLE).total.first_byte_time is None
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    assert found(slowly(hints, WHOLE)).total.first_byte_time is None


def test_only_good_replies_are_in_it():
    bad = reply(b"0123456789", status="500 Oops")
    result = found(slowly(bad[:-5], bad[-5:]))
    assert (result.total.first_byte_time, result.total.failures) == (None, {"check": 3})


def test_with_tls_the_handshake_is_apart():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    result = found(slowly(*PIECES), context=context, verify=False)

    total = result.total
    assert total.connect_time is not None
    assert total.tls_time is not None
    assert (total.connect_time.count, total.tls_time.count, total.connects) == (1, 1, 1)
    assert total.connect_time.max is not None
    assert total.tls_time.max is not None
    assert 0 < total.connect_time.max + total.tls_time.max <= total.connect_seconds
    assert total.first_byte_time is not None


@pytest.mark.parametrize("target", [None, whole])
def test_each_connection_that_is_made_is_counted(target: Any):
    def answer(line: Line) -> None:
        line.send(reply(b"0123456789", "Connection: close"))
        line.close()

    result = found(answer, target, threads=2, iterations=8)

    total = result.total
    assert total.connect_time is not None
    assert total.connects == total.connect_time.count
    assert total.connects in (8, 9, 10), "one a request, and one that a thread has opened and not used"
    assert total.tls_time is None
    assert text_row(result, "connect"), "connections were made all the time"


def test_a_connection_that_is_kept_is_in_page_and_json_and_not_in_the_text():
    result = found(WHOLE)

    assert result.total.connect_time is not None
    assert not text_row(result, "connect")
    assert ">connect<" in html_report([result])


def text_row(result: Result, name: str) -> list[str]:
    return [
        line
        for line in text_report(result, Layout(width=100), full=True).splitlines()
        if line.strip().startswith(f"{name} ")
    ]


def test_those_of_several_runs_add_up():
    one = found(slowly(*PIECES))
    both = merge([one, one])
    counts = [counted(each) for each in (one.total.connect_time, both.total.connect_time)]
    assert counts == [1, 2]
    assert [counted(each) for each in (one.total.first_byte_time, both.total.first_byte_time)] == [3, 6]


def counted(times: Times | None) -> int:
    return times.count if times else 0


def test_processes_tell_theirs(call: Call, tmp_path: Any):
    with closing(Peer(replies(slowly(*PIECES)))) as peer:
        call(peer.url, "-n", "6", "-c", "2", "--processes", "2", "-o", str(tmp_path / "r.json"))
    (stored,) = load(tmp_path / "r.json")
    assert (counted(stored.total.connect_time), counted(stored.total.first_byte_time)) == (2, 6)
