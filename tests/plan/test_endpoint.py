"""An endpoint takes what requests takes, and says in one line what it cannot use."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from typing import Any

import pytest

from loadkit.plan.endpoint import METHODS, Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.urls import strip_url

STATUS = "write 200, (200, 404), '2xx' or '200-299'"
BODY = "it is sent many times, so give text, bytes, a mapping or pairs"


def complaint(*args: Any, **fields: Any) -> str:
    with pytest.raises(UsageError) as caught:
        Endpoint(*args, **fields)
    return str(caught.value)


def test_a_path_without_a_method_is_shown_with_one() -> None:
    assert complaint("/items") == "an endpoint takes a method and a path, like Endpoint('GET', '/items')"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "path takes a path like '/search' or a URL like 'http://127.0.0.1:8000/', not ''"),
        (None, "path takes a path like '/search' or a URL like 'http://127.0.0.1:8000/', not None"),
        (b"/", "path takes a path like '/search' or a URL like 'http://127.0.0.1:8000/', not b'/'"),
        ("search", "path 'search' is neither a path like '/search' nor a URL like 'http://search'"),
        ("h:1/x", "path 'h:1/x' is neither a path like '/h:1/x' nor a URL like 'http://h:1/x'"),
        ("/a b", "path '/a b' holds a space; write it as %20"),
        # a second request smuggled in behind the first
        ("/\r\nX: y", "path '/\\r\\nX: y' holds a control character; percent-encode it"),
        ("/\x00", "path '/\\x00' holds a control character; percent-encode it"),
        ("/\x7f", "path '/\\x7f' holds a control character; percent-encode it"),
        ("ftp://h/", "path 'ftp://h/' has the scheme 'ftp'; loadkit speaks http, https, http+unix"),
        ("://h/", "path '://h/' has the scheme ''; loadkit speaks http, https, http+unix"),
        ("http:///x", "path 'http:///x' names no host; write it like 'http://127.0.0.1:8000/'"),
        ("http://", "path 'http://' names no host; write it like 'http://127.0.0.1:8000/'"),
        # how curl and people write it first
        (
            "http+unix:///tmp/s/x",
            "path 'http+unix:///tmp/s/x' names no host; write it like 'http+unix://%2Ftmp%2Fapp.sock/'",
        ),
        ("http://h:99999/", "path 'http://h:99999/' is not a URL: Port out of range 0-65535"),
        ("http://h:a/", "path 'http://h:a/' is not a URL: Port could not be cast to integer value"),
        ("http://[::1/", "path 'http://[::1/' is not a URL: Invalid IPv6 URL"),
    ],
)
def test_a_path_is_absolute_or_a_full_url(path: Any, said: str) -> None:
    assert complaint("GET", path) == said


@pytest.mark.parametrize(
    "path",
    ["/", "/a?b=c#d", "//cdn/x", "/käse", "http://h", "HTTPS://h/", "http://[::1]:8000/", "http+unix://%2Ftmp%2Fs/x"],
)
def test_a_path_is_kept_as_it_was_written(path: str) -> None:
    assert Endpoint("GET", path).path == path


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_is_one_in_any_case(method: str) -> None:
    assert Endpoint(method.lower(), "/").method == method


@pytest.mark.parametrize("method", ["FETCH", "", "GET ", "GET\r\nX: y", None, b"GET", ["GET"]])  # a list has no hash
def test_another_method_is_answered_with_those_there_are(method: Any) -> None:
    assert complaint(method, "/") == f"{method!r} is not an HTTP method; use one of {', '.join(sorted(METHODS))}"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "headers takes a mapping like {'Accept': 'text/html'}, not NoneType"),
        ([("A", "b")], "headers takes a mapping like {'Accept': 'text/html'}, not list"),
        ({"": "x"}, "'' is not a header name"),
        ({"A b": "x"}, "'A b' is not a header name"),
        ({"A:": "x"}, "'A:' is not a header name"),
        ({"A\r\nB": "x"}, "'A\\r\\nB' is not a header name"),
        ({5: "x"}, "5 is not a header name"),
        # the value may be a secret, so only the name is said
        ({"Authorization": "Bearer s3cret\r\nX: y"}, "the header 'Authorization' takes a string without line breaks"),
        ({"X": "s3cret\x00"}, "the header 'X' takes a string without line breaks"),
        ({"X": "s3cret\n"}, "the header 'X' takes a string without line breaks"),
        ({"X": 5}, "the header 'X' takes a string without line breaks"),
        ({"X": b"s3cret"}, "the header 'X' takes a string without line breaks"),
    ],
)
def test_headers_cannot_end_their_line(given: Any, said: str) -> None:
    assert complaint("GET", "/", headers=given) == said


@pytest.mark.parametrize(
    ("expect", "good"),
    [
        (200, {200}),
        ("404", {404}),
        ((200, 404), {200, 404}),
        ([200], {200}),
        ("2xx", set(range(200, 300))),
        ("5XX", set(range(500, 600))),
        ("200-202", {200, 201, 202}),
        ("200 - 201", {200, 201}),
        (None, set(range(200, 400))),
    ],
    ids=repr,
)
def test_a_status_several_a_class_or_a_span_are_good(expect: Any, good: set[int]) -> None:
    assert Endpoint("GET", "/", expect=expect).good == good


@pytest.mark.parametrize(
    "expect",
    [99, 600, -1, True, 200.0, "", "ok", "6xx", "xx", "299-200", "20", (), (200, "2xx"), [[200]], (200, True), {}],
    ids=repr,
)
def test_what_is_no_status_is_answered_with_how_to_write_it(expect: Any) -> None:
    assert complaint("GET", "/", expect=expect) == f"cannot read the expected status {expect!r}; {STATUS}"


@pytest.mark.parametrize("weight", [0, -1, -0.5, math.nan, math.inf, True, "3", None], ids=repr)
def test_a_weight_is_a_number_above_0(weight: Any) -> None:
    assert complaint("GET", "/", weight=weight) == f"weight takes a number above 0, not {weight!r}"


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "4"], ids=repr)
def test_threads_of_its_own_are_a_whole_number(threads: Any) -> None:
    said = complaint("GET", "/", threads=threads)
    assert said == f"threads takes a whole number of at least 1, not {threads!r}"


@pytest.mark.parametrize(
    ("timeout", "said"),
    [
        ("fast", "cannot read the timeout 'fast'; write it like '30s', '250ms' or '1m30s'"),
        (-1, "cannot read the timeout -1; write it like '30s', '250ms' or '1m30s'"),
        (math.inf, "cannot read the timeout inf; write it like '30s', '250ms' or '1m30s'"),
        (0, "timeout must be more than 0, not 0"),
        ("0s", "timeout must be more than 0, not '0s'"),
    ],
)
def test_a_timeout_is_a_span_of_time(timeout: Any, said: str) -> None:
    assert complaint("GET", "/", timeout=timeout) == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"json": {}, "data": "x"}, "POST /a has json beside data or files; a request has one body"),
        ({"json": 0, "files": {"f": b""}}, "POST /a has json beside data or files; a request has one body"),
        ({"data": iter([b"x"])}, f"POST /a has data of type list_iterator; {BODY}"),  # used up by the first request
        ({"check": "ok"}, "check takes a function of the reply, not 'ok'"),
        ({"name": ""}, "name takes text like 'search', not ''"),
        ({"name": 5}, "name takes text like 'search', not 5"),
        (
            {"name": "old (redirected)"},
            "names that end with ' (redirected)' are those of redirects, not 'old (redirected)'",
        ),
    ],
)
def test_other_fields_say_what_they_take(fields: dict[str, Any], said: str) -> None:
    assert complaint("POST", "/a", **fields) == said


def test_replacing_a_field_there_is_not_names_the_one_that_was_meant_or_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"^Endpoint has no 'wieght'; did you mean weight\?$"):
        Endpoint("GET", "/").replace(wieght=3)  # type: ignore[call-arg]  # as is said at run time, too
    with pytest.raises(UsageError) as caught:
        Endpoint("GET", "/").replace(colour=3)  # type: ignore[call-arg]  # as is said at run time, too
    assert str(caught.value) == (
        "Endpoint has no 'colour'; it has method, path, params, headers, json, data, files, auth, expect, check, "
        "weight, threads, timeout, feed, name, follow, path_as_is"
    )


def test_a_replaced_field_is_checked_like_a_first_one() -> None:
    with pytest.raises(UsageError, match=r"^weight takes a number above 0, not 0$"):
        Endpoint("GET", "/").replace(weight=0)


def test_an_endpoint_is_a_frozen_value_equal_to_its_like() -> None:
    one = Endpoint("get", "/a", expect="2xx", timeout="2s", headers={"A": "b"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.weight = 2  # type: ignore[misc]
    assert one == Endpoint("GET", "/a", expect=range(200, 300), timeout=2, headers={"A": "b"})
    assert one == one.replace() == copy.deepcopy(one) == pickle.loads(pickle.dumps(one))
    assert one != one.replace(weight=2)


def test_headers_changed_later_are_not_its_headers() -> None:
    mine = {"A": "b"}
    endpoint = Endpoint("GET", "/", headers=mine)
    mine["A"] = "c\r\nX: y"
    assert endpoint.headers == {"A": "b"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/search?q=tea#top", "/search"),
        ("/", "/"),
        ("/?token=s3cret", "/"),
        ("//cdn/x?y", "//cdn/x"),  # a path with two slashes, and not a host
        ("//[x", "//[x"),
        ("http://h", "http://h/"),
        ("http://me:s3cret@h:1/x?token=s3cret", "http://h:1/x"),
        ("http://a@b@h/x", "http://h/x"),
        ("http://[::1]:8/x", "http://[::1]:8/x"),
        ("http+unix://%2Ftmp%2Fs/x", "http+unix://%2Ftmp%2Fs/x"),
    ],
)
def test_a_label_is_method_and_path_without_query_and_password(url: str, shown: str) -> None:
    assert (strip_url(url), Endpoint("GET", url).label) == (shown, f"GET {shown}")


def test_a_name_is_the_label() -> None:
    assert Endpoint("GET", "/search?q=tea", name="search").label == "search"


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "Endpoint(method='GET', path='/a')"),
        ({"path": "http://me:s3cret@h/"}, "Endpoint(method='GET', path='http://***@h/')"),
        ({"path": "/a?q=tea&api_key=s3cret#x"}, "Endpoint(method='GET', path='/a?q=tea&api_key=***#x')"),
        ({"headers": {"Authorization": "s3cret"}}, "Endpoint(method='GET', path='/a')"),
        ({"auth": ("me", "s3cret")}, "Endpoint(method='GET', path='/a')"),
        (
            {"params": {"q": "tea", "token": "s3cret"}},
            "Endpoint(method='GET', path='/a', params={'q': 'tea', 'token': '***'})",
        ),
        ({"params": [("Signature", "s3cret")]}, "Endpoint(method='GET', path='/a', params=[('Signature', '***')])"),
        (
            {"json": {"login": [{"user": "me", "password": "s3cret"}]}},
            "Endpoint(method='GET', path='/a', json={'login': [{'user': 'me', 'password': '***'}]})",
        ),
        (
            {"data": "grant=x&client_secret=s3cret"},
            "Endpoint(method='GET', path='/a', data='grant=x&client_secret=***')",
        ),
        ({"weight": 3, "threads": 2}, "Endpoint(method='GET', path='/a', weight=3, threads=2)"),
    ],
)
def test_its_repr_says_what_was_said_and_no_secrets(fields: dict[str, Any], shown: str) -> None:
    assert repr(Endpoint(**{"method": "GET", "path": "/a"} | fields)) == shown


@pytest.mark.parametrize(
    "path",
    [
        "ftp://me:s3cret@h/",
        "http://me:s3cret@/",
        "http://me:s3cret@h :1/",
        "me:s3cret@h/",
        "ftp://h/?token=s3cret",
    ],
)
def test_a_complaint_of_a_url_does_not_tell_its_password(path: str) -> None:
    assert "s3cret" not in complaint("GET", path)
