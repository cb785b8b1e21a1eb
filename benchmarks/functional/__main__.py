"""`python -m benchmarks.functional`: what a functional test costs under load, and writes it into the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import machine, process
from benchmarks.functional import locust_style
from benchmarks.memory.status import MB, Memory
from benchmarks.process import available_cores, interrupt_on_terminate
from benchmarks.report import Target, publish, table, targets_table

FEW: Final = 5_000
MANY: Final = 45_000
CALLS: Final = 5_000_000
LONG: Final = 200_000
COST: Final = 150.0
GROWTH: Final = 1.05

FILE: Final = """
import pytest


@pytest.fixture
def database():
    yield {}


@pytest.fixture
def user(database):
    return "ann"


@pytest.fixture
def order(database, user, request):
    yield 1


def test_empty(database, user, order):
    pass


def test_by_hand():
    for _ in range(@CALLS@):
        test_empty({}, "ann", 1)
"""


def cpu(folder: Path, name: str, *options: str, memory: Memory | None = None, file: str = "test_it.py") -> float:
    """CPU seconds of a pytest that runs one of the tests."""
    quiet = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder)]
    command = [sys.executable, "-m", "pytest", *quiet, f"{folder / file}::{name}", *options]
    watch = memory.look if memory else None
    return process.run(command, core=available_cores()[1], limit=300, folder=folder, watch=watch).cpu


def runs(count: int) -> list[str]:
    return ["--load-threads", "1", "--load-iterations", str(count)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.functional", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turns (default 5)")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    interrupt_on_terminate()
    loaded, by_hand, one, peer = [], [], [], []
    refused = "not installed"
    few, long = Memory(), Memory()
    with tempfile.TemporaryDirectory(prefix="loadkit-functional-") as name:
        folder = Path(name)
        (folder / "test_it.py").write_text(FILE.replace("@CALLS@", str(CALLS)))
        both = locust_style.write_files(folder / "one")
        if locust_style.LOCUST.exists():
            refused = locust_style.refusal(folder / "test_it.py", folder)
        for _ in range(options.rounds):
            start = cpu(folder, "test_empty", *runs(FEW), memory=few)
            loaded.append((cpu(folder, "test_empty", *runs(MANY)) - start) / (MANY - FEW) * 1e6)
            by_hand.append((cpu(folder, "test_by_hand") - cpu(folder, "test_empty")) / CALLS * 1e6)
            start = cpu(both.parent, "test_one", *runs(FEW), file=both.name)
            one.append((cpu(both.parent, "test_one", *runs(MANY), file=both.name) - start) / (MANY - FEW) * 1e6)
            if locust_style.LOCUST.exists():
                peer.append(locust_style.cost(both, folder))
        cpu(folder, "test_empty", *runs(LONG), memory=long)
    rows = [
        ["called by hand", f"{median(by_hand):.2f} ({min(by_hand):.2f}-{max(by_hand):.2f})"],
        ["under load, with three fixtures made anew", _shown(loaded)],
        ["the same by Locust's pytest style", refused],
        ["under load, `time.sleep(0)` with one fixture made anew", _shown(one)],
        ["by Locust's pytest style, the fixture made once for a user, in no figure", _shown(peer)],
    ]
    targets = [
        Target(claim=f"an empty test with three fixtures: at most {COST:g} us of CPU over calling it by hand",
               limit=COST, figure=median(loaded) - median(by_hand), unit=" us"),
        Target(claim=f"peak after {LONG:,} runs of it: at most {GROWTH:g} x that after {FEW:,}",
               limit=GROWTH, figure=long.peak / few.peak, unit=" x"),
    ]  # fmt: skip
    parts = [
        f"{machine.described()}. {options.rounds} rounds, in turns; peak {long.peak / MB:.1f} MB.",
        table(["one run of an empty test", "us of CPU (min-max)"], rows),
        targets_table(targets),
    ]
    publish("functional", "\n\n".join(parts), write=options.write)


def _shown(found: Sequence[float]) -> str:
    return f"{median(found):.1f} ({min(found):.1f}-{max(found):.1f})" if found else "not installed"


if __name__ == "__main__":
    main()
