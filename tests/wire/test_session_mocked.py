"""What people's suites put in the place of parts of `requests`, urllib3 and the clock, at work on our session.

A server counts what really goes out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import freezegun
import pytest
import requests
import requests_mock
import responses
import time_machine
import vcr

from loadkit import Session
from tests.wire.conftest import Call, Make, Serve
from tests.wire.peer import OK, Peer, replies


def by_responses(url: str) -> AbstractContextManager[Any]:
    mock = responses.RequestsMock(assert_all_requests_are_fired=False)
    for method in ("GET", "POST"):
        mock.add(method, url, body="mock")
    return mock


def by_requests_mock(url: str) -> AbstractContextManager[Any]:
    mock = requests_mock.Mocker()
    for method in ("GET", "POST"):
        mock.register_uri(method, url, text="mock")
    return mock


def by_a_patch_of_send(url: str) -> AbstractContextManager[Any]:
    return Patched(requests.adapters.HTTPAdapter, "send")


def by_a_patch_of_request(url: str) -> AbstractContextManager[Any]:
    return Patched(requests.Session, "request")


class Patched:
    """Have a method give a reply that nobody sent."""

    def __init__(self, owner: type, name: str) -> None:
        self._patch = pytest.MonkeyPatch()
        self._owner, self._name = owner, name

    def __enter__(self) -> None:
        def answer(*_: Any, **options: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response._content, response.url = 200, b"mock", "http://mock/"
            response.request = requests.Request("GET", "http://mock/").prepare()
            return response

        self._patch.setattr(self._owner, self._name, answer)

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


@pytest.fixture
def peer(serve_as: Serve) -> Peer:
    return serve_as(replies(OK))


@pytest.fixture
def new(peer: Peer, session: Make) -> Callable[..., Session]:
    def make(*, is_warm: bool = False) -> Session:
        http = session(base_url=peer.url)
        for _ in range(3 if is_warm else 0):
            assert http.get("/x").text == http.post("/x", json={}).text == "ok"
        return http

    return make


@pytest.mark.parametrize("mock", [by_responses, by_requests_mock, by_a_patch_of_send, by_a_patch_of_request])
@pytest.mark.parametrize("is_warm", [False, True], ids=["new", "used before"])
def test_a_mock_answers_and_nothing_goes_out(peer: Peer, new, mock, is_warm: bool):
    http = new(is_warm=is_warm)
    before = len(peer.heard)

    with mock(f"{peer.url}/x"):
        found = [http.get("/x").text, http.get("/x").text, http.post("/x", json={}).text]

    assert found == ["mock"] * 3
    assert len(peer.heard) == before
    assert http.get("/x").text == "ok"
    assert len(peer.heard) == before + 1


@pytest.mark.parametrize("is_warm", [False, True], ids=["new", "used before"])
def test_a_cassette_records_and_plays(peer: Peer, new, tmp_path, is_warm: bool):
    http = new(is_warm=is_warm)
    before = len(peer.heard)
    for _ in range(2):
        with vcr.use_cassette(str(tmp_path / "tape.yaml")):
            assert [http.get("/x").text, http.post("/x", json={}).text] == ["ok", "ok"]

    assert len(peer.heard) == before + 2
    assert http.get("/x").text == "ok"
    assert len(peer.heard) == before + 3


WHENS = ("2040-01-01", "2012-01-14")


def by_time_machine(when: str, *, ticks: bool) -> AbstractContextManager[Any]:
    return time_machine.travel(f"{when}T00:00:00Z", tick=ticks)


def by_freezegun(when: str, *, ticks: bool) -> AbstractContextManager[Any]:
    return freezegun.freeze_time(when, tick=ticks)


@pytest.mark.parametrize("travel", [by_time_machine, by_freezegun])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("ticks", [True, False], ids=["running", "standing still"])
@pytest.mark.parametrize("is_warm", [False, True], ids=["new", "used before"])
def test_at_another_time_replies_are_as_good(peer: Peer, new, travel, when: str, ticks: bool, is_warm: bool):
    early = new(is_warm=is_warm)
    with travel(when, ticks=ticks):
        for http in (early, new()):
            found = [http.get("/x"), http.get("/x"), http.post("/x", json={})]
            assert [reply.text for reply in found] == ["ok"] * 3
            assert all(0 < reply.elapsed.total_seconds() < 60 for reply in found)

    assert early.get("/x").text == "ok"
    assert len(peer.heard) == 7 + 6 * is_warm


@pytest.mark.parametrize("travel", [by_time_machine, by_freezegun])
def test_while_the_clock_stands_still_a_deadline_passes_all_the_same(serve_as: Serve, travel):
    peer = serve_as(replies(lambda line: line.stall()))
    with Session(base_url=peer.url) as http, travel(WHENS[0], ticks=False), pytest.raises(requests.Timeout):
        http.get("/", deadline=0.1)


@pytest.mark.parametrize("travel", [by_time_machine, by_freezegun])
@pytest.mark.parametrize("when", WHENS)
def test_at_another_time_the_replies_of_endpoints_are_stamped_as_ever(peer: Peer, call: Call, travel, when: str):
    with travel(when, ticks=True):
        caller = call(peer)
        outcomes = caller.sends(20)

    assert {outcome.message for outcome in outcomes} == {""}
    assert caller.connection.unstamped == 0


def test_behind_a_mock_the_session_goes_on_with_the_connection_it_had(peer: Peer, new):
    http = new(is_warm=True)
    with by_responses(f"{peer.url}/x"):
        assert http.get("/x").text == "mock"

    assert [http.get("/x").text for _ in range(50)] == ["ok"] * 50
    assert peer.connections == 1
