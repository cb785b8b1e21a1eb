"""Where connections go: IPv4, IPv6, unix sockets, other hosts; and with TLS only to whom can show who he is."""

from __future__ import annotations

import datetime as dt
import re
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from loadkit import Endpoint, Scenario, UsageError
from loadkit.wire.encode import encode
from tests.wire.conftest import Call, Serve, served
from tests.wire.peer import OK, Line, replies, then_close


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def host_of(request: bytes) -> list[str]:
    return re.findall(r"(?im)^host: (.*)\r$", request.decode("latin-1"))


def test_the_host_header_names_host_and_port(serve: Serve, call: Call):
    peer = serve(replies(OK))
    call(peer).send()

    assert host_of(peer.heard[0]) == [f"127.0.0.1:{peer.port}"]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 on loopback")
def test_ipv6_is_spoken_and_written_in_brackets(serve_as: Serve, call: Call, context: ssl.SSLContext | None):
    peer = serve_as(replies(OK), host="::1", context=context)
    caller = call(peer)

    assert [outcome.status for outcome in caller.sends(3)] == [200] * 3
    assert host_of(peer.heard[0]) == [f"[::1]:{peer.port}"]
    assert str(caller.request.origin) == f"[::1]:{peer.port}"


def test_a_name_with_several_addresses_goes_to_the_one_that_answers(serve: Serve, call: Call):
    peer = serve(replies(OK))
    # on many machines localhost is ::1 first, where nobody listens
    caller = call(peer.url.replace("127.0.0.1", "localhost"))

    assert caller.send().status == 200
    assert host_of(peer.heard[0]) == [f"localhost:{peer.port}"]


def test_a_unix_socket_is_spoken_to_and_its_replies_have_no_stamp(serve_as: Serve, call: Call, tmp_path: Path):
    peer = serve_as(replies(OK, OK, OK, then_close()), unix=tmp_path / "a.sock")
    caller = call(peer, path="/search?q=tea")

    outcomes = caller.sends(5)

    assert [outcome.status for outcome in outcomes] == [200] * 5
    assert all(outcome.arrived == outcome.taken for outcome in outcomes)
    assert caller.connection.unstamped == 5
    assert peer.heard[0].startswith(b"GET /search?q=tea HTTP/1.1\r\n")
    assert host_of(peer.heard[0]) == ["localhost"]
    assert str(caller.request.origin) == f"unix:{tmp_path / 'a.sock'}"


def test_a_full_url_goes_to_its_own_host(serve: Serve, call: Call):
    here, there = serve(replies(OK)), serve(replies(OK))

    caller = call(here, path=there.url + "/else?a=1#part")

    assert caller.send().status == 200
    assert (len(here.heard), len(there.heard)) == (0, 1)
    assert there.heard[0].startswith(b"GET /else?a=1 HTTP/1.1\r\n")
    assert host_of(there.heard[0]) == [f"127.0.0.1:{there.port}"]


def test_user_and_password_of_a_url_become_basic_authentication_and_are_not_shown(serve: Serve, call: Call):
    peer = serve(replies(OK))
    caller = call(peer.url.replace("://", "://Aladdin:open%20sesame@"))

    caller.send()

    heard = peer.heard[0].decode()
    assert "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n" in heard
    assert host_of(peer.heard[0]) == [f"127.0.0.1:{peer.port}"]
    assert "sesame" not in caller.request.url


PORTS = [
    pytest.param("http://127.0.0.1/", 80, "127.0.0.1", id="http"),
    pytest.param("https://127.0.0.1/", 443, "127.0.0.1", id="https"),
    pytest.param("http://127.0.0.1:80/", 80, "127.0.0.1", id="the default port, said"),
    pytest.param("https://127.0.0.1:443/", 443, "127.0.0.1", id="the default port of https, said"),
    pytest.param("https://127.0.0.1:80/", 80, "127.0.0.1:80", id="the default port of the other"),
    pytest.param("HTTP://LocalHost:8080/", 8080, "localhost:8080", id="capitals"),
    pytest.param("http://[::1]:8080/", 8080, "[::1]:8080", id="IPv6"),
    pytest.param("http://127.0.0.1:0/", 0, "127.0.0.1:0", id="port 0 is not the default"),
]


@pytest.mark.parametrize(("url", "port", "host"), PORTS)
def test_the_port_is_the_schemes_own_unless_it_is_said(url: str, port: int, host: str):
    request = encode(Endpoint("GET", url), Scenario(endpoints=[Endpoint("GET", url)]))

    assert request.origin.port == port
    assert host_of(request.payload) == [host]


