"""Parts of a load in processes of their own: each request is sent once, by the part whose it is, when it is due."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from statistics import median

import msgspec
import pytest

from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.measure.histogram import Histogram
from loadkit.report.json import load
from tests.witness.witness import Log, Witness

SHOP = """
from itertools import count
from loadkit import Endpoint, Scenario, rows

numbers = rows({"n": n} for n in count())
timed = Scenario(endpoints=[Endpoint("GET", "/rows/{n}", name="row", feed=numbers)], rate="100/s", iterations=200)
closed = Scenario(endpoints=[Endpoint("GET", "/")], threads=7, iterations=150)
minute = Scenario(endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/more")], rate="400/s", iterations=24_000)
"""

EARLY = 0.001
"""Seconds by which two clocks of one machine may differ, as they are read one after the other."""


def run_parts(folder: Path, name: str, parts: int, url: str, *options: str, many: bool = False) -> list[Path]:
    """Run all at the same time, each as its own process, which says in a header which part it is; name their files.

    Of many addresses the first part aims at 127.0.0.2, the second at 127.0.0.3, and so on.
    """
    (folder / "shop.py").write_text(SHOP)
    files = [folder / f"part{number}.json" for number in range(1, parts + 1)]
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "loadkit", "run", f"shop.py::{name}", "--part", f"{number}/{parts}"),
                *("--output", file.name, "-q"),
                *("--base-url", url.replace("127.0.0.1", f"127.0.0.{number + 1}") if many else url),
                *("-H", f"X-Part: {number}", *options),
            ],
            cwd=folder,
        )
        for number, file in enumerate(files, 1)
    ]
    assert [process.wait(150) for process in processes] == [0] * parts
    return files


def assert_each_was_sent_when_due(log: Log, parts: Sequence[Result], at: datetime, rate: float) -> None:
    """The row of a request is the number of its arrival."""
    late = {part.machines[0].part: part.machines[0].late_start for part in parts}
    after = []
    for one, number in zip(log.requests, log.ids(), strict=True):
        part = number % len(parts) + 1
        assert int(one.headers["x-part"]) == part
        after.append(one.received - (at.timestamp() + late[part] + number / rate))
    assert min(after) > -EARLY, "none is early"
    assert median(after) < 0.2, "and most are in time even on a busy machine"


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["processes=1", "processes=2"])
def test_each_arrival_is_sent_once_by_its_part_at_its_instant(
    options: tuple[str, ...], witness: Witness, tmp_path: Path
):
    witness.clear()
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=15)

    files = run_parts(tmp_path, "timed", 3, witness.url, "--at", at.isoformat(), *options)

    log, parts = witness.log().of_method("GET"), [load(file)[0] for file in files]
    assert sorted(log.ids()) == list(range(200))
    assert_each_was_sent_when_due(log, parts, at, 100)
    merged = merge(parts)
    assert merged.requests == 200
    assert [one.requests for one in merged.machines] == [67, 67, 66]


def test_threads_and_iterations_of_parts_are_those_of_the_whole(witness: Witness, tmp_path: Path):
    witness.clear()

    files = run_parts(tmp_path, "closed", 3, witness.url)

    log, merged = witness.log(), merge([load(file)[0] for file in files])
    assert len(log) == merged.requests == 150
    # threads 0, 3 and 6 are those of the first part, and so on; the first three threads have 22, the others 21
    assert Counter(one.headers["x-part"] for one in log.requests) == {"1": 64, "2": 43, "3": 43}
    assert len(log.by_connection()) == 7


@pytest.mark.witness
@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 to 127.0.0.5 are addresses of Linux")
def test_a_minute_of_four_parts_at_four_addresses_is_counted_to_the_last_request(witness: Witness, tmp_path: Path):
    witness.clear()
    at = datetime.now(UTC) + timedelta(seconds=15)

    files = run_parts(tmp_path, "minute", 4, witness.url, "--at", at.isoformat(), many=True)

    log, parts = witness.log().of_method("GET"), [load(file)[0] for file in files]
    hosts = Counter(one.headers["host"].partition(":")[0] for one in log.requests)
    assert hosts == {f"127.0.0.{number}": 6000 for number in range(2, 6)}
    merged = merge(parts)
    assert merged.requests == 24_000
    assert merged.total.response_time.histogram == sum_of(part.total.response_time.histogram for part in parts)
    for shuffled in permutations(parts, 4):
        assert msgspec.json.encode(merge(shuffled)) == msgspec.json.encode(merged)


def sum_of(histograms: Iterable[Histogram]) -> Histogram:
    whole = Histogram()
    for one in histograms:
        whole.add(one)
    return whole
