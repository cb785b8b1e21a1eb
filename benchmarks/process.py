"""Child processes, pinned, timed and ended by their own handle."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LOADKIT = [sys.executable, "-m", "loadkit"]
Cores = int | frozenset[int]
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


class Failed(Exception):
    """A child did not do what was asked of it: the message says what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One ended child: its exit code, its output, and what it took in seconds."""

    code: int
    output: str
    wall: float
    cpu: float


def available_cores() -> tuple[int, int]:
    """The core of the server and the core of the client: the same one when there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[min(1, len(cores) - 1)]


@contextlib.contextmanager
def pinned_to(cores: Cores | None) -> Iterator[None]:
    """What is started inside inherits the cores, if any are named; taskset would leave an exec in the account."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if cores is None else {cores} if isinstance(cores, int) else cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(command: Sequence[str | Path], *, core: Cores, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a child on one core, as the leader of a process group of its own."""
    with pinned_to(core):
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def run(
    command: Sequence[str | Path],
    *,
    core: Cores,
    limit: float,
    folder: Path,
    watch: Callable[[int], None] | None = None,
    accepted: Container[int] = (0,),
) -> Finished:
    """Run a child to its end, calling `watch(pid)` ten times a second.

    `Failed` when it is late, or ends with another exit code than those accepted.
    """
    log = folder / "output.txt"
    with log.open("wb") as output:
        began = time.monotonic()
        child = start(command, core=core, output=output)
        try:
            _wait_for_end(child, limit, watch)
            wall = time.monotonic() - began
            cpu = _reap(child)
        finally:
            kill(child)
    text = log.read_text(errors="replace")
    if child.returncode not in accepted:
        raise Failed(f"exit code {child.returncode}: {_last_line(text)}")
    return Finished(code=child.returncode, output=text, wall=wall, cpu=cpu)


def kill(child: subprocess.Popen[bytes]) -> None:
    """End a child that still runs, with all it started."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def interrupt_on_terminate() -> None:
    """Let SIGTERM unwind like Ctrl-C, so that every `finally` runs and no child stays behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _wait_for_end(child: subprocess.Popen[bytes], limit: float, watch: Callable[[int], None] | None) -> None:
    deadline = time.monotonic() + limit
    handle = os.pidfd_open(child.pid)
    try:
        while not select.select([handle], [], [], 0.1 if watch else limit)[0]:
            if time.monotonic() >= deadline:
                raise Failed(f"still running after {limit:.0f} s")
            if watch:
                watch(child.pid)
    finally:
        os.close(handle)


def _reap(child: subprocess.Popen[bytes]) -> float:
    """CPU seconds of the child and of every descendant it waited for: exact, the kernel's own account."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _environment() -> dict[str, str]:
    """Ours without proxies, for the load must not leave the machine, and with bytecode kept, as is usual."""
    given = os.environ.items()
    return {name: value for name, value in given if name != NO_BYTECODE and not name.lower().endswith("_proxy")}


def _last_line(text: str) -> str:
    # a reason ends up in docs/benchmarks.md, where a path of this machine has no place
    lines = [line.strip(" │╰╯─") for line in text.replace(sys.executable, "python").splitlines()]
    return next((line for line in reversed(lines) if line), "no output")[:200]
