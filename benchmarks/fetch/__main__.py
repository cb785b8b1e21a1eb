"""`python -m benchmarks.fetch`: fetches the same lists with every program and writes the table into the page."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.fetch.peers import PEERS, Peer
from benchmarks.fetch.site import BODY, Site, running
from benchmarks.memory.status import Memory
from benchmarks.process import Failed, available_cores, interrupt_on_terminate, run
from benchmarks.report import Target, publish, table, targets_table

DELAYS = ("0", "1", "20", "100")
ARTICLE, OURS = "article, 20 threads", "loadkit fetch"
LIMIT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One program and one list."""

    asked: int
    files: int
    """With the right content."""
    wrong: int
    wall: float
    cpu: float
    peak: int
    reason: str = ""

    @property
    def rate(self) -> float:
        return self.files / self.wall if self.wall else 0.0

    @property
    def each(self) -> float:
        """CPU seconds a file."""
        return self.cpu / self.files if self.files else float("inf")

    def row(self, name: str, delay: str) -> list[str]:
        if self.reason:
            return [delay, name, "-", "-", "-", "-", f"left out: {self.reason}"]
        lost = self.asked - self.files
        note = ", ".join(
            filter(None, [f"{lost:,} missing" if lost > 0 else "", f"{self.wrong:,} wrong" if self.wrong else ""])
        )
        return [
            delay,
            name,
            f"{self.asked:,}",
            f"{self.rate:,.0f}",
            f"{self.each * 1e6:,.0f}" if self.files else "-",
            f"{self.peak / 1e6:.0f}",
            note or "all there",
        ]


def measure(peer: Peer, urls: list[str], folder: Path, core: int) -> Run:
    into, work = folder / "into", folder / "work"
    for path in (into, work):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    source = work / "urls.txt"
    source.write_text("\n".join(urls) + "\n")
    memory = Memory()
    reason = ""
    try:
        ended = run(peer.command(source, into, work), core=core, limit=LIMIT, folder=work, watch=memory.look)
        wall, cpu = ended.wall, ended.cpu
    except Failed as failure:
        # some exit with another code when one URL failed; their files count all the same
        wall, cpu, reason = 0.0, 0.0, str(failure)
    bodies = [
        path
        for path in into.rglob("*")
        if path.is_file() and path.name != "manifest.jsonl" and "failed" not in path.parts
    ]
    good = sum(path.stat().st_size == len(BODY) and path.read_bytes() == BODY for path in bodies)
    if reason and good:
        reason = ""
    return Run(
        asked=len(urls), files=good, wrong=len(bodies) - good, wall=wall, cpu=cpu, peak=memory.peak, reason=reason
    )


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fetch", description=__doc__)
    parser.add_argument("--urls", type=int, default=20_000, help="length of the list without delay (default 20,000)")
    parser.add_argument("--only", default="", metavar="NAMES", help="such as 'loadkit fetch,curl --parallel'")
    parser.add_argument("--delays", default=",".join(DELAYS), help="milliseconds, of 0, 1, 20 and 100")
    parser.add_argument("--note", action="append", default=[], help="a sentence to put above the table")
    parser.add_argument(
        "--write", action=argparse.BooleanOptionalAction, help="into docs/benchmarks.md (default: unless --only)"
    )
    return parser.parse_args()


def main() -> None:
    options = asked()
    interrupt_on_terminate()
    server_core, client_core = available_cores()
    peers = [peer for peer in PEERS if not options.only or peer.name in options.only.split(",")]
    head = ["delay ms", "program", "URLs", "files/s", "CPU us a file", "peak MB", "the files"]
    rows: list[list[str]] = []
    found: dict[tuple[str, str], Run] = {}
    notes = [
        f"{machine.described()}. nginx on core {server_core}, the program on core {client_core}.",
        machine.noise({server_core, client_core}),
        *options.note,
    ]
    # in memory where that is possible: how fast a disk is, is not the question
    shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="loadkit-fetch-", dir=shm) as name:
        folder = Path(name)
        with running(folder / "nginx", core=server_core) as site:
            slowed = site.delay("20")
            for delay in [*options.delays.split(","), "unhappy"]:
                for peer in peers:
                    one = _one(peer, site, delay, options.urls, folder, client_core)
                    found[delay, peer.name] = one
                    rows.append(one.row(peer.name, delay))
                    print("  ".join(rows[-1]), file=sys.stderr)
    text = "\n\n".join([" ".join(notes), table(head, rows), targets_table(targets(found, slowed))])
    publish("fetch", text, write=not options.only if options.write is None else options.write)


def _one(peer: Peer, site: Site, delay: str, count: int, folder: Path, core: int) -> Run:
    if reason := peer.missing():
        return Run(asked=0, files=0, wrong=0, wall=0, cpu=0, peak=0, reason=reason)
    if delay == "unhappy":
        return measure(peer, site.unhappy(count // 4), folder, core)
    share = 1 if delay in ("0", "1") else 4 if delay == "20" else 10
    if peer.slow:
        share *= 2 if delay == "0" else 10
    return measure(peer, site.urls(delay, max(50, count // share)), folder, core)


def targets(found: dict[tuple[str, str], Run], slowed: float) -> list[Target]:
    """What was asked of ourselves; `slowed` is how long a reply with 20 ms of delay takes, in seconds."""
    made = []
    ours, article = found.get(("0", OURS)), found.get(("0", ARTICLE))
    if ours and article and article.files:
        made.append(
            Target(
                claim="files a second of the article's threads over ours, at most 1/10",
                limit=0.1,
                figure=article.rate / ours.rate,
            )
        )
        made.append(
            Target(claim="our CPU a file over the article's, at most 1/10", limit=0.1, figure=ours.each / article.each)
        )
    for peer in ("aria2c -j20", "curl --parallel"):
        other = found.get(("0", peer))
        if ours and other and other.files:
            made.append(
                Target(claim=f"files a second of {peer} over ours, at most 1", limit=1.0, figure=other.rate / ours.rate)
            )
    slow = found.get(("20", OURS))
    if slow:
        # the start, 0.3 s, is no part of that
        made.append(
            Target(
                claim=f"time with 20 ms of delay over URLs / threads x {slowed * 1e3:.1f} ms, "
                "which one alone takes, at most 1.05",
                limit=1.05,
                figure=(slow.wall - 0.3) / (slow.asked / 20 * slowed),
            )
        )
    unhappy = found.get(("unhappy", OURS))
    if unhappy:
        made.append(Target(claim="files missing of the unhappy list", limit=0, figure=unhappy.asked - unhappy.files))
    return made


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"benchmarks.fetch: {failure}")
