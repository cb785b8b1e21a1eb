"""Filled bytes are those that `requests` makes of an endpoint in which somebody wrote the values by hand."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests import PreparedRequest

from loadkit import Endpoint, Scenario, UsageError, rows
from loadkit.clock import ManualClock
from loadkit.plan.errors import FeedError
from loadkit.wire.base import WithPayload
from loadkit.wire.encode import encode
from loadkit.wire.fake import FakeWire
from loadkit.wire.template import filler

USERS = rows([{"v": "1"}])
BOUNDARY = re.compile(rb"[0-9a-f]{32}")

NASTY = (
    "", "17", "tea", "green tea", " x ", "a/b", "a?b=c", "a#b", "a&b=c", "1+1", "100%", "%41", "%zz", '"q"', "'",
    "\\", "{v}", "{{v}}", "line\nbreak", "\r\n\r\n", "tab\t", "käse", "日本", "😀", "\x7f", "\u2028", "~._-", "<&>",
    "%s%b", "a;b=c,d", "//", "\x00",
)  # fmt: skip


def scenario(endpoint: Endpoint) -> Scenario:
    """Somewhere to send it."""
    return Scenario(base_url="http://127.0.0.1:8000/api", headers={"X-Run": "{{v}}"}, endpoints=[endpoint])


def filled(endpoint: Endpoint, value: object) -> bytes:
    """What is sent for a row, its boundary aside."""
    payload = filler(endpoint, scenario(endpoint), source="a.csv")({"v": value}).payload
    return BOUNDARY.sub(b"boundary", payload)


def by_hand(endpoint: Endpoint) -> bytes:
    """What is sent of an endpoint without a feed, whose braces are text."""
    anywhere = scenario(Endpoint("GET", "/"))
    return BOUNDARY.sub(b"boundary", encode(endpoint, anywhere, is_filled=True).payload)


def in_url(value: str) -> str:
    """As a browser's `encodeURIComponent`."""
    return quote(value, safe="")


Made = Callable[[str], dict[str, Any]]

# the same endpoint twice: given the text to write, once `{v}` and once the value
PLACES: list[Any] = [
    pytest.param("GET", lambda v: {"path": "/u/{}/x".format("{v}" if v == "{v}" else in_url(v))}, id="a segment"),
    pytest.param("GET", lambda v: {"path": "/u?a=1&q={}".format("{v}" if v == "{v}" else in_url(v))}, id="a query"),
    pytest.param("GET", lambda v: {"path": "/u", "params": {"q": v, "p": ["x" + v, 2]}}, id="params"),
    pytest.param("POST", lambda v: {"path": "/u", "json": {"a": v, "b": [1, {"c": f"<{v}>"}], "d": None}}, id="json"),
    pytest.param("POST", lambda v: {"path": "/u", "json": v}, id="json that is one text"),
    pytest.param("POST", lambda v: {"path": "/u", "data": {"a": v, "b": [f"{v}!", "ü"], "c": 1}}, id="a form"),
    pytest.param("POST", lambda v: {"path": "/u", "data": [("a", v), ("a", "100%" + v)]}, id="a form of pairs"),
    pytest.param("POST", lambda v: {"path": "/u", "data": v}, id="text that is one value"),
    pytest.param("GET", lambda v: {"path": "/u", "data": v}, id="a GET with text"),
    pytest.param("PUT", lambda v: {"path": "/u", "data": f'{{"ü": "{v}", "%": %d}}'}, id="text"),
    pytest.param("POST", lambda v: {"path": "/u", "files": {"f": ("n.txt", f"a{v}b", "text/x")}}, id="a file"),
    pytest.param("POST", lambda v: {"path": "/u", "files": {"f": v, "g": b"g"}, "data": {"d": v}}, id="files and data"),
    pytest.param(
        "POST", lambda v: {"path": "/u", "json": [v], "params": {"q": v}, "auth": ("me", "pw")}, id="with a password"
    ),
]


