"""Functional tests by requests, as they are without a load: pytest, or pytest --load-threads 20 --load-for 30s."""

from collections.abc import Iterator

import pytest
import requests


class Shop(requests.Session):
    """What the tests of a project often have: a session that knows where the server is."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def request(self, method, path, **options):
        return super().request(method, self.url + path, timeout=10, **options)


@pytest.fixture
def shop(load_server: str) -> Iterator[Shop]:
    with Shop(load_server) as shop:
        yield shop


@pytest.fixture
def customer(shop: Shop) -> Shop:
    shop.post("/login", json={"name": "ann"}).raise_for_status()
    return shop


class TestOrders:
    def setup_method(self) -> None:
        self.numbers: list[int] = []

    def test_a_customer_orders_twice(self, customer: Shop) -> None:
        for _ in range(2):
            self.numbers.append(customer.post("/orders").json()["number"])
        assert len(set(self.numbers)) == 2
        assert customer.get(f"/orders/{self.numbers[0]}").json()["name"] == "ann"

    def test_whoever_is_not_logged_in_is_turned_away(self, shop: Shop) -> None:
        assert shop.post("/orders").status_code == 401


def test_there_is_no_order_0(shop: Shop) -> None:
    with pytest.raises(requests.HTTPError, match="404"):
        shop.get("/orders/0").raise_for_status()
