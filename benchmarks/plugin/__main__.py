"""`python -m benchmarks.plugin`: the same scenario in a test and on the command line, in turns, and into the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import machine, nginx, process
from benchmarks.process import LOADKIT, available_cores, interrupt_on_terminate
from benchmarks.report import Target, publish, table, targets_table
from loadkit.report.json import load

LOW, HIGH = 0.95, 1.05

FILE = """
from loadkit import Endpoint, Scenario

same = Scenario(endpoints=[Endpoint("GET", "{url}")], threads=16, duration={seconds}, warmup=0.5)


def test_same(load):
    load(same)
"""


def throughputs(url: str, rounds: int, seconds: float, folder: Path) -> tuple[list[float], list[float]]:
    """Of the command and of the test, round by round; which of them begins changes each time."""
    file = folder / "same.py"
    file.write_text(FILE.format(url=url, seconds=seconds))
    results = folder / "results"
    by_command, by_test = folder / "command.json", results / "same.py-test_same.json"
    quiet = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder)]
    ways = [
        ([*LOADKIT, "run", f"{file}::same", "--quiet", "--output", str(by_command)], by_command),
        ([sys.executable, "-m", "pytest", *quiet, f"{file}::test_same", "--load-json", str(results)], by_test),
    ]
    found: dict[Path, list[float]] = {by_command: [], by_test: []}
    for number in range(rounds):
        for command, stored in ways if number % 2 else reversed(ways):
            stored.unlink(missing_ok=True)
            process.run(command, core=available_cores()[1], limit=60 + seconds, folder=folder)
            found[stored].append(load(stored)[0].throughput)
    return found[by_command], found[by_test]


def page(by_command: list[float], by_test: list[float], seconds: float, noise: str) -> str:
    """What was found, and whether it is what was asked."""
    ratios = [test / command for test, command in zip(by_test, by_command, strict=True)]
    middle = median(ratios)
    # both limits as one: how far from 1, in either direction
    target = Target(
        claim=f"load(...) finds {LOW} to {HIGH} times the throughput of loadkit run: off by at most",
        limit=round(HIGH - 1, 3),
        figure=abs(middle - 1),
    )
    rows = [
        ["`loadkit run`", _spread(by_command)],
        ["`load(...)` in pytest", _spread(by_test)],
        ["ratio of a round", f"{middle:.3f} ({min(ratios):.3f}-{max(ratios):.3f})"],
    ]
    parts = [
        f"{machine.described()}. {len(ratios)} rounds of {seconds:g} s, in turns. {noise}",
        table(["16 threads, nginx on the other core", "requests/s (min-max)"], rows),
        targets_table([target]),
    ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plugin", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="runs of each, in turns (default 9)")
    parser.add_argument("--seconds", type=float, default=3, help="of each run (default 3)")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    interrupt_on_terminate()
    noise = machine.noise(available_cores())
    with tempfile.TemporaryDirectory(prefix="loadkit-plugin-") as name:
        folder = Path(name)
        with nginx.running(folder, core=available_cores()[0]) as server:
            found = throughputs(server.url("http"), options.rounds, options.seconds, folder)
    publish("plugin", page(*found, options.seconds, noise), write=options.write)


def _spread(values: list[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


if __name__ == "__main__":
    main()