@pytest.mark.parametrize(("method", "made"), PLACES)
def test_each_place_is_written_as_requests_would(method: str, made: Made) -> None:
    template = filler(fed := Endpoint(method, feed=USERS, **made("{v}")), scenario(fed), source="a.csv")
    for value in NASTY:
        payload = BOUNDARY.sub(b"boundary", template({"v": value}).payload)
        assert payload == by_hand(Endpoint(method, **made(value))), value


@pytest.mark.parametrize(("method", "made"), PLACES)
@settings(max_examples=20)
@given(value=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_written_as_requests_would(method: str, made: Made, value: str) -> None:
    if value not in (".", ".."):
        assert filled(Endpoint(method, feed=USERS, **made("{v}")), value) == by_hand(Endpoint(method, **made(value)))


@pytest.mark.parametrize("value", ["x", "17", "café", "a b", "x\xa0x", "x\xa0", '"{v}"', "%s", "\x7f", "a\tb", "x "])
@pytest.mark.parametrize("form", ["{}", "Bearer {}", "{}; q=1"])
def test_headers_are_latin_1(form: str, value: str) -> None:
    endpoint = Endpoint("GET", "/", headers={"X-V": form.format("{v}"), "Host": "shop"}, feed=USERS)
    assert filled(endpoint, value) == by_hand(Endpoint("GET", "/", headers={"X-V": form.format(value), "Host": "shop"}))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\r\nX-Evil: 1", "the header 'X-V' takes a string without line breaks"),
        ("a\nb", "the header 'X-V' takes a string without line breaks"),
        ("a\0b", "the header 'X-V' takes a string without line breaks"),
        ("日本", "GET '/api/' has a header that is not latin-1: '日'"),
    ],
)
def test_what_cannot_stand_in_a_header_is_refused(value: str, reason: str) -> None:
    endpoint = Endpoint("GET", "/", headers={"X-V": "{v}"}, feed=USERS)
    with pytest.raises(FeedError) as caught:
        filled(endpoint, value)
    assert str(caught.value) == f"a.csv: cannot fill GET / with {{'v': '***'}}: {reason}"


def test_a_blank_at_the_start_of_a_header_is_for_requests_to_judge() -> None:
    endpoint = Endpoint("GET", "/", headers={"X-V": "{v}"}, feed=USERS)
    with pytest.raises(UsageError):
        by_hand(Endpoint("GET", "/", headers={"X-V": " x"}))
    with pytest.raises(FeedError, match="cannot fill GET /"):
        filled(endpoint, " x")


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"Authorization": "Bearer {v}{bad}"}},
        {"headers": {"X-V": "{v}{bad}"}, "json": {"sku": "{v}"}},
        {"headers": {"X-V": "{bad}"}, "path": "/?token={v}"},
        {"headers": {"X-V": "{bad}"}, "params": {"api_key": "{v}"}},
        {"headers": {"X-V": "{bad}"}, "json": {"user": {"password": "{v}"}}},
        {"headers": {"X-V": "{bad}"}, "data": {"password": "{v}"}},
        {"headers": {"X-V": "{bad}"}, "data": "user=me&pwd={v}"},
    ],
    ids=repr,
)
def test_messages_do_not_tell_what_fills_the_place_of_a_secret(fields: dict[str, Any]) -> None:
    endpoint = Endpoint("POST", **({"path": "/{name}{token}"} | fields), feed=USERS)
    row = {"v": "s3cret", "bad": "\n", "name": "tea", "token": "s3cret"}
    with pytest.raises(FeedError, match=r"'v': '\*\*\*'") as caught:
        filler(endpoint, scenario(endpoint), source="a.csv")(row)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", [".", "..", "..%2f.."])
def test_a_value_does_not_climb_out_of_its_folder(value: str) -> None:
    for auth in (None, Signed()):
        line = filled(Endpoint("GET", "/a/{v}/b", auth=auth, feed=USERS), value).partition(b"\r\n")[0].decode()
        assert line == f"GET /api/a/{in_url(value)}/b HTTP/1.1"


