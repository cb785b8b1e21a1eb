"""The servers: nginx for replies at once, and one of our own for known delays and for stalls."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import nginx
from benchmarks.process import Failed, available_cores, kill, run, start

SOURCE = Path(__file__).with_name("server.c")


@dataclass(slots=True)
class Server:
    """A running server. When its block is left, it says how many requests it answered, and after which delays."""

    port: int
    answered: int = 0
    delays: list[int] = field(default_factory=list)
    """Nanoseconds from the read of each request to the send of its reply, if the server notes them."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


def missing(folder: Path) -> str:
    """Why the servers cannot run, or nothing; compiles ours."""
    try:
        nginx.binary()
        compile_into(folder)
    except Failed as failure:
        return str(failure)
    return ""


def compile_into(folder: Path) -> None:
    """Make our server; `Failed` with what the compiler says."""
    if not shutil.which("gcc"):
        raise Failed("gcc is not here; on Debian: apt-get install gcc libc6-dev")
    command: list[str | Path] = ["gcc", "-O2", "-o", program(folder), SOURCE, "-lm"]
    run(command, core=available_cores()[0], limit=60, folder=folder)


def program(folder: Path) -> Path:
    return folder / "server"


@contextlib.contextmanager
def running(kind: str, folder: Path, *, core: int) -> Iterator[Server]:
    """A fresh server that is `prompt`, `delays` or `stalls`, on one core, gone at the end of the block."""
    with _nginx(folder, core) if kind == "prompt" else _our_own(kind, folder, core) as server:
        yield server


@contextlib.contextmanager
def _nginx(folder: Path, core: int) -> Iterator[Server]:
    with nginx.running(folder, core=core) as real:
        before = real.requests()
        server = Server(port=real.plain_port)
        yield server
        # the second question has counted itself; the first one is in `before`
        server.answered = real.requests() - before - 1


@contextlib.contextmanager
def _our_own(kind: str, folder: Path, core: int) -> Iterator[Server]:
    nginx.raise_file_limit()
    log, output = folder / "delays.bin", folder / "server.out"
    server = Server(port=nginx.free_port())
    with output.open("wb") as said:
        child = start([program(folder), str(server.port), kind, log], core=core, output=said)
    try:
        _wait_until_it_listens(server.port, child, output)
        yield server
        _end(child, output)
        server.delays = _noted(log)
        server.answered = len(server.delays)
    finally:
        kill(child)


def _wait_until_it_listens(port: int, child: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + 10
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise Failed(f"the server did not start: {output.read_text().strip() or 'it says nothing'}")


def _end(child: subprocess.Popen[bytes], output: Path) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        code = child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        raise Failed("the server does not end") from None
    if code != 0:
        raise Failed(f"the server failed: {output.read_text().strip() or f'exit code {code}'}")


def _noted(log: Path) -> list[int]:
    delays = array("q")
    delays.frombytes(log.read_bytes())
    return delays.tolist()
