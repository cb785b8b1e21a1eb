"""Shoppers who buy: what one reply says makes the next request."""

from loadkit import Endpoint, Journey, Scenario, scenario, timer

URL = "http://127.0.0.1:8000"


def buy(http):
    """Search, then order the first hit."""
    item = http.get("/search", params={"q": "tea"}).json()["items"][0]
    http.pause("20ms")
    with http.step("checkout"):
        ordered = http.post("/orders", json={"sku": item["sku"]})
        assert ordered.status_code == 201
        order = ordered.json()["order"]
        assert http.get(f"/orders/{order}").json()["sku"] == item["sku"]


def regular(http):
    """What a thread's visitor has before the first visit, and gives back after the last."""
    order = http.post("/orders", json={"sku": "tea-1"}).json()["order"]
    yield order
    assert http.get(f"/orders/{order}").status_code == 200


def look_again(http, own):
    with timer("look up"):
        sku = http.get(f"/orders/{own}").json()["sku"]
    assert sku == "tea-1", "somebody else's order"


shopping = Scenario(
    base_url=URL,
    endpoints=[Endpoint("GET", "/", weight=3), buy, Journey(look_again, threads=2, setup=regular)],
    threads=8,
    duration="10s",
    thresholds=["error_rate < 1%", "buy: p99 < 2s", "checkout: p99 < 1s", "look up: p50 < 250ms"],
)


@scenario(base_url=URL, threads=2, duration="10s")
def browse_items(http):
    """Look at some items, one after the other."""
    for item in http.get("/items").json()["items"][:3]:
        assert http.get(f"/items/{item['id']}").json()["name"] == item["name"]