@pytest.mark.parametrize("value", [17, 1.5, True, None, [1, "ü"], {"a": {"b": None}}, "17", 10**20], ids=repr)
def test_json_that_is_one_placeholder_takes_the_value_as_it_is(value: object) -> None:
    fed = Endpoint("POST", "/", json={"whole": "{v}", "list": ["{v}"]}, feed=USERS)
    assert filled(fed, value) == by_hand(Endpoint("POST", "/", json={"whole": value, "list": [value]}))


def test_what_json_does_not_know_is_written_as_text() -> None:
    value = uuid.UUID(int=1)
    assert filled(Endpoint("POST", "/", json="{v}", feed=USERS), value).endswith(b'"%b"' % str(value).encode())


def test_not_a_number_is_refused_as_requests_does() -> None:
    with pytest.raises(FeedError, match=r"a.csv: cannot fill POST / with \{'v': nan\}"):
        filled(Endpoint("POST", "/", json="{v}", feed=USERS), float("nan"))


def test_literal_braces_and_a_column_that_comes_twice() -> None:
    endpoint = Endpoint("POST", "/{v}/{v}?x={{v}}", data="{{v}} {v} {v}", feed=USERS)
    payload = filled(endpoint, "é")
    assert payload.startswith(b"POST /api/%C3%A9/%C3%A9?x=%7Bv%7D HTTP/1.1\r\n")
    assert payload.endswith("\r\n\r\n{v} é é".encode())
    assert b"Content-Length: 9\r\n" in payload


def test_headers_of_the_scenario_are_no_templates() -> None:
    assert b"X-Run: {v}\r\n" in filled(Endpoint("GET", "/{v}", feed=USERS), "1")


class Signed:
    """Signs the path and the body, as clients of some clouds do."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["X-Signature"] = signature(request.path_url, request.body)
        return request


def signature(path: str, body: object) -> str:
    """Something that depends on all of both."""
    return hashlib.sha256(f"{path} {body!r}".encode()).hexdigest()


def test_a_request_that_is_signed_is_signed_for_each_row() -> None:
    fed = Endpoint("POST", "/{v}", json={"a": "{v}"}, auth=Signed(), feed=USERS)
    for value in ("1", "zwei"):
        payload = filler(fed, scenario(fed), source="a.csv")({"v": value}).payload
        by_hand = Endpoint("POST", f"/{value}", json={"a": value}, auth=Signed())
        assert payload == encode(by_hand, scenario(fed)).payload
        assert signature(f"/api/{value}", b'{"a": "%b"}' % value.encode()).encode() in payload


def test_a_filled_request_is_a_request_like_its_template() -> None:
    endpoint = Endpoint("PUT", "/u/{v}?a=1", json=["{v}"], headers={"X": "ü"}, timeout=3, check=print, feed=USERS)
    made = filler(endpoint, scenario(endpoint), source="a.csv")({"v": "a/b"})
    plain = encode(endpoint.replace(path="/u/a%2Fb?a=1", json=["a/b"], feed=None), scenario(endpoint))

    assert isinstance(made, WithPayload)
    for name in ("origin", "method", "url", "payload", "timeout", "keep", "idempotent"):
        assert getattr(made, name) == getattr(plain, name), name


def test_the_fake_wire_tells_the_rows_apart() -> None:
    endpoint = Endpoint("GET", "/{v}", feed=USERS)
    wire = FakeWire(ManualClock())
    request = encode(endpoint, scenario(endpoint))
    send = wire.connect(request.origin).sender(request)
    fill = filler(endpoint, scenario(endpoint), source="a.csv")
    for value in "ab":
        send(fill({"v": value}))
    assert [request.url for request in wire.sent] == ["http://127.0.0.1:8000/api/a", "http://127.0.0.1:8000/api/b"]