# -- TLS


def yesterday() -> dt.datetime:
    return dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


MISTRUSTED = [
    pytest.param(lambda ca: served(trustme.CA(), "127.0.0.1"), "unable to get local issuer", id="unknown authority"),
    pytest.param(lambda ca: served(ca, "shop.example"), "IP address mismatch", id="another's certificate"),
    pytest.param(lambda ca: served(ca, "127.0.0.1", not_after=yesterday()), "certificate has expired", id="expired"),
]


@pytest.mark.parametrize(("made", "reason"), MISTRUSTED)
def test_a_certificate_that_does_not_hold_is_a_tls_failure(
    serve_as: Serve, call: Call, authority: trustme.CA, made, reason: str
):
    peer = serve_as(replies(OK), context=made(authority))
    caller = call(peer)

    for outcome in caller.sends(2):
        assert outcome.kind == "tls"
        assert outcome.message.startswith("certificate verify failed: ")
        assert reason in outcome.message
        assert outcome.message.endswith(f" 127.0.0.1:{peer.port}")
    assert not peer.heard


@pytest.mark.parametrize(("made", "reason"), MISTRUSTED)
def test_verification_can_be_turned_off(serve_as: Serve, call: Call, authority: trustme.CA, made, reason: str):
    caller = call(serve_as(replies(OK), context=made(authority)), verify=False)

    assert caller.send().status == 200


def test_without_the_authority_a_certificate_is_not_trusted(serve_as: Serve, call: Call, tls: ssl.SSLContext):
    assert call(serve_as(replies(OK), context=tls), ca=None).send().kind == "tls"


@pytest.fixture
def picky(authority: trustme.CA) -> ssl.SSLContext:
    """A server that asks for the client's certificate."""
    context = served(authority, "127.0.0.1")
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_asks_for_a_certificate_gets_it(
    serve_as: Serve, call: Call, authority: trustme.CA, picky: ssl.SSLContext, tmp_path: Path, version: ssl.TLSVersion
):
    picky.minimum_version = picky.maximum_version = version
    mine = authority.issue_cert("me@example.org")
    both = tmp_path / "both.pem"
    mine.private_key_and_cert_chain_pem.write_to_path(str(both))
    peer = serve_as(replies(OK), context=picky)

    assert call(peer, cert=both).send().status == 200
    outcome = call(peer).send()
    assert outcome.kind == "tls"
    assert re.search("certificate required|handshake failure", outcome.message), outcome.message


def test_the_reason_of_tls_is_told_although_sending_failed(serve_as: Serve, call: Call, picky: ssl.SSLContext):
    # the server is gone before the upload is done, and its alert waits to be read
    outcome = call(serve_as(replies(OK), context=picky), "POST", data=bytes(5_000_000)).send()

    assert (outcome.kind, outcome.message) == ("tls", "TLS failed: tlsv13 alert certificate required")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_connection_opened_beforehand_is_used_although_session_tickets_came(
    serve_as: Serve, call: Call, authority: trustme.CA, version: ssl.TLSVersion
):
    def script(line: Line) -> None:
        # the handshake is over, and the tickets with it
        ready.append(line)
        replies(OK)(line)

    ready: list[Line] = []
    context = served(authority, "127.0.0.1")
    context.minimum_version = context.maximum_version = version
    peer = serve_as(script, context=context)
    caller = call(peer)

    note = caller.connection.open()
    while not ready:
        pass
    outcome = caller.send()

    assert (note.failure, note.connects) == (None, 1)
    assert (outcome.status, outcome.connects) == (200, (0, 0))
    assert peer.connections == 1


UNREADABLE = [
    pytest.param({"ca": "/nowhere/ca.pem"}, "ca='/nowhere/ca.pem'", id="no such authorities"),
    pytest.param({"cert": "/nowhere/me.pem"}, "from /nowhere/me.pem", id="no such certificate"),
    pytest.param({"cert": ("/nowhere/me.pem", "/nowhere/me.key")}, "from /nowhere/me.pem", id="nor in two files"),
    pytest.param({"ca": __file__}, "ca=", id="a file that is none"),
]


@pytest.mark.parametrize(("options", "named"), UNREADABLE)
def test_a_tls_file_that_cannot_be_read_is_the_users_mistake_and_named(call: Call, options, named: str):
    with pytest.raises(UsageError, match=r"^cannot read .*" + re.escape(named)):
        call("https://127.0.0.1:1", **options)
