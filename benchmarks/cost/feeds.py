"""`python -m benchmarks.cost.feeds`: CPU a request of an endpoint with a feed, against the same without one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import machine, nginx
from benchmarks.process import available_cores, interrupt_on_terminate
from loadkit import Endpoint, Scenario, rows, run

ROUNDS = 5
SECONDS = 2
ROWS = 100_000
PLAIN = "unfed"


def main() -> None:
    interrupt_on_terminate()
    server_core, client_core = available_cores()
    with (
        tempfile.TemporaryDirectory(prefix="loadkit-feeds-") as name,
        nginx.running(Path(name), core=server_core) as up,
    ):
        os.sched_setaffinity(0, {client_core})
        endpoints = _endpoints(Path(name))
        costs: dict[str, list[float]] = {name: [] for name in endpoints}
        for _ in range(ROUNDS):
            # in turn, so that what else the machine does hits all of them
            for kind, endpoint in endpoints.items():
                costs[kind].append(_cost(endpoint, up.url("http")))
    print(machine.noise({server_core, client_core}))
    for kind, found in costs.items():
        more = median(cost - plain for cost, plain in zip(found, costs[PLAIN], strict=True))
        print(f"{kind:24} {median(found):6.2f} us a request, {more:+6.2f} (best {min(found):.2f})")


def _endpoints(folder: Path) -> dict[str, Endpoint]:
    table, lines = folder / "users.csv", folder / "users.jsonl"
    table.write_text("id,name\n" + "".join(f"{n},user {n}\n" for n in range(ROWS)))
    lines.write_text("".join(f'{{"id": {n}, "name": "user {n}"}}\n' for n in range(ROWS)))
    many = [{"id": str(n), "name": f"user {n}"} for n in range(ROWS)]
    fed = {
        "a list": rows(many),
        "csv": rows(table),
        "csv, shuffled": rows(table, order="shuffled"),
        "JSON lines": rows(lines),
    }
    body = {"user": "{id}", "note": "for {name}"}
    return {
        PLAIN: Endpoint("GET", "/users/12345"),
        **{kind: Endpoint("GET", "/users/{id}", feed=feed) for kind, feed in fed.items()},
        "unfed, with a body": Endpoint("POST", "/orders", json={"user": "12345", "note": "for user 12345"}),
        "csv, with a body": Endpoint("POST", "/orders", json=body, feed=rows(table)),
    }


def _cost(endpoint: Endpoint, url: str) -> float:
    """CPU in microseconds, of the run alone."""
    result = run(Scenario(base_url=url.rstrip("/"), endpoints=[endpoint], threads=16, duration=SECONDS))
    assert result.total.requests == sum(result.statuses.values()), result.total.failures
    return result.environment.cpu_seconds / result.total.requests * 1e6


if __name__ == "__main__":
    main()
