"""The same reply read by `requests.Session` and by `loadkit.Session` is the same reply, whichever path it takes."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest
import requests

from loadkit import Session
from tests.wire.conftest import Serve
from tests.wire.peer import Line, Script, chunked, reply, then_close

HTML = "Content-Type: text/html"
JSON = "Content-Type: application/json"
TEXT = "naïve café, ☕"
ADDRESS = "127.0.0.1"


def chunks(*pieces: bytes, headers: str = "", trailers: bytes = b"") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(
        *pieces, trailers=trailers
    )


def to(place: str, *headers: str, status: str = "302 Found", body: bytes = b"") -> bytes:
    """A redirect."""
    return reply(body, f"Location: {place}", *headers, status=status)


def packed(body: bytes, window: int) -> bytes:
    """A body compressed with a zlib window."""
    packer = zlib.compressobj(wbits=window)
    return packer.compress(body) + packer.flush()


ONE_REPLY = {
    "empty": reply(),
    "text without a type": reply(b"tea"),
    "text": reply(b"tea", "Content-Type: text/plain"),
    "latin-1 by default": reply("café".encode("latin-1"), HTML),
    "utf-8 as said": reply(TEXT.encode(), f"{HTML}; charset=utf-8"),
    "utf-8 quoted": reply(TEXT.encode(), f'{HTML}; charset="UTF-8"'),
    "utf-16": reply(TEXT.encode("utf-16"), f"{HTML}; charset=utf-16"),
    "unknown charset": reply(b"tea", f"{HTML}; charset=klingon"),
    "guessed charset": reply(TEXT.encode() * 20, "Content-Type: application/x-tea"),
    "wrong charset": reply(b"\xff\xfe\xfa", f"{HTML}; charset=utf-8"),
    "json": reply(b'{"tea": [1, 2.5, null]}', JSON),
    "json in utf-8": reply(f'{{"a": "{TEXT}"}}'.encode(), JSON),
    "json in utf-16": reply('{"a": "ä"}'.encode("utf-16"), JSON),
    "json in utf-32 without a type": reply('{"a": "ä"}'.encode("utf-32")),
    "json with a byte order mark": reply(b"\xef\xbb\xbf{}", JSON),
    "json without a type": reply(b"[1]"),
    "no json": reply(b"{tea", JSON),
    "json of a number": reply(b"17", JSON),
    "json and nothing": reply(b"", JSON),
    "json before white space": reply(b'{"a": 1} \r\n\t', JSON),
    "json between white space": reply(b'\r\n {"a": 1}\n', JSON),
    "json before a space that is none of JSON": reply('{"a": 1}\u00a0'.encode(), JSON),
    "json twice": reply(b'{"a": 1} {"a": 2}', JSON),
    "gzip": reply(gzip.compress(b"tea" * 1000), "Content-Encoding: gzip"),
    "x-gzip": reply(gzip.compress(b"tea"), "Content-Encoding: X-GZIP"),
    "gzip of nothing": reply(gzip.compress(b""), "Content-Encoding: gzip"),
    "gzip said, nothing sent": reply(b"", "Content-Encoding: gzip"),
    "gzip twice": reply(gzip.compress(gzip.compress(b"tea")), "Content-Encoding: gzip, gzip"),
    "gzip members": reply(gzip.compress(b"green ") + gzip.compress(b"tea"), "Content-Encoding: gzip"),
    "gzip in chunks": chunks(*[bytes([byte]) for byte in gzip.compress(b"tea")], headers="Content-Encoding: gzip\r\n"),
    "gzip and zeros behind": reply(gzip.compress(b"tea") + bytes(600), "Content-Encoding: gzip"),
    "gzip and a line break behind": reply(gzip.compress(b"tea") + b"\r\n", "Content-Encoding: gzip"),
    "gzip and more behind": reply(gzip.compress(b"tea") + b"and milk, and sugar", "Content-Encoding: gzip"),
    "gzip members and a byte behind": reply(gzip.compress(b"tea") * 2 + b"\x1f", "Content-Encoding: gzip"),
    "gzip and more behind, in chunks": chunks(
        *[bytes([byte]) for byte in gzip.compress(b"tea") + b"\0\0\r\n"], headers="Content-Encoding: gzip\r\n"
    ),
    "deflate and more behind": reply(packed(b"tea", 15) + b"and milk", "Content-Encoding: deflate"),
    "gzip of deflate": reply(gzip.compress(packed(b"tea" * 99, 15)), "Content-Encoding: deflate, gzip"),
    "gzip that is none": reply(b"tea", "Content-Encoding: gzip"),
    "deflate": reply(packed(b"tea" * 99, 15), "Content-Encoding: deflate"),
    "deflate, raw": reply(packed(b"tea" * 99, -15), "Content-Encoding: deflate"),
    "unknown coding": reply(b"tea", "Content-Encoding: tea"),
    "identity": reply(b"tea", "Content-Encoding: identity"),
    "json, gzip": reply(gzip.compress(b'{"a": 1}'), JSON, "Content-Encoding: gzip"),
    "chunks": chunks(b"green ", b"tea", b"x" * 70000),
    "chunks and trailers": chunks(b"tea", trailers=b"X: 1\r\n"),
    "no chunks": chunks(),
    "large": reply(bytes(range(256)) * 400),
    "duplicate headers": reply(b"", "X: 1", "x: 2", "Vary: a", "X: 3"),
    "empty header": reply(b"", "X:", "Y: "),
    "spaces in headers": reply(b"", "X:   a  b", "Y:\ttab"),
    "latin-1 headers": reply(b"", "X: café", "Y: \xa0\xff"),
    "many headers": reply(b"", *(f"X-{k}: {k}" for k in range(90))),
    "long header": reply(b"", "X: " + "y" * 30000),
    "links": reply(b"", 'Link: </a?p=2>; rel="next", </a?p=9>; rel=last; title="x"'),
    "no reason": reply(b"", status="200"),
    "empty reason": reply(b"", status="200 "),
    "long reason": reply(b"", status="200 All is well,  and  tea is ready"),
    "latin-1 reason": reply(b"", status="200 Très bien"),
    "a status of its own": reply(b"hm", status="299 Hm"),
    "status 999": reply(b"hm", status="999 Hm"),
    "404": reply(b"no", status="404 Not Found"),
    "500": reply(b"no", status="500 Internal Server Error"),
    "418": reply(b"teapot", status="418 I'm a teapot"),
    "304": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "1xx before": b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"tea"),
    "300 without a location": reply(b"choose", status="300 Multiple Choices"),
    "302 without a location": reply(b"where?", status="302 Found"),
    "location without a redirect": reply(b"made", "Location: /made", status="201 Created"),
    "304 with a location": b"HTTP/1.1 304 Not Modified\r\nLocation: /x\r\n\r\n",
    "cookie": reply(b"", "Set-Cookie: a=b"),
    "cookies": reply(b"", "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d; Path=/elsewhere", "Set-Cookie: e=f; HttpOnly"),
    "cookie of here": reply(b"", f"Set-Cookie: a=b; Domain={ADDRESS}"),
    "cookie of another": reply(b"", "Set-Cookie: a=b; Domain=example.com"),
    "secure cookie": reply(b"", "Set-Cookie: a=b; Secure"),
    "cookie that was": reply(b"", "Set-Cookie: a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
    "cookie to come": reply(b"", "Set-Cookie: a=b; Expires=Fri, 01 Jan 2100 00:00:00 GMT"),
    "cookie for an hour": reply(b"", "Set-Cookie: a=b; Max-Age=3600"),
    "cookie for longer than there is time": reply(b"", f"Set-Cookie: a=b; Max-Age={'9' * 300}"),
    "cookie for no time": reply(b"", "Set-Cookie: a=b; Max-Age=0"),
    "cookie with quotes": reply(b"", 'Set-Cookie: a="b c"; Path=/'),
    "cookie without a value": reply(b"", "Set-Cookie: a=", "Set-Cookie: =b", "Set-Cookie: c"),
}

# what the first request asks for, and what there is at each path; elsewhere there is the path itself
SITES = {
    "302": {"/": to("/b")},
    "301": {"/": to("/b", status="301 Moved Permanently")},
    "303": {"/": to("/b", status="303 See Other")},
    "307": {"/": to("/b", status="307 Temporary Redirect")},
    "308": {"/": to("/b", status="308 Permanent Redirect")},
    "with a body": {"/": to("/b", body=b"moved")},
    "relative": {"/": to("b/c?d=e")},
    "with a fragment": {"/": to("/b#part")},
    "with spaces": {"/": to("/b c?d=e f")},
    "in utf-8": {"/": to("/café".encode().decode("latin-1"))},
    "empty": {"/": to("")},
    "three hops": {"/": to("/b"), "/b": to("/c", status="301 Moved"), "/c": to("/d", status="307 Temporary Redirect")},
    "cookie on the way": {"/": to("/b", "Set-Cookie: a=b"), "/b": to("/c", "Set-Cookie: c=d; Path=/c")},
    "cookie taken back": {"/": to("/b", "Set-Cookie: a=b"), "/b": reply(b"", "Set-Cookie: a=; Max-Age=0")},
    "compressed": {"/": to("/b", "Content-Encoding: gzip", body=gzip.compress(b"moved"))},
    "compressed badly": {"/": to("/b", "Content-Encoding: gzip", body=b"moved")},
    "in a circle": {"/": to("/b"), "/b": to("/")},
    "to itself": {"/": to("/")},
}


def site(pages: dict[str, bytes]) -> Script:
    """Serves pages by their path; what is not there tells of the request."""

    def script(line: Line) -> None:
        while True:
            request = line.request()
            path = request.split(b" ")[1].decode("latin-1").partition("?")[0]
            heading, _, body = request.partition(b"\r\n\r\n")
            said = [row for row in heading.split(b"\r\n") if not row.lower().startswith((b"user-agent:", b"host:"))]
            page = pages.get(path) or reply(b"\n".join([*said, body]), HTML)
            line.send(page.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.startswith(b"HEAD") else page)

    return script


def seen(response: requests.Response) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "reason": response.reason,
        "headers": list(response.headers.items()),
        "raw headers": list(response.raw.headers.items()),
        "version": response.raw.version,
        "cookies": cookies(response.cookies),
        "content": response.content,
        "text": response.text,
        "encoding": response.encoding,
        "apparent": response.apparent_encoding,
        "json": outcome(response.json),
        "url": response.url,
        "history": [seen(hop) for hop in response.history],
        "links": response.links,
        "redirect": (response.is_redirect, response.is_permanent_redirect),
        "next": response.next and (response.next.method, response.next.url, response.next.body),
        "ok": (response.ok, bool(response)),
        "elapsed": (type(response.elapsed), response.elapsed > timedelta(0)),
        "request": (response.request.method, response.request.url, response.request.body),
        "request headers": [pair for pair in response.request.headers.items() if pair[0] != "User-Agent"],
        "request cookies": cookies(vars(response.request)["_cookies"]),
        "raised": outcome(response.raise_for_status),
        "lines": list(response.iter_lines()),
        "pieces": list(response.iter_content(5 if len(response.content) < 5000 else 4999)),
        "left": response.raw.read(),
        "repr": repr(response),
    }


def cookies(jar: Any) -> list[Any]:
    """A jar's cookies; the time of those that last for an hour differs by the moment they came."""
    return sorted(
        (cookie.name, str(cookie.value), cookie.domain, cookie.path, cookie.secure, bool(cookie.expires))
        for cookie in jar
    )


