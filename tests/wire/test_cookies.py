"""Cookies that a server sets, however many and large: what they cost, and which of them are kept."""

from __future__ import annotations

import gc
import re
import threading
import time
from collections.abc import Callable
from itertools import count

import pytest
import requests
import time_machine

from loadkit import Session
from loadkit.plan.units import SECOND
from tests.wire.conftest import MemoryServer, Serve
from tests.wire.peer import OK, Line, Script, replies, reply

OF_A_DOMAIN = 180
OF_ALL = 3000


def sets(*cookies: str) -> bytes:
    return reply(b"", *(f"Set-Cookie: {cookie}" for cookie in cookies))


def numbered(each: int, size: int = 1, path: str = "/") -> Callable[[], bytes]:
    """So many new ones with each reply, of so many bytes."""
    numbers = count()

    return lambda: sets(*(f"c{next(numbers)}={'x' * size}; Path={path}" for _ in range(each)))


def sending(answer: Callable[[], bytes]) -> Script:
    """The same on a socket."""
    return replies(lambda line: line.send(answer()))


def names(http: Session) -> set[str]:
    return {cookie.name for cookie in http.cookies}


def header(request: bytes) -> bytes:
    found = re.search(rb"(?im)^cookie: (.*)\r$", request)
    return found[1] if found else b""


@pytest.mark.parametrize("path", ["/", "/elsewhere"])
def test_of_a_domain_those_set_last_are_kept(path: str):
    http = MemoryServer(numbered(40, path=path)).session()
    for _ in range(9):
        http.get("/")
    assert names(http) == {f"c{k}" for k in range(360 - OF_A_DOMAIN, 360)}


def test_of_all_those_set_last_are_kept():
    http = MemoryServer(sets(*(f"c{k}=x" for k in range(OF_A_DOMAIN)))).session()
    hosts = [f"shop{k}.test" for k in range(18)]
    for host in hosts:
        http.get(f"http://{host}/")
    assert len(http.cookies) == OF_ALL
    assert {cookie.domain for cookie in http.cookies} == set(hosts[1:])


def test_a_cookie_that_was_just_set_is_kept_wherever_it_belongs():
    # a jar is sorted by domain and path, and this path is its first
    answers = [sets("old=1; Path=/first")] + [sets(*(f"c{k}{n}=x" for n in range(60))) for k in range(3)]
    http = MemoryServer(*answers, sets("new=1; Path=/first"), OK).session()
    for _ in range(6):
        http.get("/")
    assert len(names(http)) == OF_A_DOMAIN
    assert {"old", "new"} & names(http) == {"new"}


def test_a_cookie_that_is_renewed_is_kept():
    numbers = count()
    http = MemoryServer(lambda: sets("user=ada", *(f"c{next(numbers)}=x" for _ in range(40)))).session()
    for _ in range(12):
        http.get("/")
    assert (len(names(http)), "user" in names(http)) == (OF_A_DOMAIN, True)


def test_what_the_user_set_is_never_dropped():
    server = MemoryServer(numbered(90))
    http = server.session()
    for k in range(200):
        http.cookies.set(f"mine{k}", "x" * 100)
    http.cookies.set("large", "x" * 10_000)
    for _ in range(5):
        http.get("/")
    assert {f"mine{k}" for k in range(200)} < names(http)
    assert len(header(server.heard[-1])) > 30_000


@pytest.mark.parametrize(("size", "kept"), [(4094, True), (4095, False), (60_000, False)])
def test_a_cookie_of_more_than_4096_bytes_is_not_kept(size: int, kept: bool):
    server = MemoryServer(sets(f"id={'x' * size}; Path=/; HttpOnly"))
    http = server.session()
    for _ in range(3):
        response = http.get("/")
    assert ("id" in names(http), bool(header(server.heard[-1]))) == (kept, kept)
    # the reply itself shows what it had
    assert len(response.cookies["id"]) == size


@pytest.mark.parametrize("attribute", ["Path=/{}", "X={}", "{}=1", "Comment={}"])
def test_nor_is_one_whose_attributes_are_longer_than_1024(attribute: str):
    kept = "; ".join(["id=1", attribute.format("x" * 900)])
    dropped = "; ".join(["no=1", attribute.format("x" * 1100)])
    http = MemoryServer(sets(kept, dropped)).session()
    http.get("/")
    assert names(http) == {"id"}


