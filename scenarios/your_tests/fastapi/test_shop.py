"""Functional tests by httpx, as they are without a load: pytest, or pytest --load-threads 20 --load-for 30s."""

from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture
def client(load_server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=load_server) as client:
        yield client


@pytest.fixture
def order(client: httpx.Client) -> Iterator[int]:
    number = client.post("/orders", json={"sku": "tea"}).json()["number"]
    yield number
    client.delete(f"/orders/{number}")


@pytest.mark.parametrize(("sku", "price"), [("tea", 3), ("cup", 5)])
def test_an_item_has_its_price(client: httpx.Client, sku: str, price: int) -> None:
    assert client.get(f"/items/{sku}").json() == {"sku": sku, "price": price}


def test_an_unknown_item_is_not_found(client: httpx.Client) -> None:
    assert client.get("/items/saucer").status_code == 404


def test_an_order_is_kept(client: httpx.Client, order: int) -> None:
    assert client.get(f"/orders/{order}").json()["sku"] == "tea"


def test_an_order_without_an_item_is_refused(client: httpx.Client) -> None:
    assert client.post("/orders", json={}).status_code == 422