def outcome(act: Callable[[], Any]) -> Any:
    """What it gives, or what it raises."""
    try:
        return act()
    except Exception as error:
        return type(error), str(error) if isinstance(error, requests.HTTPError) else ""


@pytest.fixture
def both() -> Iterator[tuple[requests.Session, requests.Session]]:
    """The two sessions, neither of which trusts its environment."""
    with requests.Session() as theirs, Session() as ours:
        theirs.trust_env = ours.trust_env = False
        yield theirs, ours


Act = Callable[[requests.Session, str], requests.Response]


def tell(session: requests.Session, url: str, act: Act, times: int) -> list[Any]:
    """What each of some calls gives, and what is in the jar then."""
    told: list[Any] = []
    for _ in range(times):
        found = outcome(lambda: act(session, url))
        told.append(outcome(partial(seen, found)) if isinstance(found, requests.Response) else found)
        told.append(cookies(session.cookies))
    return told


def compare(
    both: tuple[requests.Session, requests.Session], url: str, act: Act, *, theirs_repeats: bool = True
) -> None:
    """Both sessions tell the same: our first call is prepared, the others repeated; their third is as the second."""
    theirs, ours = both
    found = tell(ours, url, act, 3)
    expected = tell(theirs, url, act, 2 if theirs_repeats else 3)
    expected += expected[2:] if theirs_repeats else []
    for theirs_told, ours_told in zip(expected, found, strict=True):
        assert ours_told == theirs_told