def test_the_cookies_of_a_request_are_bounded_in_bytes():
    server = MemoryServer(numbered(15, size=4000))
    http = server.session()
    for _ in range(8):
        http.get("/")
    assert 56_000 < max(len(header(heard)) for heard in server.heard) < 66_000
    assert (len(names(http)), "c119" in names(http)) == (15, True)


def test_so_are_those_of_many_domains_above_one_another():
    host = "a.b.c.d.e.f.shop.test"
    domains = [host.split(".", k)[-1] for k in range(6)]
    answers = [sets(*(f"c{k}={'x' * 4000}; Domain={domain}" for k in range(15))) for domain in domains]
    server = MemoryServer(*answers, OK)
    http = server.session()
    for _ in range(8):
        http.get(f"http://{host}/")
    assert 56_000 < max(len(header(heard)) for heard in server.heard) < 66_000


def test_so_are_those_of_a_chain_of_redirects():
    numbers = count()

    def answer() -> bytes:
        large = (f"Set-Cookie: c{next(numbers)}={'x' * 9000}" for _ in range(6))
        return reply(b"", "Location: /again", *large, status="302 Found")

    server = MemoryServer(answer)
    http = server.session()
    http.max_redirects = 9
    with pytest.raises(requests.TooManyRedirects):
        http.get("/")
    assert [header(heard) for heard in server.heard] == [b""] * 10


def test_threads_that_share_a_session_share_its_cookies(serve_as: Serve, http: Session):
    url = serve_as(sending(numbered(20))).url
    raised: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            for k in range(4):
                http.get(url)
                http.cookies.set(f"mine{number}-{k}", "x")
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not raised
    assert {f"mine{number}-{k}" for number in range(4) for k in range(4)} < names(http)
    assert len(names(http)) == 16 + OF_A_DOMAIN


def test_cookies_cost_no_more_than_with_requests(serve_as: Serve, http: Session):
    spent = {}
    with requests.Session() as theirs:
        theirs.trust_env = False
        for session in (theirs, http):
            url = serve_as(sending(numbered(90))).url
            began = time.thread_time()
            for _ in range(8):
                session.get(url)
            spent[session] = time.thread_time() - began
    assert spent[http] < spent[theirs]


def test_490_in_each_reply_cost_little_once_the_jar_is_full():
    http = MemoryServer(numbered(490)).session()
    for _ in range(8):
        http.get("/")
    began = time.thread_time()
    http.get("/")
    # 20 ms; a walk over 3,000 for each took 4 s
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize("attribute", [f"Max-Age={'9' * 300}", f"Max-Age={'9' * 5000}", "Max-Age=99999999999999"])
def test_a_cookie_for_longer_than_there_is_time_is_kept(attribute: str):
    server = MemoryServer(sets(f"a=b; {attribute}"), OK)
    http = server.session()
    for _ in range(4):
        http.get("/")
    assert [header(heard) for heard in server.heard] == [b""] + [b"a=b" if len(attribute) < 4000 else b""] * 3


def test_a_cookie_that_expires_is_sent_no_more():
    server = MemoryServer(OK)
    http = server.session()
    with time_machine.travel("2030-01-01", tick=False) as now:
        http.cookies.set("a", "b", expires=time.time() + 1)
        for _ in range(2):
            http.get("/")
        server.clock.advance(2 * SECOND)
        now.shift(2)
        http.get("/")
    assert [header(heard) for heard in server.heard] == [b"a=b", b"a=b", b""]


def test_a_cookie_is_renewed_by_each_reply():
    http = MemoryServer(sets("a=b; Max-Age=100")).session()
    with time_machine.travel("2030-01-01", tick=False) as now:
        for k in range(4):
            http.get("/")
            assert next(iter(http.cookies)).expires == time.time() + 100
            now.shift(k)


def test_two_sessions_may_share_their_cookies():
    server = MemoryServer(OK)
    one, two = server.session(), server.session()
    two.cookies = one.cookies
    for _ in range(2):
        one.get("/")
        two.get("/")
        one.cookies.set("a", "b")
    assert [header(heard) for heard in server.heard] == [b"", b"", b"a=b", b"a=b"]


def test_a_session_that_is_forgotten_is_not_kept_by_its_jar(serve_as: Serve):
    ended = threading.Event()

    def script(line: Line) -> None:
        line.request()
        line.send(OK)
        line.receive()
        ended.set()

    peer = serve_as(script)
    jar = Session().cookies
    session = Session()
    session.cookies = jar
    session.get(peer.url)
    del session
    gc.collect()
    assert ended.wait(10)
    jar.set("a", "b")
