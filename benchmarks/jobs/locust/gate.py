from locust import HttpUser, constant_throughput, events, task


class User(HttpUser):
    wait_time = constant_throughput(10)

    @task
    def home(self):
        self.client.get("/")


@events.quitting.add_listener
def judge(environment, **_):
    total = environment.stats.total
    if total.fail_ratio > 0 or total.get_response_time_percentile(0.99) > 250:
        environment.process_exit_code = 1
