"""What goes out: byte for byte what `requests` would have sent, and nothing that was smuggled in."""

from __future__ import annotations

import email
import http.client
import io
import json
from typing import Any

import pytest
import requests

import loadkit
from loadkit import Endpoint, Scenario, UsageError
from loadkit.wire.encode import encode
from tests.wire.conftest import Call, Serve
from tests.wire.peer import OK, replies

Heard = tuple[str, dict[str, str], bytes]


def parsed(request: bytes) -> Heard:
    """Request line, headers and body, as the standard library reads them."""
    line, _, rest = request.partition(b"\r\n")
    stream = io.BytesIO(rest)
    headers = http.client.parse_headers(stream)
    assert len(set(headers)) == len(headers), "a header was sent twice"
    return line.decode(), {name.lower(): value for name, value in headers.items()}, stream.read()


CASES: list[Any] = [
    pytest.param("GET", {}, id="plain"),
    pytest.param("GET", {"path": "/a%20b/%C3%A9;v=1?x=1&x=2"}, id="an encoded path"),
    pytest.param("GET", {"path": "/é?q=ü"}, id="a path outside ASCII"),
    pytest.param("GET", {"path": "/a/../b/./c//d"}, id="dots"),
    pytest.param("GET", {"params": {"q": "green tea", "page": 2, "tags": ["a", "b"]}}, id="params"),
    pytest.param("GET", {"path": "/s?a=1", "params": {"b": "&=?#/ü"}}, id="params behind a query"),
    pytest.param("GET", {"headers": {"X-A": "1", "x-b": "two"}}, id="headers"),
    pytest.param("GET", {"headers": {"Host": "shop.example"}}, id="a Host of one's own"),
    pytest.param("GET", {"headers": {"X": "caf\xe9"}}, id="a header in latin-1"),
    pytest.param("GET", {"auth": ("Aladdin", "open sesame")}, id="basic auth"),
    pytest.param("HEAD", {}, id="HEAD"),
    pytest.param("DELETE", {}, id="DELETE"),
    pytest.param("OPTIONS", {}, id="OPTIONS"),
    pytest.param("POST", {}, id="POST of nothing"),
    pytest.param("POST", {"json": {"sku": "tea", "name": "Grüner Tee", "n": [1, None, 2.5]}}, id="json"),
    pytest.param("POST", {"json": []}, id="json of an empty list"),
    pytest.param("PUT", {"json": 0}, id="json of zero"),
    pytest.param("POST", {"data": {"a": "1 2", "b": ["x", "y"], "c": "ü&="}}, id="a form"),
    pytest.param("POST", {"data": [("a", "1"), ("a", "2")]}, id="a form of pairs"),
    pytest.param("POST", {"data": "Grüner Tee"}, id="text"),
    pytest.param("POST", {"data": b"\x00\xff\r\n\r\n"}, id="bytes"),
    pytest.param("PATCH", {"data": "", "headers": {"Content-Type": "text/x"}}, id="no text"),
    pytest.param("GET", {"data": "a body where none belongs"}, id="GET with a body"),
    pytest.param("POST", {"data": "x", "headers": {"content-type": "text/csv"}}, id="a type in small letters"),
]


@pytest.mark.parametrize(("method", "options"), CASES)
def test_a_request_is_what_requests_itself_would_have_sent(
    serve_as: Serve, call: Call, method: str, options: dict[str, Any]
):
    peer = serve_as(replies(OK[:-2] if method == "HEAD" else OK))
    options = {"path": "/", **options}
    call(peer, method, **options).send()
    path = options.pop("path")

    with requests.Session() as session:
        session.trust_env = False
        session.headers["User-Agent"] = f"loadkit/{loadkit.__version__}"
        session.headers["Accept-Encoding"] = "gzip, deflate"
        del session.headers["Connection"]
        session.request(method, peer.url + path, **options).close()

    ours, theirs = map(parsed, peer.heard)
    assert ours == theirs


def test_files_are_sent_as_a_form_of_parts(serve: Serve, call: Call):
    peer = serve(replies(OK))
    call(peer, "POST", files={"f": ("tea.txt", b"green", "text/plain")}, data={"n": "1"}).sends(2)

    for request in peer.heard:
        _, headers, body = parsed(request)
        form = email.message_from_bytes(b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body)
        parts = {
            part.get_param("name", header="content-disposition"): (part.get_filename(), part.get_payload(decode=True))
            for part in form.get_payload()
        }
        assert parts == {"n": (None, b"1"), "f": ("tea.txt", b"green")}
        assert int(headers["content-length"]) == len(body)


