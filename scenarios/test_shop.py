"""Performance asserted where the other tests are: `pytest scenarios/test_shop.py`."""

import sys

import pytest
import requests

from loadkit import Endpoint, serving


@pytest.fixture(scope="session")
def load_server():
    """The server under test, on a free port: put your own command here, or name your application, "shop.app:app"."""
    with serving([sys.executable, "-m", "loadkit", "demo", "--port", "{port}"], ready="/health") as url:
        yield url


@pytest.fixture
def order(load_server):
    """What a test needs is there before the load begins: here an order, elsewhere a token or a row."""
    return requests.post(f"{load_server}/orders", json={"sku": "tea-1"}, timeout=10).json()["order"]


def test_browsing_stays_fast(load, load_server):
    result = load("scenarios/shop.py::browse", base_url=load_server, duration="5s")
    assert result.p99 < 0.5
    assert result.throughput > 100
    assert result["GET /search"].p50 < 0.25


@pytest.mark.load(threads=4, duration="2s", thresholds=["p99 < 500ms", "throughput > 100/s"])
def test_the_home_page_keeps_its_limits(load, load_server):
    load(load_server)


def test_an_order_can_be_read_often(load, load_server, order):
    result = load(Endpoint("GET", f"/orders/{order}"), base_url=load_server, threads=4, iterations=400)
    result.check("p99 < 500ms", "failures == 0")
