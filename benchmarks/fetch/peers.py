"""What people use to fetch a list of URLs, and how each is started."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fetch import programs
from benchmarks.process import LOADKIT

Words = Sequence[str | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One program. `command` gets the list, the empty folder for its files, and one for what it needs besides."""

    name: str
    command: Callable[[Path, Path, Path], Words]
    binary: str = ""
    slow: bool = False
    """One at a time: it gets a tenth of the list where the server has a delay."""

    def missing(self) -> str:
        return "" if not self.binary or shutil.which(self.binary) else f"{self.binary} is not installed"


def _article(program: str) -> Callable[[Path, Path, Path], Words]:
    def command(urls: Path, into: Path, work: Path) -> Words:
        script = work / "program.py"
        script.write_text(program)
        return [sys.executable, script, urls, into]

    return command


def _aria2(urls: Path, into: Path, _: Path) -> Words:
    return ["aria2c", "--quiet", "-j20", "--allow-overwrite=false", "--file-allocation=none", "-d", into, "-i", urls]


def _curl(urls: Path, into: Path, work: Path) -> Words:
    config = work / "curl.cfg"
    lines = [f'url="{url}"\noutput="{into}/{k}.json"' for k, url in enumerate(urls.read_text().split("\n")) if url]
    config.write_text("\n".join(lines))
    return ["curl", "--silent", "--globoff", "--parallel", "--parallel-max", "20", "--config", config]


def _wget(urls: Path, into: Path, _: Path) -> Words:
    return ["wget", "--quiet", "-i", urls, "-P", into]


def _loadkit(*more: str) -> Callable[[Path, Path, Path], Words]:
    def command(urls: Path, into: Path, _: Path) -> Words:
        return [*LOADKIT, "fetch", urls, "--into", into, "--quiet", *more]

    return command


PEERS = (
    Peer(name="article, single", command=_article(programs.SINGLE), slow=True),
    Peer(name="article, 20 threads", command=_article(programs.THREADED)),
    Peer(name="aria2c -j20", command=_aria2, binary="aria2c"),
    Peer(name="curl --parallel", command=_curl, binary="curl"),
    Peer(name="wget -i", command=_wget, binary="wget", slow=True),
    Peer(name="loadkit fetch", command=_loadkit("--threads", "20")),
    Peer(name="loadkit fetch --single", command=_loadkit("--single"), slow=True),
)
