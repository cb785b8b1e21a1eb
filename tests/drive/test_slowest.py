"""The ten slowest requests of a run: exactly those, whatever it was split into, and no request of the warm-up."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from loadkit import Endpoint, Scenario, rows
from loadkit.drive.stats import Driven
from loadkit.judge.summary import slow_requests
from loadkit.measure.counts import Counts
from loadkit.measure.slowest import SlowSample, slowest
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.wire.base import Failure, Request
from loadkit.wire.fake import FakeReply
from tests.drive.driving import on_fake

BASE = "http://fake"


def found(driven: Driven) -> list[tuple[str, int]]:
    """The URL and the response time of each, in milliseconds."""
    each = slow_requests(driven.recording, started=driven.stats.measured_from)
    return [(one.url.removeprefix(BASE), round(one.response_time * 1000)) for one in each]


def test_they_are_the_ones_that_took_longest():
    spans = random.Random(7).sample(range(1, 1001), 600)

    def answer(_: Request, number: int) -> FakeReply:
        return FakeReply(after=spans[number] * MILLISECOND)

    endpoints = [Endpoint("GET", "/a"), Endpoint("POST", "/b", check=lambda reply: reply.ok)]
    driven = on_fake(Scenario(base_url=BASE, endpoints=endpoints, threads=1, iterations=600), answer)

    expected = sorted(((span, "/ab"[0] + "ab"[k % 2]) for k, span in enumerate(spans)), reverse=True)[:10]
    assert found(driven) == [(path, span) for span, path in expected]


def test_each_has_its_filled_url_with_secrets_masked_its_status_and_when_it_was_due():
    feed = rows([{"id": k, "q": f"tea {k}", "token": "abc"} for k in range(1, 4)])
    endpoint = Endpoint("GET", "/items/{id}", params={"q": "{q}", "token": "{token}"}, feed=feed, name="item")

    def answer(_: Request, number: int) -> FakeReply:
        return FakeReply(after=(number + 1) * SECOND, status=201)

    driven = on_fake(Scenario(base_url=BASE, endpoints=[endpoint], threads=1, iterations=3), answer)
    first, *_ = slow_requests(driven.recording, started=driven.stats.measured_from)
    assert (first.method, first.url) == ("GET", f"{BASE}/items/3?q=tea+3&token=***")
    assert (first.status, first.endpoint) == (201, "item")
    assert (first.at, first.response_time, first.service_time) == (3.0, 3.0, 3.0)


def test_neither_the_warm_up_nor_failures_are_among_them():
    def answer(_: Request, number: int) -> FakeReply:
        if number < 5:
            return FakeReply(after=SECOND)
        failure = Failure("timeout", "no whole reply within 9 s") if number == 6 else None
        return FakeReply(after=300 * MILLISECOND if failure else 10 * MILLISECOND, failure=failure)

    scenario = Scenario(base_url=BASE, endpoints=[Endpoint("GET", "/")], threads=1, warmup="5s", duration="1s")
    driven = on_fake(scenario, answer)
    assert found(driven) == [("/", 10)] * 10


def test_those_of_an_open_workload_are_from_when_they_were_due():
    def answer(_: Request, number: int) -> FakeReply:
        return FakeReply(after=SECOND if number == 3 else MILLISECOND)

    endpoint = Endpoint("GET", "/")
    scenario = Scenario(base_url=BASE, endpoints=[endpoint], rate="10/s", threads=1, max_threads=1, duration="2s")
    found = slow_requests((driven := on_fake(scenario, answer)).recording, started=driven.stats.measured_from)
    assert [round(one.response_time, 3) for one in found[:3]] == [1.0, 0.901, 0.802]
    assert [round(one.service_time, 3) for one in found[:3]] == [1.0, 0.001, 0.001]
    assert [round(one.at, 3) for one in found[:3]] == [0.3, 0.4, 0.5]


samples = st.builds(
    SlowSample,
    response_time=st.integers(0, 30),
    due=st.integers(0, 5),
    service_time=st.just(1),
    status=st.just(200),
    method=st.just("GET"),
    url=st.sampled_from(["/a", "/b"]),
    label=st.just("a"),
)


@given(st.lists(st.lists(samples, max_size=15), max_size=5))
def test_merged_in_any_order_they_are_those_of_the_whole(parts: list[list[SlowSample]]):
    def merged(order: list[list[SlowSample]]) -> list[SlowSample]:
        whole = Counts()
        for part in order:
            whole.add(Counts(slowest=slowest(part)))
        return whole.slowest

    expected = slowest(one for part in parts for one in part)
    assert merged(parts) == merged(parts[::-1]) == expected