def test_a_file_is_read_once_and_sent_each_time(serve: Serve, call: Call, tmp_path):
    path = tmp_path / "tea.txt"
    path.write_bytes(b"green")
    peer = serve(replies(OK))
    with path.open("rb") as file:
        call(peer, "POST", files={"f": file}).sends(2)

    assert [request.count(b"green") for request in peer.heard] == [1, 1]


PRECEDENCE = [
    pytest.param({}, {}, ("*/*", "gzip, deflate"), id="the defaults"),
    pytest.param({"accept": "text/html"}, {}, ("text/html", "gzip, deflate"), id="the scenario's over the defaults"),
    pytest.param({"Accept": "a/a"}, {"ACCEPT": "b/b"}, ("b/b", "gzip, deflate"), id="the endpoint's over all"),
    pytest.param({}, {"accept-encoding": "identity"}, ("*/*", "identity"), id="the endpoint's over the defaults"),
]


@pytest.mark.parametrize(("of_all", "own", "expected"), PRECEDENCE)
def test_the_nearest_header_wins_whatever_its_case(serve: Serve, call: Call, of_all, own, expected):
    peer = serve(replies(OK))
    call(peer, headers_of_all=of_all, headers=own).send()

    _, headers, _ = parsed(peer.heard[0])
    assert (headers["accept"], headers["accept-encoding"]) == expected
    assert headers["user-agent"] == f"loadkit/{loadkit.__version__}"


def smuggle(**headers: str):
    """An `auth` of the user's own that sets headers `requests` does not look at again."""

    def sign(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        prepared.headers.update(headers)
        return prepared

    return sign


INJECTED = [
    pytest.param({"path": "/a\r\nX: y"}, id="a line break in the path"),
    pytest.param({"path": "/a b"}, id="a space in the path"),
    pytest.param({"path": "/a\0"}, id="NUL in the path"),
    pytest.param({"path": "http://127.0.0.1\r\nX: y/"}, id="a line break in the host"),
    pytest.param({"headers": {"X": "a\r\nY: b"}}, id="a line break in a header"),
    pytest.param({"headers": {"X": "a\rb"}}, id="CR in a header"),
    pytest.param({"headers": {"X": "a\nb"}}, id="LF in a header"),
    pytest.param({"headers": {"X": "a\0b"}}, id="NUL in a header"),
    pytest.param({"headers": {"X\r\nY": "a"}}, id="a line break in a name"),
    pytest.param({"headers": {"X:": "a"}}, id="a colon in a name"),
    pytest.param({"headers": {"": "a"}}, id="no name"),
    pytest.param({"headers": {" X": "a"}}, id="a folded name"),
    pytest.param({"headers": {"X": " a"}}, id="a value that requests refuses"),
    pytest.param({"headers": {"X": "Ω"}}, id="a header that is not latin-1"),
    pytest.param({"headers": {"Host": "a\r\nX: y"}}, id="a line break in Host"),
    pytest.param({"auth": smuggle(X="a\r\nY: b")}, id="a line break from an auth"),
    pytest.param({"auth": smuggle(X="a\rb")}, id="CR from an auth"),
    pytest.param({"auth": smuggle(X="a\0b")}, id="NUL from an auth"),
    pytest.param({"auth": smuggle(**{"X\n": "a"})}, id="a line break in a name from an auth"),
    pytest.param({"json": {1, 2}}, id="json that is none"),
    pytest.param({"json": float("nan")}, id="json of no number"),
]


@pytest.mark.parametrize("options", INJECTED)
def test_what_would_break_the_head_is_refused_before_anything_is_sent(options: dict[str, Any]):
    with pytest.raises(UsageError):
        encoded("POST", **{"path": "/", **options})


def test_the_method_is_one_of_http():
    with pytest.raises(UsageError, match="is not an HTTP method"):
        encoded("GET / HTTP/1.1\r\nX:", path="/")


def test_line_breaks_in_params_and_user_names_are_encoded():
    request = encoded("GET", path="/", params={"a\r\nb": "c\r\nd"}, auth=("e\r\nf", "g\r\nh"))

    line, headers, body = parsed(request)
    assert line == "GET /?a%0D%0Ab=c%0D%0Ad HTTP/1.1"
    assert set(headers) == {"host", "user-agent", "accept", "accept-encoding", "authorization"}
    assert body == b""


def test_json_is_text_in_utf8():
    _, headers, body = parsed(encoded("POST", path="/", json={"tea": "grün"}))

    assert json.loads(body.decode("utf-8")) == {"tea": "grün"}
    assert headers["content-type"] == "application/json"


def encoded(method: str, *, path: str, **options: Any) -> bytes:
    endpoint = Endpoint(method, path, **options)
    return encode(endpoint, Scenario(base_url="http://127.0.0.1", endpoints=[endpoint])).payload
