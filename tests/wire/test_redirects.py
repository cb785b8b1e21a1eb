"""Where a server may lead a session, and what it gets to know there."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from requests import exceptions
from requests.auth import HTTPDigestAuth

from loadkit import Journey, Scenario, Session, run
from tests.wire.conftest import MemoryServer, Serve
from tests.wire.peer import OK, Line, Peer, Script, replies, reply

Act = Callable[[Session, str], requests.Response]

ACTS: dict[str, Act] = {
    "GET": lambda http, url: http.get(url),
    "POST": lambda http, url: http.post(url, data="the body", headers={"Content-Type": "a/b"}),
    "stream": lambda http, url: http.get(url, stream=True),
    "prepared": lambda http, url: http.send(http.prepare_request(requests.Request("GET", url))),
}


def leads_to(*places: str, status: str = "302 Found") -> Script:
    """Each request is led to the next place; then there is a reply."""
    return replies(*(reply(b"", f"Location: {place}", status=status) for place in places), OK)


def always_to(place: str, status: str = "302 Found", *headers: str) -> Script:
    """All requests are led there."""
    return replies(reply(b"", f"Location: {place}", *headers, status=status))


# -- to a socket of this machine


@pytest.fixture
def local(serve_as: Serve, tmp_path: Path) -> Peer:
    """Something that listens on a unix socket, and trusts whoever may open it."""
    return serve_as(replies(OK), unix=tmp_path / "local.sock")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_nobody_is_led_to_a_unix_socket(serve_as: Serve, http: Session, local: Peer, act: Act, status: str):
    for scheme in ("http+unix", "HTTP+Unix"):
        here = serve_as(always_to(local.url.replace("http+unix", scheme) + "/build", status))
        # the first is prepared, the others go the short way where there is one
        for _ in range(3):
            with pytest.raises(exceptions.InvalidSchema, match="http and https are followed"):
                act(http, here.url)
        assert len(here.heard) == 3
    assert local.connections == 0


DISGUISED = [
    # requests decodes what need not be encoded, and reads the URL again
    "htt%70+unix://{}/build",
    "%68ttp+unix://{}/build",
    "http+uni%78://{}/build",
    "http%2Bunix://{}/build",
    "\t http+unix://{}/build",
    "http+unix:{}/build",
    "http+unix:///{}/build",
    "http+unix://user@{}/build",
    "http+unix://{}:80/build",
    "/\\http+unix://{}/build",
    "http:http+unix://{}/build",
]


@pytest.mark.parametrize("place", DISGUISED)
def test_nor_under_another_name(serve_as: Serve, http: Session, local: Peer, tmp_path: Path, place: str):
    place = place.format(str(tmp_path / "local.sock").replace("/", "%2F"))
    here = serve_as(always_to(place))
    http.max_redirects = 2
    for options in ({}, {}, {"stream": True}):
        with pytest.raises(requests.RequestException):
            http.get(here.url, **options)
        followed = http.get(here.url, allow_redirects=False, **options).next
        assert followed is None or (followed.url or "").startswith(here.url)
    assert local.connections == 0


def test_nor_by_a_session_that_keeps_its_credentials(serve_as: Serve, local: Peer, tmp_path: Path):
    class Trusting(Session):
        def rebuild_auth(self, *_: Any) -> None:
            """As some do to keep their credentials."""

    place = "htt%70+unix://" + str(tmp_path / "local.sock").replace("/", "%2F")
    with Trusting() as http, pytest.raises(exceptions.InvalidSchema):
        http.get(serve_as(always_to(place)).url)
    assert local.connections == 0


def test_nor_is_a_user_who_asks_what_comes_next(serve_as: Serve, http: Session, local: Peer):
    here = serve_as(always_to(local.url + "/build"))
    for options in ({}, {"stream": True}) * 2:
        response = http.get(here.url, allow_redirects=False, **options)
        assert (response.status_code, response.next) == (302, None)
        assert response.headers["location"] == local.url + "/build"


def a_journey(url: str, visit: Any) -> Any:
    return run(Scenario(base_url=url, endpoints=[visit], threads=1, iterations=3))


def in_the_setup_of_an_async_one(url: str, visit: Any) -> Any:
    """A run of an async journey that is set up by a plain function."""

    async def buy(http: Any) -> None:
        await http.pause("1ms")

    return run(Scenario(base_url=url, endpoints=[Journey(buy, setup=visit)], threads=1, iterations=1))


def in_the_setup_of_all(url: str, visit: Any) -> Any:
    """A run that is set up by it."""
    return run(Scenario(base_url=url, endpoints=[lambda http: None], setup=visit, threads=1, iterations=1))


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
@pytest.mark.parametrize("way", [a_journey, in_the_setup_of_an_async_one, in_the_setup_of_all])
def test_nor_is_a_journey(serve_as: Serve, local: Peer, way: Any, status: str):
    here = serve_as(always_to(local.url + "/build", status))
    raised: list[BaseException] = []

    def visit(http: Any) -> None:
        try:
            http.post("/", data="x=1")
        except exceptions.InvalidSchema as error:
            raised.append(error)

    way(here.url, visit)
    assert raised
    assert len(here.heard) == len(raised)
    assert local.connections == 0


@pytest.mark.parametrize("place", ["/b", "b?c=d", "http+unix://{socket}/b", "//{socket}/b"])
def test_a_socket_may_lead_to_itself(serve_as: Serve, http: Session, tmp_path: Path, place: str):
    socket = str(tmp_path / "a.sock").replace("/", "%2F")
    local = serve_as(leads_to(place.format(socket=socket)), unix=tmp_path / "a.sock")
    assert http.get(f"{local.url}/a/").text == "ok"
    assert [re.split(rb"[ ?]", heard)[1] for heard in local.heard][1] in (b"/b", b"/a/b")


@pytest.mark.parametrize("place", ["http+unix://{socket}/b", "//{socket}/b"])
def test_but_not_to_another(serve_as: Serve, http: Session, local: Peer, tmp_path: Path, place: str):
    socket = str(tmp_path / "local.sock").replace("/", "%2F")
    other = serve_as(always_to(place.format(socket=socket)), unix=tmp_path / "other.sock")
    for _ in range(2):
        with pytest.raises(exceptions.InvalidSchema):
            http.get(other.url + "/")
    assert local.connections == 0


# -- what goes along

SECRETS = {
    "Authorization": "Bearer SECRET",
    "X-Api-Key": "SECRET",
    "X-Token": "SECRET",
    "Cookie": "manual=SECRET",
    "Referer": "http://127.0.0.1/?token=SECRET",
    "Host": "SECRET.example",
}


@pytest.fixture(params=["port", "host", "scheme"])
def two(request: pytest.FixtureRequest, serve_as: Serve, tls: ssl.SSLContext) -> tuple[Any, Peer]:
    """One server that leads to the other, and that: on another port, on another host, or without TLS."""
    there = serve_as(replies(OK), host="127.0.0.2" if request.param == "host" else "127.0.0.1")

    def start(*headers: str, status: str = "302 Found", to: str = "/there") -> Peer:
        return serve_as(always_to(there.url + to, status, *headers), context=tls if request.param == "scheme" else None)

    return start, there


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_no_header_that_may_be_a_credential_goes_elsewhere(two: Any, http: Session, act: Act, status: str):
    start, there = two
    here = start(status=status)
    http.headers.update(SECRETS)
    http.headers["Range"] = "bytes=0-9"
    for _ in range(2):
        assert act(http, here.url).text == "ok"
    assert all(heard.count(b"SECRET") == len(SECRETS) for heard in here.heard)
    for heard in there.heard:
        assert b"SECRET" not in heard
        assert f"Host: {there.url.partition('//')[2]}\r\n".encode() in heard
        # what is harmless does go
        assert b"Range: bytes=0-9\r\n" in heard
        assert b"User-Agent: loadkit" in heard
        assert b"Accept-Encoding: gzip, deflate\r\n" in heard
    assert len(there.heard) == 2


def test_headers_of_one_call_do_not_go_elsewhere(two: Any, http: Session):
    start, there = two
    here = start()
    for _ in range(2):
        http.get(here.url, headers=SECRETS, auth=("ada", "SECRET"), cookies={"a": "SECRET"})
    assert all(b"SECRET" in heard for heard in here.heard)
    assert [b"SECRET" in heard for heard in there.heard] == [False] * 2


def test_cookies_do_not_go_elsewhere(two: Any, http: Session):
    start, there = two
    here = start("Set-Cookie: given=SECRET; Path=/")
    http.cookies.set("placeless", "SECRET")
    http.cookies.set("placed", "SECRET", domain="127.0.0.1", path="/")
    for _ in range(3):
        http.get(here.url)
    assert here.heard[-1].count(b"SECRET") == 3
    assert [b"SECRET" in heard for heard in there.heard] == [False] * 3


def test_headers_and_cookies_of_a_journey_do_not_go_elsewhere(serve_as: Serve):
    there = serve_as(replies(OK))
    here = serve_as(always_to(there.url + "/", "302 Found", "Set-Cookie: given=SECRET"))

    def visit(http: Any) -> None:
        http.get("/")

    headers = {"Authorization": "Bearer SECRET", "X-Api-Key": "SECRET"}
    result = run(Scenario(base_url=here.url, endpoints=[visit], threads=1, iterations=3, headers=headers))
    assert all(heard.count(b"SECRET") == 2 + (k > 0) for k, heard in enumerate(here.heard))
    assert [b"SECRET" in heard for heard in there.heard] == [False] * 3
    # another host is another row
    assert {row.name: row.requests for row in result.endpoints} == {"GET /": 3, f"GET {there.url}/": 3}


@pytest.mark.parametrize(
    ("status", "request_line", "body"),
    [("307 Temporary Redirect", b"POST", b"the body"), ("308 P", b"POST", b"the body"), ("302 Found", b"GET", b"")],
)
def test_a_body_goes_where_its_method_does(two: Any, http: Session, status: str, request_line: bytes, body: bytes):
    start, there = two
    http.headers["Content-Language"] = "de"
    assert ACTS["POST"](http, start(status=status).url).ok
    head, _, found = there.heard[0].partition(b"\r\n\r\n")
    assert (head.split(b" ")[0], found) == (request_line, body)
    assert (b"Content-Type: a/b" in head, b"Content-Length: 8" in head) == (bool(body), bool(body))
    assert (b"Content-Language: de" in head) == bool(body)


def test_whoever_asks_for_a_digest_of_the_password_elsewhere_gets_none(two: Any, http: Session):
    start, there = two
    there.scripts = [replies(reply(b"", 'WWW-Authenticate: Digest realm="r", nonce="n"', status="401 No"))]
    assert http.get(start().url, auth=HTTPDigestAuth("ada", "secret")).status_code == 401
    assert len(there.heard) == 1


def test_what_is_known_of_a_host_goes_back_to_it(serve_as: Serve, http: Session):
    # as when a shop sends its customers to log in elsewhere, and gets them back
    def shop(line: Line) -> None:
        while True:
            path = line.request().split(b" ")[1].partition(b"?")[0]
            line.send(
                {
                    b"/": reply(b"", f"Location: {login[0].url}/ask", "Set-Cookie: shop=1", status="302 Found"),
                    b"/back": reply(b"", "Location: /home", "Set-Cookie: user=2", status="302 Found"),
                }.get(path, OK)
            )

    def asks(line: Line) -> None:
        while True:
            path = line.request().split(b" ")[1]
            place = "/sure" if path == b"/ask" else f"{here.url}/back?code=1"
            line.send(reply(b"", f"Location: {place}", f"Set-Cookie: login{path[1:].decode()}=3", status="302 Found"))

    login: list[Peer] = []
    here = serve_as(shop)
    login.append(serve_as(asks))
    http.headers["X-Api-Key"] = "SECRET"
    for turn in range(3):
        assert http.get(here.url).url == f"{here.url}/home"
        at_shop, at_login = here.heard[-2:], login[0].heard[-2:]
        # the port is another, so neither gets what the other set
        assert [cookies(heard) for heard in at_shop] == [{"shop"} | ({"user"} if turn else set()), {"shop", "user"}]
        assert [cookies(heard) for heard in at_login] == [
            {"loginask", "loginsure"} if turn else set(),
            {"loginask"} | ({"loginsure"} if turn else set()),
        ]
        assert [b"SECRET" in heard for heard in (*at_shop, *at_login)] == [False] * 4


def cookies(request: bytes) -> set[str]:
    found = re.search(rb"(?im)^cookie: (.*)\r$", request)
    return {pair.partition("=")[0].strip() for pair in found[1].decode().split(";")} if found else set()


def test_a_cookie_of_there_goes_there(serve_as: Serve, http: Session):
    there = serve_as(replies(OK), host="127.0.0.2")
    here = serve_as(always_to(there.url))
    http.cookies.set("theirs", "1", domain="127.0.0.2", path="/")
    http.get(here.url)
    assert (cookies(here.heard[0]), cookies(there.heard[0])) == (set(), {"theirs"})


def test_on_the_same_host_everything_goes_along(serve_as: Serve, http: Session):
    here = serve_as(leads_to("/b", "c"))
    http.headers["X-Api-Key"] = "1"
    http.cookies.set("a", "b")
    http.get(here.url + "/a/", auth=("ada", "pass"))
    assert len(here.heard) == 3
    assert all(b"X-Api-Key: 1" in heard and b"Authorization: Basic" in heard for heard in here.heard)
    assert [cookies(heard) for heard in here.heard] == [{"a"}] * 3


# -- a Location that is none

MALFORMED = {
    "half an address": b"http://[::1",
    "half an address, without a scheme": b"//[::1/",
    "no host": b"http:///x",
    "no host, without a scheme": b"///x",
    "no host at all": b"http://",
    "a port that is none": b"http://127.0.0.1:tea/",
    "a port beyond": b"http://127.0.0.1:99999/",
    "a port of 5,000 digits": b"http://127.0.0.1:" + b"9" * 5000 + b"/",
    "a label that is too long": b"http://" + b"a" * 70 + b".test/",
    "a label beyond ASCII that is too long": "http://ä".encode() + b"a" * 70 + b".test/",
    "dots": "http://ä..test/".encode(),
    "a wildcard": b"http://*/",
    "an address that is none": b"http://[v1.x]/",
    "bytes in the host": b"http://\xff\xfe/",
    "a surrogate": b"http://\xed\xa0\x80/",
    "ftp": b"ftp://127.0.0.1/",
    "file": b"file:///etc/passwd",
    "data": b"data:text/plain,tea",
    "javascript": b"javascript:alert(1)",
    "mailto": b"mailto:a@b",
    "no scheme": b"://127.0.0.1/",
    "a scheme alone": b"http:",
    "a userinfo alone": b"http://@/",
    "a backslash": b"http:\\\\127.0.0.1\\",
    "a percent": b"http://127.0.0.1%/",
    "fullwidth": "http://\N{FULLWIDTH DIGIT ONE}27.0.0.1:1/".encode(),
    "a slash that looks like another": "http://a\N{FULLWIDTH SOLIDUS}b/".encode(),
    "only a colon": b":",
    "only a question": b"?",
    "only a fragment": b"#",
}
"""What a server may say, and leads to a reply, or an exception of `requests`."""


@pytest.mark.parametrize("location", MALFORMED.values(), ids=MALFORMED)
def test_a_location_that_is_none_is_an_exception_of_requests(serve_as: Serve, http: Session, location: bytes):
    here = serve_as(replies(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location))
    http.max_redirects = 3
    for options in ({}, {}, {"stream": True}):
        with pytest.raises(requests.RequestException):
            http.get(here.url, timeout=5, **options)
        # whoever does not follow is not troubled with it
        assert http.get(here.url, allow_redirects=False, **options).status_code == 302


@pytest.mark.parametrize("what", ["half an address", "no host", "no host, without a scheme", "a port beyond", "dots"])
def test_a_location_without_a_place_is_not_followed(what: str):
    server = MemoryServer(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % MALFORMED[what])
    http = server.session()
    for _ in range(2):
        with pytest.raises(exceptions.InvalidURL, match=r"^a redirect leads to '.*', which is no URL: "):
            http.get("/")
    assert len(server.heard) == 2


@pytest.mark.parametrize("place", ["ada:SECRET@127.0.0.1/?token=SECRET", f"me:{'SECRET' * 50}@127.0.0.1/x"])
def test_no_secret_of_a_location_is_in_the_message(place: str):
    http = MemoryServer(reply(b"", f"Location: ftp://{place}", status="302 Found")).session()
    with pytest.raises(exceptions.InvalidSchema, match="http and https are followed") as caught:
        http.get("/")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        pytest.param("/café".encode(), b"/caf%C3%A9", id="UTF-8"),
        pytest.param(b"/caf\xe9", b"/caf%E9", id="not UTF-8"),
        pytest.param(b"/a b", b"/a%20b", id="a space"),
    ],
)
def test_a_path_is_followed_whatever_its_characters(serve_as: Serve, http: Session, location: bytes, path: bytes):
    here = serve_as(replies(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location, OK))
    assert http.get(here.url).text == "ok"
    assert here.heard[1].split(b" ")[1] == path


def test_a_host_beyond_ascii_is_followed():
    # headers are bytes, and these are UTF-8
    place = "http://straße.test/x".encode().decode("latin-1")
    server = MemoryServer(reply(b"", f"Location: {place}", status="302 Found"), OK)
    assert server.session().get("/").text == "ok"
    assert b"Host: xn--strae-oqa.test\r\n" in server.heard[1]