def get(session: requests.Session, url: str) -> requests.Response:
    return session.get(url)


@pytest.mark.parametrize("message", ONE_REPLY.values(), ids=ONE_REPLY)
def test_a_reply_is_read_alike(serve_as: Serve, both: Any, message: bytes):
    url = serve_as(site({"/": message})).url + "/"
    compare(both, url, get)
    compare(both, url, lambda session, url: session.get(url, stream=True))
    for size in ((1, 7) if len(message) < 10_000 else (997, 100_000)) + (None,):
        theirs, ours = (outcome(partial(pieces, session, url, size)) for session in both)
        # what comes as it arrives is cut where the packets end
        assert ours == theirs or (size is None and b"".join(ours) == b"".join(theirs))


def pieces(session: requests.Session, url: str, size: int | None) -> list[bytes]:
    return list(session.get(url, stream=True).iter_content(size))


@pytest.mark.parametrize("headers_only", [b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n", chunks()[:-5]])
def test_a_head_is_read_alike(serve_as: Serve, both: Any, headers_only: bytes):
    url = serve_as(site({"/": headers_only})).url
    compare(both, url, lambda session, url: session.head(url))
    compare(both, url, lambda session, url: session.head(url, stream=True))


UNTIL_CLOSE = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nX: 1\r\n\r\ntea",
    "HTTP/1.1": b"HTTP/1.1 200 OK\r\n\r\ntea",
    "HTTP/1.0 with a length": reply(b"tea", version="HTTP/1.0"),
    "Connection: close": reply(b"tea", "Connection: close"),
    "gzip": b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"tea"),
}


