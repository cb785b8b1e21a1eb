import csv
from itertools import cycle
from pathlib import Path

from locust import HttpUser, task

with Path("words.csv").open() as file:
    WORDS = cycle([row["word"] for row in csv.DictReader(file)])


class User(HttpUser):
    @task(3)
    def home(self):
        self.client.get("/")

    @task
    def search(self):
        with self.client.get("/search", params={"q": next(WORDS)}, name="/search", catch_response=True) as reply:
            if not reply.json()["items"]:
                reply.failure("found nothing")

    @task
    def order(self):
        self.client.post("/orders", json={"sku": "SKU-0001"})
