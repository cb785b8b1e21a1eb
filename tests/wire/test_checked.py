"""What a check is shown is a `requests.Response`, and reads as one."""

from __future__ import annotations

import gzip

import pytest
import requests

from loadkit import Endpoint, Scenario
from loadkit.clock import ManualClock
from loadkit.wire.encode import encode
from loadkit.wire.fake import FakeReply, FakeWire


def checked(reply: FakeReply) -> requests.Response:
    scenario = Scenario(base_url="http://me:pw@127.0.0.1:8000", endpoints=[Endpoint("GET", "/")])
    endpoint = Endpoint("POST", "/tea?a=1", data="two")
    request = encode(endpoint, scenario)
    connection = FakeWire(ManualClock(), reply).connect(request.origin)
    connection.sender(request)(request)
    return connection.reply()


def test_it_has_what_a_response_has():
    reply = checked(
        FakeReply(
            status=201,
            body='{"name": "tëa"}\n[]'.encode(),
            headers={"Content-Type": "text/plain", "Set-Cookie": "a=b", "X-A": "1"},
        )
    )

    assert isinstance(reply, requests.Response)
    assert (reply.status_code, reply.ok, bool(reply), repr(reply)) == (201, True, True, "<Response [201]>")
    assert (reply.headers["x-a"], reply.cookies["a"], reply.history, reply.is_redirect) == ("1", "b", [], False)
    assert (reply.content, reply.text) == ('{"name": "tëa"}\n[]'.encode(), '{"name": "tëa"}\n[]')
    assert [*reply.iter_lines()] == ['{"name": "tëa"}'.encode(), b"[]"]
    assert reply.url == "http://127.0.0.1:8000/tea"
    assert (reply.request.method, reply.request.body, reply.request.headers["content-length"]) == ("POST", b"two", "3")
    reply.raise_for_status()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        # requests would have it in ISO 8859-1, which no server means that says nothing
        ("text/html", "tëa"),
        ("text/html; charset=utf-8", "tëa"),
        ("text/html; charset=iso-8859-1", "tÃ«a"),
        ("application/octet-stream", "tëa"),
    ],
)
def test_text_without_a_charset_is_utf_8(kind: str, text: str):
    assert checked(FakeReply(body="tëa".encode(), headers={"Content-Type": kind})).text == text


def test_an_encoded_body_is_decoded():
    body = gzip.compress(b'{"tea": [1, 2]}')
    reply = checked(FakeReply(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}))

    assert reply.json() == {"tea": [1, 2]}
    assert [*reply.iter_content(5)] == [b'{"tea', b'": [1', b", 2]}"]


def test_a_status_of_an_error_raises_what_requests_raises():
    with pytest.raises(requests.HTTPError, match=r"^503 Server Error"):
        checked(FakeReply(status=503)).raise_for_status()


def test_it_has_no_elapsed():
    with pytest.raises(AttributeError, match="the times are in the report"):
        _ = checked(FakeReply()).elapsed
