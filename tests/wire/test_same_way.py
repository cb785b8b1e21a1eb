"""Endpoints, journeys, set-ups, sessions and fetch find and trust the same hosts, whatever the environment says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from loadkit import Endpoint, Journey, Scenario, Session, UsageError, fetch, run, timer
from tests.wire.conftest import Serve, served
from tests.wire.peer import OK, replies

Way = Callable[..., object]
ALIVE: dict[str, Any] = {"threads": 1, "iterations": 1, "timeout": 5}


def visit(http: Any) -> None:
    http.get("/")


def by_setup(url: str, tmp_path: Path, **options: Any) -> object:
    """The set-up of a scenario asks, its endpoint goes where nobody listens."""
    elsewhere = Endpoint("GET", "http://127.0.0.1:1/", timeout=1)
    return run(Scenario(base_url=url, endpoints=[elsewhere], setup=visit, **ALIVE, **options))


def by_session(url: str, tmp_path: Path, ca: Path | None = None) -> object:
    with Session(base_url=url) as http:
        http.trust_env = False
        http.verify = str(ca) if ca else True
        return http.get("/").status_code


RUNS: dict[str, Way] = {
    "endpoint": lambda url, tmp_path, **options: run(
        Scenario(base_url=url, endpoints=[Endpoint("GET", "/")], **ALIVE, **options)
    ),
    "journey": lambda url, tmp_path, **options: run(Scenario(base_url=url, endpoints=[visit], **ALIVE, **options)),
    "set-up": by_setup,
}
FETCH: dict[str, Way] = {
    "fetch": lambda url, tmp_path, **options: fetch([f"{url}/"], into=tmp_path / "bodies", retries=0, **options).wait()
}
SESSION: dict[str, Way] = {"session": by_session}


# -- names

# by the older IDNA the one is the other, and these are two hosts
HOSTS = {"strasse.test": "127.0.0.1", "xn--strae-oqa.test": "127.0.0.2"}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that knows two names, and takes text that is not ASCII as Python's does."""
    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        return real(HOSTS.get(host.encode("idna").decode(), host), *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.parametrize("way", (RUNS | FETCH | SESSION).values(), ids=RUNS | FETCH | SESSION)
def test_a_name_beyond_ascii_is_looked_up_as_the_host_header_says(
    serve_as: Serve, names: None, tmp_path: Path, way: Way
):
    there = serve_as(replies(OK), host="127.0.0.2")
    url = f"http://straße.test:{there.port}"

    way(url, tmp_path)
    with requests.Session() as theirs:
        theirs.trust_env = False
        theirs.get(url)

    assert len(there.heard) == 2
    assert all(f"Host: xn--strae-oqa.test:{there.port}\r\n".encode() in heard for heard in there.heard)


@pytest.mark.parametrize("way", RUNS.values(), ids=RUNS)
def test_a_name_that_is_none_is_the_users_mistake(tmp_path: Path, way: Way):
    with pytest.raises(UsageError, match="straße"):
        way("http://straße\u2024\u2024.test", tmp_path)


def test_a_name_that_is_none_is_an_invalid_url_of_a_session(tmp_path: Path):
    with pytest.raises(requests.exceptions.InvalidURL):
        by_session("http://straße\u2024\u2024.test", tmp_path)


# -- whom to trust


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> trustme.CA:
    """An authority that the system trusts."""
    return trustme.CA()


@pytest.fixture
def on_the_system(installed: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the only one; what `requests` is told of is another."""
    installed.cert_pem.write_to_path(str(tmp_path / "system.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))


def tried(way: Way, *args: Any, **options: Any) -> None:
    """Go, whatever comes of it."""
    with suppress(UsageError, requests.RequestException):
        way(*args, **options)


@pytest.mark.parametrize("way", (RUNS | FETCH).values(), ids=RUNS | FETCH)
def test_the_systems_authorities_are_trusted(
    serve_as: Serve, installed: trustme.CA, on_the_system: None, tmp_path: Path, way: Way
):
    peer = serve_as(replies(OK), context=served(installed, "127.0.0.1"))
    way(peer.url, tmp_path)
    assert len(peer.heard) == 1


@pytest.mark.parametrize("way", (RUNS | FETCH | SESSION).values(), ids=RUNS | FETCH | SESSION)
def test_authorities_that_are_named_are_trusted_instead_of_the_systems(
    serve_as: Serve, installed: trustme.CA, on_the_system: None, ca_file: Path, tls: Any, tmp_path: Path, way: Way
):
    named, other = (
        serve_as(replies(OK), context=tls),
        serve_as(replies(OK), context=served(installed, "127.0.0.1")),
    )
    for peer in (named, other):
        tried(way, peer.url, tmp_path / str(peer.port), ca=ca_file)
    assert (len(named.heard), len(other.heard)) == (1, 0)


@pytest.mark.parametrize("way", (RUNS | FETCH | SESSION).values(), ids=RUNS | FETCH | SESSION)
def test_a_folder_of_authorities_is_trusted(serve_as: Serve, ca_file: Path, tls: Any, tmp_path: Path, way: Way):
    folder = tmp_path / "authorities"
    folder.mkdir()
    # what `openssl rehash` calls the file of a certificate
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(ca_file)]
    name = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    (folder / f"{name}.0").write_bytes(ca_file.read_bytes())
    peer = serve_as(replies(OK), context=tls)
    way(peer.url, tmp_path, ca=folder)
    assert len(peer.heard) == 1


@pytest.mark.parametrize("way", (RUNS | FETCH | SESSION).values(), ids=RUNS | FETCH | SESSION)
def test_a_name_that_is_only_in_the_common_name_is_refused(serve_as: Serve, tmp_path: Path, way: Way):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    peer = serve_as(replies(OK), context=served(authority, common_name="localhost"))
    tried(way, peer.url.replace("127.0.0.1", "localhost"), tmp_path, ca=tmp_path / "ca.pem")
    assert peer.connections >= 1
    assert peer.heard == []


# -- proxies


@pytest.fixture
def proxy(serve_as: Serve, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A proxy that the environment names."""
    for name in [name for name in os.environ if name.lower() in ("no_proxy", "http_proxy", "https_proxy", "all_proxy")]:
        monkeypatch.delenv(name)
    found = serve_as(replies(OK))
    monkeypatch.setenv("http_proxy", found.url)
    return found


@pytest.mark.parametrize("way", (RUNS | FETCH).values(), ids=RUNS | FETCH)
def test_proxies_of_the_environment_are_not_used(serve_as: Serve, proxy: Any, tmp_path: Path, way: Way):
    peer = serve_as(replies(OK))
    way(peer.url, tmp_path)
    assert (len(peer.heard), len(proxy.heard)) == (1, 0)


def by_both(url: str, tmp_path: Path) -> object:
    """An endpoint and a journey of one scenario."""
    return run(Scenario(base_url=url, endpoints=[Endpoint("GET", "/"), visit], threads=1, iterations=100))


@pytest.mark.parametrize("way", [RUNS["endpoint"], RUNS["journey"]], ids=["endpoint", "journey"])
def test_that_a_proxy_is_not_used_is_said_in_one_line(serve_as: Serve, proxy: Any, tmp_path: Path, way: Way):
    peer = serve_as(replies(OK))
    result: Any = way(peer.url, tmp_path)
    assert [(one.level, one.message) for one in result.caveats if one.code == "proxy"] == [
        (
            "note",
            f"the environment names a proxy for 127.0.0.1:{peer.port}, which is not used: requests go straight there",
        )
    ]


def test_nothing_is_said_of_a_proxy_that_is_not_for_the_target(
    serve_as: Serve, proxy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    result: Any = RUNS["endpoint"](serve_as(replies(OK)).url, tmp_path)
    assert not [one for one in result.caveats if one.code == "proxy"]


# -- whose clock


def by_a_proxy_of_its_own(url: str, tmp_path: Path) -> object:
    """A journey that goes through a proxy, as its own code says, and so through urllib3."""

    def buy(http: Any) -> None:
        http.proxies["http"] = url
        http.get("http://shop.test/")

    return run(Scenario(base_url=url, endpoints=[buy], threads=1, iterations=100))


def by_timers(url: str, tmp_path: Path) -> object:
    """A journey with a client of its own."""

    async def buy(http: Any) -> None:
        with timer("sleep"):
            await http.pause("1ms")

    return run(Scenario(base_url=url, endpoints=[buy], threads=1, iterations=100))


def with_teardown(url: str, tmp_path: Path) -> object:
    """A journey whose set-up and tear-down ask over a unix socket, which has no stamps."""

    def ask(http: Any) -> None:
        for _ in range(120):
            http.get(f"http+unix://{str(tmp_path / 'a.sock').replace('/', '%2F')}/")

    return run(Scenario(base_url=url, endpoints=[Journey(visit, setup=ask, teardown=ask)], threads=1, iterations=100))


def of_two_kinds(url: str, tmp_path: Path) -> object:
    """A journey that asks by TCP and over a unix socket."""

    def buy(http: Any) -> None:
        http.get("/")
        http.get(f"http+unix://{str(tmp_path / 'a.sock').replace('/', '%2F')}/")

    return run(Scenario(base_url=url, endpoints=[buy], threads=1, iterations=100))


# of a hundred replies some have no stamp that can be true, where the machine is busy
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps arrivals")
@pytest.mark.parametrize(
    ("way", "over", "clock"),
    [
        pytest.param(RUNS["endpoint"], "unix", {"own"}, id="endpoint, unix socket"),
        pytest.param(RUNS["journey"], "unix", {"own"}, id="journey, unix socket"),
        pytest.param(by_both, "unix", {"own"}, id="both, unix socket"),
        pytest.param(by_both, "tcp", {"kernel", "mixed"}, id="both, TCP"),
        pytest.param(of_two_kinds, "tcp", {"mixed"}, id="journey, both"),
        pytest.param(with_teardown, "tcp", {"kernel", "mixed"}, id="set-up and tear-down are in no figure"),
        pytest.param(by_a_proxy_of_its_own, "tcp", {"own"}, id="journey, its own proxy"),
        pytest.param(by_timers, "tcp", {"own"}, id="a client of one's own"),
    ],
)
def test_the_result_says_whose_clock_was_used(serve_as: Serve, tmp_path: Path, way: Way, over: str, clock: set[str]):
    unix, tcp = serve_as(replies(OK), unix=tmp_path / "a.sock"), serve_as(replies(OK))
    result: Any = way(unix.url if over == "unix" else tcp.url, tmp_path)
    assert not result.failures
    assert result.environment.clock in clock
