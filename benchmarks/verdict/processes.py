"""Comparisons of real processes: the demo server with exponential delays, while another process disturbs the machine.

Each is a `loadkit compare` of its own, which starts a server for each version in each block.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import machine
from benchmarks.process import LOADKIT
from benchmarks.report import Target, table, targets_table

BUDGET: Final = 60.0
MEAN: Final = 0.010
"""Seconds of delay."""
NAIVE: Final = 0.05
BUSY, QUIET = 2.0, 4.0
"""Seconds for which the disturbing process is there and is not, on average."""

_SCENARIOS: Final = """\
from loadkit import Endpoint, Scenario

_server = {server!r}
old = Scenario(endpoints=[Endpoint('GET', '/exponential/{old:g}')], name="old", server=_server, threads=20)
new = Scenario(endpoints=[Endpoint('GET', '/exponential/{new:g}')], name="new", server=_server, threads=20)
"""


@dataclass(frozen=True, slots=True)
class Case:
    """How much slower the new version is in truth, and how often that is compared."""

    title: str
    change: float
    runs: int


@dataclass(slots=True)
class Found:
    """What the comparisons of a case came to."""

    verdicts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    naive: int = 0
    """How often single rounds of the same comparison differ by more than 5 % in p50 or throughput."""

    def add(self, comparison: dict[str, Any]) -> None:
        self.verdicts[comparison["verdict"]] += 1
        self.seconds.append(comparison["seconds"])
        self.naive += is_naively_worse(comparison)


CASES: Final = (Case("nothing changed", 0.0, 40), Case("mean delay +10 %", 0.10, 20))


def is_naively_worse(comparison: dict[str, Any]) -> bool:
    """What the first round of each version, and a fixed limit, would have said."""
    first = {one["version"]: one["figures"] for one in reversed(comparison["rounds"]) if "p50" in one["figures"]}
    old, new = first["old"], first["new"]
    return bool(new["p50"] > old["p50"] * (1 + NAIVE) or new["throughput"] < old["throughput"] / (1 + NAIVE))


def page(runs: int | None) -> str:
    """Measure; `runs` is how many comparisons of each kind, if not as many as asked for."""
    found = {}
    for case in CASES:
        found[case.title] = Found()
        for seed in range(runs or case.runs):
            comparison = compared(case.change, seed)
            found[case.title].add(comparison)
            sys.stderr.write(f"{case.title} {seed}: {_line(comparison)}\n")
    rows = [_row(title, one) for title, one in found.items()]
    head = ["changed", "comparisons", "worse", "no worse", "cannot tell", "took (longest)", "naive: worse"]
    about = (
        f"{machine.described()}. Budget {BUDGET:g} s; another process burns CPU for {BUSY:g} s on average, "
        f"and is gone for {QUIET:g} s."
    )
    return "\n\n".join([about, table(head, rows), targets_table(_targets(*found.values()))])


def compared(change: float, seed: int) -> dict[str, Any]:
    """One comparison, as `loadkit compare` stores it."""
    with tempfile.TemporaryDirectory() as folder, disturbed(seed):
        server = [sys.executable, "-m", "loadkit", "demo", "--port", "{port}"]
        scenarios, output = Path(folder, "scenarios.py"), Path(folder, "comparison.json")
        scenarios.write_text(_SCENARIOS.format(server=server, old=MEAN, new=MEAN * (1 + change)))
        words = [f"{scenarios}::new", "--against", f"{scenarios}::old", "--budget", f"{BUDGET}s", "--seed", str(seed)]
        subprocess.run([*LOADKIT, "compare", *words, "--quiet", "-o", output], check=False, timeout=5 * BUDGET)
        found: dict[str, Any] = json.loads(output.read_text())
        return found


@contextlib.contextmanager
def disturbed(seed: int) -> Iterator[None]:
    """Another process comes and goes on the same cores until the block is left, after 5 minutes at most."""
    child = subprocess.Popen([sys.executable, "-m", __name__, str(seed)])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def disturb(seed: int) -> None:
    """Burn CPU for some seconds and be quiet for some, again and again, for 5 minutes."""
    lot = random.Random(seed)
    end = time.monotonic() + 5 * BUDGET
    while time.monotonic() < end:
        time.sleep(lot.expovariate(1 / QUIET))
        until = time.monotonic() + lot.expovariate(1 / BUSY)
        while time.monotonic() < until:
            pass


def _line(comparison: dict[str, Any]) -> str:
    worse = [one for one in comparison["changes"] if one["decides"]]
    figures = ", ".join(f"{one['metric']} {one['verdict']}" for one in worse)
    return f"{comparison['verdict']} in {comparison['seconds']:.0f} s ({figures}) {comparison['reason']}"


def _row(title: str, found: Found) -> list[str]:
    verdicts = found.verdicts
    return [
        title,
        str(verdicts.total()),
        str(verdicts["worse"]),
        str(verdicts["no worse"] + verdicts["better"]),
        str(verdicts["cannot tell"]),
        f"{median(found.seconds):.0f} s ({max(found.seconds):.0f} s)",
        str(found.naive),
    ]


def _targets(same: Found, slower: Found) -> list[Target]:
    return [
        Target(claim="nothing changed: worse, at most 0", limit=0, figure=same.verdicts["worse"]),
        Target(
            claim="mean delay +10 %: no worse, at most 1",
            limit=1,
            figure=slower.verdicts["no worse"] + slower.verdicts["better"],
        ),
        Target(
            claim="mean delay +10 %: not called worse, at most 3",
            limit=3,
            figure=slower.verdicts.total() - slower.verdicts["worse"],
        ),
    ]


if __name__ == "__main__":
    disturb(int(sys.argv[1]))
