from locust import HttpUser, task


class User(HttpUser):
    @task
    def order(self):
        token = self.client.get("/items/1").json()["sku"]
        with self.client.post(
            "/orders", json={"sku": token}, headers={"X-Token": token}, catch_response=True
        ) as ordered:
            if ordered.status_code != 201:
                ordered.failure("not ordered")
