"""What a server sees of a `loadkit.Session` and what the caller gets is what it is with `requests`, call after call."""

from __future__ import annotations

from typing import Any

import requests
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from loadkit import Session
from tests.witness.witness import Seen, Witness

ASKED = st.fixed_dictionaries(
    {},
    optional={
        "cookie": st.sampled_from(["a=1", "b=2", "a=3"]),
        "chunked": st.just(""),
        "gzip": st.just(""),
        "bye": st.just(""),
        "status": st.sampled_from(["200", "201", "204", "404", "500"]),
    },
)
"""What the server is to do with a request."""

REDIRECTS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["301", "302", "303", "307", "308"]),
        "location": st.sampled_from(["/there", "/there?cookie=c%3D4", "there", "?bye", "/gone?status=404"]),
    },
    optional={"cookie": st.sampled_from(["a=1", "d=5"]), "bye": st.just("")},
)

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "headers": st.sampled_from([{"X-Asked": "1"}, {"Accept": None}, {"Cookie": "own=1"}]),
        "cookies": st.just({"call": "1"}),
        "auth": st.just(("user", "word")),
        "allow_redirects": st.booleans(),
        "stream": st.booleans(),
    },
)
BODIES = st.sampled_from([{}, {"json": {"tea": 1}}, {"data": {"a": "1 2"}}, {"data": b"raw"}, {"json": []}])

CALLS = st.tuples(
    st.sampled_from(["GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH"]),
    st.sampled_from(["/", "/items", "/items/7", "/a%20b"]),
    ASKED | REDIRECTS,
    OPTIONS,
    BODIES,
)


def sent(seen: Seen) -> tuple[object, ...]:
    """What of a request must be alike; a program has a name of its own."""
    headers = {name: value for name, value in seen.headers.items() if name != "user-agent"}
    return seen.method, seen.target, headers, seen.body


def got(reply: requests.Response) -> tuple[object, ...]:
    """What of a reply must be alike."""
    history = [(hop.status_code, hop.url) for hop in reply.history]
    return reply.status_code, reply.url, reply.content, dict(reply.headers), reply.cookies.get_dict(), history


def outcome(http: requests.Session, url: str, call: tuple[Any, ...]) -> tuple[object, ...]:
    method, path, asked, options, body = call
    try:
        return got(http.request(method, url + path, params=asked, **options, **body))
    except requests.RequestException as error:
        return (type(error).__name__,)


def spoken(http: requests.Session, witness: Witness, calls: list[tuple[Any, ...]]) -> list[Any]:
    """What came of each call, what the server saw of it, and what the session keeps."""
    found = []
    with http:
        http.trust_env = False
        for call in calls:
            witness.clear()
            came = outcome(http, witness.url, call)
            found.append((came, [sent(one) for one in witness.log().requests], http.cookies.get_dict()))
    return found


@settings(max_examples=40, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes, and says little more
@example([("PATCH", "/", {"status": "301", "location": "/there"}, {}, {"json": {"tea": 1}})])  # its body is taken away
@given(st.lists(CALLS, min_size=1, max_size=6))
def test_any_calls_are_sent_and_answered_as_with_requests(witness: Witness, calls: list[tuple[Any, ...]]):
    assert spoken(Session(), witness, calls) == spoken(requests.Session(), witness, calls)
