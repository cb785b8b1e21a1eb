"""Heads at their edges: what a method may be, what belongs to the value of a header, and a head that is cut off."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.exceptions import ChunkedEncodingError, InvalidHeader

from loadkit import Session
from tests.wire.conftest import Call, Serve
from tests.wire.peer import OK, replies, reply, then_close, then_reset


@pytest.mark.parametrize("method", ["G T", "GET ", "GET\t", "G\x01T", "GÉT", "G:T", "GET\x7f"])
@pytest.mark.parametrize("options", [{}, {"stream": True}], ids=["at once", "streamed"])
def test_a_method_that_is_not_one_word_is_refused_before_anything_is_sent(serve_as: Serve, method: str, options: dict):
    peer = serve_as(replies(OK))
    for client in (requests.Session(), Session()):
        client.trust_env = False
        with closing(client), pytest.raises(ValueError, match=r"(?i)method"):
            client.request(method, peer.url, **options)
    with closing(Session()) as http, pytest.raises(InvalidHeader):
        http.request(method, peer.url)
    assert peer.heard == []


@pytest.mark.parametrize("method", ["GET", "PURGE", "M-SEARCH", "X.Y_Z"])
def test_a_method_that_is_one_word_is_sent(serve_as: Serve, method: str):
    peer = serve_as(replies(OK))
    with closing(Session()) as http:
        assert http.request(method, peer.url).status_code == 200
    assert peer.heard[0].startswith(method.encode() + b" / HTTP/1.1\r\n")


BLANKS = reply(b"ok", "X-A: tea\t ", "X-B:  \t two words \t", "X-C:\t", "X-D: last ")


def test_blanks_around_the_value_of_a_header_are_not_its(serve: Serve, call: Call, ca_file: Path):
    expected = {"X-A": "tea", "X-B": "two words", "X-C": "", "X-D": "last"}
    peer = serve(replies(BLANKS))
    caller = call(peer, check=bool)
    caller.read()
    with closing(Session()) as http:
        http.verify, http.trust_env = str(ca_file), False
        read: list[Any] = [http.get(peer.url), http.get(peer.url, stream=True), caller.connection.reply()]
        assert [{name: each.headers[name] for name in expected} for each in read] == [expected] * 3


@pytest.mark.parametrize("end", [then_close, then_reset])
@pytest.mark.parametrize("options", [{}, {"stream": True}], ids=["at once", "streamed"])
@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nX-A: v"], ids=["a byte", "a part of a header"])
def test_a_head_that_is_cut_off_has_both_names_that_requests_has_for_it(
    serve_as: Serve, end, options: dict, part: bytes
):
    with closing(Session()) as http:
        http.trust_env = False
        for kind in (ChunkedEncodingError, requests.ConnectionError):
            with pytest.raises(kind, match=f"after {len(part)} bytes"):
                http.get(serve_as(replies(end(part))).url, **options)
