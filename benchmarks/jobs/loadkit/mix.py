from loadkit import Endpoint, Scenario, rows


def finds(reply):
    assert reply.json()["items"]


shop = Scenario(
    endpoints=[
        Endpoint("GET", "/", weight=3),
        Endpoint("GET", "/search", params={"q": "{word}"}, feed=rows("words.csv"), check=finds),
        Endpoint("POST", "/orders", json={"sku": "SKU-0001"}),
    ],
    threads=10,
    duration="5s",
)