@pytest.mark.parametrize("message", UNTIL_CLOSE.values(), ids=UNTIL_CLOSE)
@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_ends_the_connection_is_read_alike(serve_as: Serve, both: Any, message: bytes, stream: bool):
    def script(line: Line) -> None:
        line.request()
        then_close(message)(line)

    compare(both, serve_as(script).url, lambda session, url: session.get(url, stream=stream))


@pytest.mark.parametrize("pages", SITES.values(), ids=SITES)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_redirect_is_followed_alike(serve_as: Serve, both: Any, pages: dict[str, bytes], method: str):
    url = serve_as(site(pages)).url
    for session in both:
        session.max_redirects = 5
    body: dict[str, Any] = {"json": {"tea": 1}} if method == "POST" else {}
    compare(both, url + "/#top", lambda session, url: session.request(method, url, **body))
    compare(both, url + "/", lambda session, url: session.request(method, url, allow_redirects=False, **body))
    if method == "GET":
        compare(both, url + "/", lambda session, url: session.get(url, stream=True))


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)

REQUESTS: dict[str, Act] = {
    "params": lambda session, url: session.get(url, params=cast(Any, {"q": "green tea", "n": 3})),
    "params twice": lambda session, url: session.get(url + "?a=b", params=[("q", "1"), ("q", "2")]),
    "params of bytes": lambda session, url: session.get(url, params=b"q=1"),
    "params of booleans": lambda session, url: session.get(url, params={"q": True}),
    "headers": lambda session, url: session.get(url, headers={"X": "1", "accept": "text/plain"}),
    "headers taken out": lambda session, url: session.get(url, headers={"Accept": None}),
    "cookies": lambda session, url: session.get(url, cookies={"a": "b"}),
    "auth": lambda session, url: session.get(url, auth=("ada", "pass")),
    "auth in the URL": lambda session, url: session.get(url.replace("://", "://ada:p%20w@")),
    "json": lambda session, url: session.post(url, json={"tea": ["ä", 1, None]}),
    "json of nothing": lambda session, url: session.post(url, json={}),
    "json of none": lambda session, url: session.post(url, json=None),
    "json that is none": lambda session, url: session.post(url, json=float("nan")),
    "json that holds itself": lambda session, url: session.post(url, json=CIRCLE),
    "form": lambda session, url: session.post(url, data={"a": "b c", "d": ["e", "f"]}),
    "form as pairs": lambda session, url: session.post(url, data=[("a", "b"), ("a", "c")]),
    "text": lambda session, url: session.put(url, data="naïve"),
    "bytes": lambda session, url: session.patch(url, data=b"\0\1"),
    "empty": lambda session, url: session.post(url, data=b""),
    "bytes with a type": lambda session, url: session.post(url, data=b"{}", headers={"Content-Type": "a/b"}),
    "delete": lambda session, url: session.delete(url),
    "options": lambda session, url: session.options(url),
    "a method of one's own": lambda session, url: session.request("brew", url),
    "path with spaces": lambda session, url: session.get(url + "a b/ä?c=ü d#e"),
    "path with dots": lambda session, url: session.get(url + "a/../b//c"),
    "two slashes": lambda session, url: session.get(url + "/a"),
    "upper case": lambda session, url: session.get(url.replace("http", "HTTP")),
    "bytes for a URL": lambda session, url: session.get(url.encode()),
    "no scheme": lambda session, url: session.get("//nowhere/"),
    "no host": lambda session, url: session.get("http://"),
    "another scheme": lambda session, url: session.get("tea://pot/"),
    "bad header": lambda session, url: session.get(url, headers={"X": "a\nb"}),
    "number for a header": lambda session, url: session.get(url, headers={"X": 1}),  # type: ignore[dict-item]
    "bad timeout": lambda session, url: session.get(url, timeout=(1, 2, 3)),  # type: ignore[arg-type]
    "timeout": lambda session, url: session.get(url, timeout=5),
    "timeouts": lambda session, url: session.get(url, timeout=(3.05, 27)),
    "no redirects": lambda session, url: session.get(url, allow_redirects=False),
    "a hook": lambda session, url: session.get(url, hooks={"response": lambda response, **_: None}),
    "prepared": lambda session, url: session.send(session.prepare_request(requests.Request("GET", url))),
}


