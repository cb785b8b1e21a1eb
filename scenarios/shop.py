"""Shoppers on a quiet morning."""

from loadkit import Endpoint, Scenario


def finds_something(reply):
    assert reply.json()["items"], "the search found nothing"


browse = Scenario(
    base_url="http://127.0.0.1:8000",
    endpoints=[
        Endpoint("GET", "/", weight=3),
        Endpoint("GET", "/search", params={"q": "tea"}, check=finds_something),
        Endpoint("POST", "/orders", json={"sku": "tea-1"}, expect=201),
    ],
    threads=16,
    duration="10s",
    thresholds=["p99 < 250ms", "error_rate < 1%", "throughput > 500/s"],
)
