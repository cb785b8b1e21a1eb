"""`python -m benchmarks.live`: runs without a page and with one that ten viewers look at, in turns, into the page."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import machine, nginx, process
from benchmarks.process import LOADKIT, ROOT, Failed, available_cores, interrupt_on_terminate
from benchmarks.report import Target, publish, table, targets_table
from loadkit.judge.comparison.comparison import Changed, Comparison
from loadkit.judge.result import Result
from loadkit.report.json import dump, load, load_stored

VIEWERS = 10
ENDPOINTS = 10

FILE = """
from loadkit import Endpoint, Scenario

closed = Scenario(
    base_url="{url}",
    endpoints=[Endpoint("GET", f"/{{k}}") for k in range({endpoints})],
    threads=16,
    duration={seconds},
    warmup=1,
)
paced = closed.replace(threads=100, pacing=0.1)
by_the_clock = closed.replace(rate="1000/s", max_threads=64)
"""
SCENARIOS = {
    "closed": "16 threads, as fast as they can",
    "paced": "100 threads, ten requests/s each",
    "by_the_clock": "1,000 requests/s by the clock",
}
ROOM = ("paced", "by_the_clock")
"""Loads that leave CPU to others; whatever else runs takes some of what the first one gets, viewers as well."""


class Viewers:
    """Viewers of the page of a run, which come when its URL is printed."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, _: int) -> None:
        """Come, if the run has said where its page is."""
        found = None if self._process else re.search(r"http://127\.0\.0\.1:\d+/\S+", self._log.read_text())
        if found:
            command = [sys.executable, "-m", "benchmarks.live.viewers", found[0], str(VIEWERS)]
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)

    def pages(self) -> int:
        """How many pages they have taken, once the run is over."""
        if self._process is None:
            raise Failed("the run has not said where its page is")
        said, _ = self._process.communicate(timeout=60)
        return int(json.loads(said)["pages"])


def measure(name: str, rounds: int, seconds: float, url: str, folder: Path) -> tuple[Comparison, float]:
    """What `loadkit compare` says of a run that is looked at, and how many pages each viewer took in one."""
    file, stored = folder / "looked_at.py", folder / "round.json"
    file.write_text(FILE.format(url=url.rstrip("/"), seconds=seconds, endpoints=ENDPOINTS))
    command = [*LOADKIT, "run", f"{file}::{name}", "--quiet", "--output", str(stored)]
    alone: list[Result] = []
    looked_at: list[Result] = []
    pages: list[int] = []
    for number in range(rounds):
        for is_live in (True, False) if number % 2 else (False, True):
            viewers = Viewers(folder / "output.txt")
            process.run(
                [*command, *(["--live"] if is_live else [])],
                core=frozenset(available_cores()),
                limit=60 + seconds,
                folder=folder,
                watch=viewers.watch if is_live else None,
                # on a machine that was busy a round may be unsound, which compare leaves out
                accepted=(0, 6),
            )
            (looked_at if is_live else alone).extend(load(stored))
            if is_live:
                pages.append(viewers.pages())
    return compared(alone, looked_at, folder), median(pages) / VIEWERS


def compared(alone: list[Result], looked_at: list[Result], folder: Path) -> Comparison:
    """By the command, as a user would."""
    before, after, found = (folder / f"{name}.json" for name in ("alone", "looked-at", "found"))
    before.write_text(dump(alone))
    after.write_text(dump(looked_at))
    command = [*LOADKIT, "compare", str(before), str(after), "--quiet", "--output", str(found)]
    process.run(command, core=frozenset(available_cores()), limit=300, folder=folder, accepted=(0, 1, 6))
    comparison = load_stored(found)
    assert isinstance(comparison, Comparison)
    return comparison


def page(found: dict[str, tuple[Comparison, float]], rounds: int, seconds: float, noise: str) -> str:
    """What was found, and whether it is what was asked."""
    rows = [
        [SCENARIOS[name], one.metric, *_shown(one), one.verdict]
        for name, (comparison, _) in found.items()
        for one in comparison.changes
        if one.decides and not one.is_share
    ]
    taken = ", ".join(f"{pages:.0f}" for _, pages in found.values())
    verdicts = {name: comparison.verdict for name, (comparison, _) in found.items()}
    target = Target(
        claim=f"loads with {VIEWERS} viewers, of {len(ROOM)}, that `loadkit compare` calls neither no worse nor better",
        limit=0,
        figure=sum(verdicts[name] not in ("no worse", "better") for name in ROOM),
    )
    about = f"{rounds} rounds of {seconds:g} s each, in turns; each viewer took {taken} pages in one"
    parts = [
        f"{machine.described()}. {about}. `loadkit compare`: {', '.join(verdicts.values())}. {noise}",
        table([f"{ENDPOINTS} endpoints, nginx", "figure", "alone", "looked at", "change (95 %)", "verdict"], rows),
        targets_table([target]),
    ]
    return "\n\n".join(parts)


def _shown(one: Changed) -> list[str]:
    """Before, after, and the change with its interval, in percent."""
    values = [f"{value:,.0f}/s" if one.metric == "throughput" else f"{value * 1e6:,.0f} us" for value in
              (one.before or 0.0, one.after or 0.0)]  # fmt: skip
    edges = [f"{(edge - 1) * 100:+.1f}" for edge in (one.low, one.high) if edge is not None]
    return [*values, f"{((one.ratio or 1.0) - 1) * 100:+.1f} % ({' to '.join(edges)})"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of each, in turns (default 8)")
    parser.add_argument("--seconds", type=float, default=6, help="of each round (default 6)")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    interrupt_on_terminate()
    noise = machine.noise(available_cores())
    with tempfile.TemporaryDirectory(prefix="loadkit-live-") as name:
        folder = Path(name)
        with nginx.running(folder, core=available_cores()[0]) as server:
            url = server.url("http")
            found = {one: measure(one, options.rounds, options.seconds, url, folder) for one in SCENARIOS}
    publish("live", page(found, options.rounds, options.seconds, noise), write=options.write)


if __name__ == "__main__":
    main()
