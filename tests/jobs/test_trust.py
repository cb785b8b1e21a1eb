"""What is said before and after a run in which the two ends do not speak the same, or not to whom they meant."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from loadkit import Endpoint, Scenario, UsageError, run
from tests.wire.peer import OK, Line, Peer, replies, reply, then_close

YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """Who signs, and is trusted."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@pytest.fixture
def serve() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def start(*scripts: Any, certificate: trustme.LeafCert | None = None) -> Peer:
        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
        peers.append(Peer(*scripts, context=context))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


def visit(http: Any) -> None:
    http.get("/")


@pytest.mark.parametrize(
    ("certificate", "advice"),
    [
        pytest.param(
            lambda ca: ca.issue_cert("shop.example"),
            "mismatch, .*; use a name that the certificate is for, or accept any with --insecure$",
            id="another name",
        ),
        pytest.param(
            lambda ca: ca.issue_cert("127.0.0.1", not_after=YESTERDAY),
            "expired.*; the server needs another, or accept any with --insecure$",
            id="expired",
        ),
        pytest.param(
            lambda _: trustme.CA().issue_cert("127.0.0.1"),
            "; no authority in ca='.*ca.pem', which stands for the system's, has signed it; name the right file$",
            id="another authority",
        ),
    ],
)
def test_what_is_wrong_with_a_certificate_is_what_is_advised_on(
    serve: Any, authority: trustme.CA, tmp_path: Path, certificate: Any, advice: str
):
    peer = serve(replies(OK), certificate=certificate(authority))
    with pytest.raises(UsageError, match=advice):
        run(Scenario(base_url=peer.url, endpoints=[visit], ca=tmp_path / "ca.pem", iterations=1))
    assert peer.heard == []


def test_an_authority_that_is_not_known_may_be_trusted(serve: Any, authority: trustme.CA):
    peer = serve(replies(OK), certificate=authority.issue_cert("127.0.0.1"))
    with pytest.raises(UsageError, match=r"; trust its authority with --ca FILE, or accept any with --insecure$"):
        run(Scenario(base_url=peer.url, endpoints=[visit], iterations=1))


@pytest.mark.parametrize("what", [Endpoint("GET", "/"), visit], ids=["endpoint", "journey"])
def test_http_that_was_sent_to_https_is_named(serve: Any, authority: trustme.CA, what: Any):
    peer = serve(replies(OK), certificate=authority.issue_cert("127.0.0.1"))
    url = peer.url.replace("https", "http")
    result = run(Scenario(base_url=url, endpoints=[what], threads=2, iterations=6, timeout=5))
    assert result.outcome == "failed"
    there = f"127.0.0.1:{peer.port}"
    assert [(one.level, one.message) for one in result.caveats if one.code == "https"] == [
        ("note", f"{there} speaks https, and http was sent there; write https://{there}")
    ]


@pytest.mark.parametrize(
    ("script", "asks"),
    [
        pytest.param(then_close(), 1, id="closes"),
        pytest.param(replies(reply(b"no", status="400 Bad Request")), 1, id="refuses"),
        pytest.param(replies(reply(b"no", status="404 Not Found")), 0, id="a failure that is http"),
        pytest.param(replies(OK), 0, id="answers"),
    ],
)
def test_a_server_that_does_not_speak_https_is_not_said_to(serve: Any, script: Any, asks: int):
    heard: list[bytes] = []

    def listening(line: Line) -> None:
        first = line.sock.recv(1, 2)  # MSG_PEEK
        heard.append(first)
        if first == b"G":
            script(line)

    peer = serve(listening)
    result = run(Scenario(base_url=peer.url, endpoints=[Endpoint("GET", "/")], threads=1, iterations=2, timeout=2))
    assert not [one for one in result.caveats if one.code == "https"]
    # a handshake begins with 22
    assert heard.count(b"\x16") == asks
