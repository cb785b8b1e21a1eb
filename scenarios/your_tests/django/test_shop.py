"""Functional tests by Django's own client, within the process of the tests, and by requests against the server."""

import pytest
import requests
from app import Order
from django.test import Client


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def order():
    made = Order.objects.create(sku="tea")
    yield made
    made.delete()


def test_an_order_is_kept(client, order):
    assert client.get(f"/orders/{order.pk}").json() == {"sku": "tea"}


@pytest.mark.parametrize("sku", ["tea", "cup"])
def test_an_order_is_made(client, sku):
    number = client.post("/orders", {"sku": sku}).json()["number"]
    assert Order.objects.get(pk=number).sku == sku


def test_there_is_no_order_0(load_server):
    assert requests.get(f"{load_server}/orders/0", timeout=10).status_code == 404
