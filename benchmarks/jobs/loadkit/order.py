from loadkit import Scenario


def order(http):
    token = http.get("/items/1").json()["sku"]
    ordered = http.post("/orders", json={"sku": token}, headers={"X-Token": token})
    assert ordered.status_code == 201


shop = Scenario(endpoints=[order], threads=10, duration="5s")