@pytest.mark.parametrize("act", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_sent_alike(serve_as: Serve, both: Any, act: Act):
    peer = serve_as(site({}))

    with warnings.catch_warnings():
        # requests has two ways of its own to encode text
        warnings.simplefilter("ignore", DeprecationWarning)
        compare(both, peer.url + "/", act)


CHANGES: dict[str, Callable[[requests.Session], Any]] = {
    "a header": lambda session: session.headers.update({"X": "1"}),
    "no header": lambda session: session.headers.pop("Accept"),
    "other headers": lambda session: setattr(session, "headers", {"X": "2"}),
    "a cookie": lambda session: session.cookies.set("a", "b"),
    "cookies as a dictionary": lambda session: session.cookies.update({"a": "b"}),
    "other cookies": lambda session: setattr(session, "cookies", requests.cookies.cookiejar_from_dict({"a": "b"})),
    "parameters": lambda session: session.params.update({"q": "1"}),
    "other parameters": lambda session: setattr(session, "params", {"q": "2"}),
    "authentication": lambda session: setattr(session, "auth", ("ada", "pass")),
    "authentication of one's own": lambda session: setattr(session, "auth", Signed()),
    "a hook": lambda session: session.hooks["response"].append(shout),
    "other hooks": lambda session: setattr(session, "hooks", {"response": [shout]}),
    "stream": lambda session: setattr(session, "stream", True),
    "an adapter": lambda session: session.mount("http://", requests.adapters.HTTPAdapter()),
    "another preparation": lambda session: setattr(session, "prepare_request", prepared_otherwise(session)),
}


class Signed(requests.auth.AuthBase):
    """Signs each request with how many there were."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        self.count += 1
        request.headers["X-Signed"] = f"{self.count}"
        return request


def shout(response: requests.Response, **_options: Any) -> None:
    """Makes a reply what it was not."""
    response.reason = "CHANGED"


def prepared_otherwise(session: requests.Session) -> Callable[[requests.Request], requests.PreparedRequest]:
    """A session's preparation with a header of one's own."""

    def prepare(request: requests.Request) -> requests.PreparedRequest:
        prepared = type(session).prepare_request(session, request)
        prepared.headers["X-Mine"] = "1"
        return prepared

    return prepare


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_session_is_seen_by_the_next_request(serve_as: Serve, both: Any, change: Any):
    url = serve_as(site({})).url + "/"
    compare(both, url, get)

    for session in both:
        change(session)

    compare(both, url, get, theirs_repeats=False)
    before, after = (session.get(url) for session in both)
    assert (after.text, after.reason) == (before.text, before.reason)


def test_a_plain_container_of_the_users_own_is_looked_at_each_time(serve_as: Serve, both: Any):
    url = serve_as(site({})).url
    for session in both:
        session.headers = headers = {"X": "1"}
        first = session.get(url).text
        headers["X"] = "2"
        assert ("X: 1" in first, "X: 2" in session.get(url).text) == (True, True)


class Marking(requests.adapters.HTTPAdapter):
    """Puts a mark on each request that goes through it."""

    def add_headers(self, request: requests.PreparedRequest, **_options: Any) -> None:
        request.headers["X-Marked"] = "1"


PATHS = [
    "/",
    "/a",
    "/users/17",
    "/users/18/",
    "/a?b=c&d=e",
    "/a.b?c",
    "/.a",
    "/a/../b",
    "//a",
    "/a//b",
    "/%41",
    "/a b",
    "/é",
    "/a#f",
]


@pytest.mark.parametrize(
    ("method", "change"),
    [
        *(("GET", change) for change in ("nothing", "a cookie", "a cookie of a path", "parameters", "an adapter")),
        ("POST", "nothing"),
        ("POST", "a cookie of a path"),
        ("HEAD", "an adapter"),
    ],
)
def test_other_urls_of_the_same_place_are_asked_for_alike(serve_as: Serve, both: Any, method: str, change: str):
    peer = serve_as(site({}))
    for session in both:
        if change == "a cookie":
            session.cookies.set("a", "b", domain="127.0.0.1", path="/")
        elif change == "a cookie of a path":
            session.cookies.set("a", "b", domain="127.0.0.1", path="/users")
        elif change == "parameters":
            session.params = {"q": "1"}
        elif change == "an adapter":
            session.mount(peer.url + "/users", Marking())
    body: dict[str, Any] = {"json": {"tea": 1}} if method == "POST" else {}
    for path in PATHS:
        theirs, ours = (seen(session.request(method, peer.url + path, timeout=9, **body)) for session in both)
        assert ours == theirs
        theirs, ours = (seen(session.request(method, peer.url + path, **body)) for session in both)
        assert ours == theirs


def test_each_of_many_urls_gets_its_own_reply(serve_as: Serve):
    told: list[Any] = []
    peer = serve_as(site({}))
    with Session(observe=lambda asked, *_: told.append(asked)) as http:
        for k in range(1500):
            response = http.get(f"{peer.url}/users/{k}?full=1", name="/users/{id}")
            assert response.text.startswith(f"GET /users/{k}?full=1 HTTP/1.1\n")
            assert response.url == f"{peer.url}/users/{k}?full=1"
            assert told[-1] == ("GET", f"{peer.url}/users/{k}", "/users/{id}")
    assert (len(told), peer.connections) == (1500, 1)


def test_a_form_without_a_value_is_sent_alike_but_for_the_order_of_headers(serve_as: Serve, both: Any):
    def script(line: Line) -> None:
        request = b""
        while not request.endswith(b"\r\n0\r\n\r\n"):
            request += line.receive()
        line.send(reply(request, "Connection: close"))

    url = serve_as(script).url + "/"
    for _ in range(2):
        theirs, ours = (session.post(url, data={"a": []}).text.splitlines() for session in both)
        assert sorted(line for line in ours if "User-Agent" not in line) == sorted(
            line for line in theirs if "User-Agent" not in line
        )


def test_the_same_call_with_another_body_is_sent_alike(serve_as: Serve, both: Any):
    url = serve_as(site({})).url + "/"
    for k in range(5):
        for body in ({"json": {"k": 10**k}}, {"data": {"k": k}}, {"data": b"x" * k}):
            theirs, ours = (seen(session.post(url, **body)) for session in both)
            assert ours == theirs
