"""Every shape of load that the README names, as an endpoint, as a journey and as an async journey.

A scenario file: worker processes load it by its path, too. Each scenario is a variable named after its shape and kind,
such as `ramp_up_journey`; what each must look like to the server stands in `test_shapes.py`, worked out by hand.
Without an assert and with asyncio only where it is used: each process imports pytest for the one and 0.1 s goes by.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from loadkit import Endpoint, Journey, Scenario, hold, ramp, rows, timer

TASKS = 2
"""How many tasks of an async journey run at once on a thread."""

WORK = "/work?ms=200"
"""Long enough that a thread of a closed workload nearly always has a request under way."""
QUICK = "/work?ms=20"

SHAPES: dict[str, dict[str, Any]] = {
    "constant_threads": {"threads": 4, "duration": 2},
    "iterations": {"threads": 4, "iterations": 30},
    "iterations_of_each_thread": {"threads": 4, "iterations_per_thread": 5},
    "ramp_up": {"phases": [ramp(3, to=6)]},
    "ramp_down": {"phases": [ramp(3, to=0, start=6)]},
    "up_hold_down": {"phases": [ramp(1, to=4), hold(1), ramp(1, to=0)]},
    "hold_then_ramp": {"phases": [hold(1, at=1), ramp(2, to=5)]},
    "nobody_then_ramp": {"phases": [hold(1, at=0), ramp(2, to=4)]},
    "steps": {"phases": [hold(1, at=1), ramp(0, to=4), hold(1), ramp(0, to=2), hold(1)]},
    "down_and_up_again": {"phases": [hold(1, at=4), ramp(0, to=1), hold(1), ramp(0, to=4), hold(1)]},
    "ramp_with_think_time": {"phases": [ramp(3, to=6)], "think_time": 0.2},
    "ramp_with_pacing": {"phases": [ramp(3, to=6)], "pacing": 0.4},
    "think_time": {"threads": 4, "duration": 3, "think_time": 0.3},
    "think_time_in_a_range": {"threads": 4, "duration": 3, "think_time": (0.1, 0.5)},
    "pacing": {"threads": 4, "duration": 3, "pacing": 0.5},
    "warm_up": {"threads": 4, "warmup": 1, "duration": 2},
}

RATES: dict[str, dict[str, Any]] = {
    "constant_rate": {"rate": 30, "duration": 2},
    "poisson": {"rate": 100, "arrivals": "poisson", "seed": 7, "duration": 3},
    "rate_up": {"phases": [ramp(2, to="40/s")]},
    "rate_down": {"phases": [ramp(2, to="0/s", start="40/s")]},
    "rate_steps": {"phases": [hold(1, at="10/s"), ramp(0, to="40/s"), hold(1), ramp(0, to="20/s"), hold(1)]},
    "iterations_at_a_rate": {"rate": 40, "iterations": 60},
    "warm_up_at_a_rate": {"rate": 30, "warmup": 1, "duration": 2},
}

FEEDS: dict[str, dict[str, Any]] = {
    "rows_in_order_again": {"order": "file", "at_end": "again"},
    "rows_in_order_once": {"order": "file", "at_end": "stop"},
    "rows_shuffled_again": {"order": "shuffled", "at_end": "again"},
    "rows_shuffled_once": {"order": "shuffled", "at_end": "stop"},
    "rows_at_random": {"order": "random", "at_end": "again"},
}
ROWS = 300


async def fetch(base_url: str, target: str) -> None:
    """One request on a connection of its own, without any client of loadkit's."""
    import asyncio

    where = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
    await reader.readuntil(b"}")
    writer.close()


def work(http):
    http.get(WORK).raise_for_status()


def quick(http):
    http.get(QUICK).raise_for_status()


def read(http, row):
    http.get(f"/rows/{row['id']}?ms=2").raise_for_status()


async def work_async(http):
    with timer("request"):
        await fetch(http.base_url, WORK)


async def quick_async(http):
    with timer("request"):
        await fetch(http.base_url, QUICK)


async def read_async(http, row):
    with timer("request"):
        await fetch(http.base_url, f"/rows/{row['id']}?ms=2")


def scenario(**plan: Any) -> Scenario:
    """A scenario that is aimed by whoever runs it."""
    return Scenario(base_url="http://127.0.0.1:1", **plan)


def ids() -> list[dict[str, int]]:
    """Rows, each with a number of its own."""
    return [{"id": number} for number in range(ROWS)]


for _shape, _plan in SHAPES.items():
    globals()[f"{_shape}_endpoint"] = scenario(endpoints=[Endpoint("GET", WORK)], **_plan)
    globals()[f"{_shape}_journey"] = scenario(endpoints=[work], **_plan)
    globals()[f"{_shape}_tasks"] = scenario(endpoints=[Journey(work_async, tasks_per_thread=TASKS)], **_plan)

for _shape, _plan in RATES.items():
    globals()[f"{_shape}_endpoint"] = scenario(endpoints=[Endpoint("GET", QUICK)], **_plan)
    globals()[f"{_shape}_journey"] = scenario(endpoints=[quick], **_plan)
    globals()[f"{_shape}_tasks"] = scenario(endpoints=[quick_async], **_plan)

for _shape, _order in FEEDS.items():
    for _workload, _load in {"": {"threads": 4}, "_at_a_rate": {"rate": 400}}.items():
        _plan = {**_load, "iterations": 400}
        _name = f"{_shape}{_workload}"
        _feed = rows(ids(), **_order)
        _endpoint, _journey = Endpoint("GET", "/rows/{id}?ms=2", feed=_feed), Journey(read, feed=_feed)
        globals()[f"{_name}_endpoint"] = scenario(endpoints=[_endpoint], **_plan)
        globals()[f"{_name}_journey"] = scenario(endpoints=[_journey], **_plan)
        _tasks: dict[str, Any] = {} if "rate" in _plan else {"tasks_per_thread": TASKS}
        globals()[f"{_name}_tasks"] = scenario(endpoints=[Journey(read_async, feed=_feed, **_tasks)], **_plan)

# what has no kinds: how the work is shared out
weights_endpoint = scenario(
    endpoints=[Endpoint("GET", "/often?ms=20", weight=3), Endpoint("GET", "/seldom?ms=20")], threads=4, iterations=200
)
weights_at_a_rate_endpoint = weights_endpoint.replace(rate=100, iterations=None, duration=2)
own_threads_endpoint = scenario(
    endpoints=[
        Endpoint("GET", "/shared?ms=200"),
        Endpoint("GET", "/own?ms=200", threads=3),
    ],
    threads=2,
    duration=2,
)


def often(http):
    http.get("/often?ms=20").raise_for_status()


def seldom(http):
    http.get("/seldom?ms=20").raise_for_status()


weights_journey = scenario(endpoints=[Journey(often, weight=3), seldom], threads=4, iterations=200)

# two seconds of quick replies, and slow ones from then on
_slowing = rows([{"ms": 5}] * 60 + [{"ms": 700}] * 600, at_end="stop")
_watched: dict[str, Any] = {"rate": 30, "duration": 20, "thresholds": ["p99 < 300ms over 2s or abort"]}


def slow_down(http, row):
    """The journey to a server that becomes slow."""
    http.get(f"/work?ms={row['ms']}").raise_for_status()


slowing_endpoint = scenario(endpoints=[Endpoint("GET", "/work?ms={ms}", feed=_slowing)], **_watched)
slowing_journey = scenario(endpoints=[Journey(slow_down, feed=_slowing)], **_watched)
