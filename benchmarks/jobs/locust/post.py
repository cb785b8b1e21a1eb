from locust import HttpUser, task


class User(HttpUser):
    @task
    def order(self):
        self.client.post("/orders", json={"sku": "SKU-0001"})
