"""A Dask cluster as its command line starts it: a scheduler, and workers under nannies on addresses of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import distributed

from loadkit.drive.processes.child import MODULE
from tests.networks import Place, loopback
from tests.waiting import is_gone, wait_for

DASK = [sys.executable, "-P", "-m", "dask"]


START: Final = 120
"""Seconds that a cluster, or a run on it, may take to start on a busy machine: each process imports Dask."""


def children(pid: int) -> list[int]:
    """The processes that a process started, in their order."""
    try:
        tasks = [*Path(f"/proc/{pid}/task").iterdir()]
        return sorted(int(one) for task in tasks for one in (task / "children").read_text().split())
    except OSError:
        return []


def started(pid: int) -> list[int]:
    """A process, and all that it and those that it started have started."""
    return [pid, *(below for child in children(pid) for below in started(child))]


def is_generator(pid: int) -> bool:
    try:
        return MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


class Stock:
    """A scheduler in place 1, and its workers by the numbers of theirs: by default 127.0.0.2 and so on."""

    def __init__(self, port: int, tls: Sequence[str] = (), place: Callable[[int], Place] = loopback) -> None:
        self._scheme, self._tls, self._place = ("tls" if tls else "tcp"), tls, place
        self.port = port
        self.address = f"{self._scheme}://{place(1).address}:{port}"
        self.nannies: dict[int, subprocess.Popen[bytes]] = {}
        self.scheduler = self._run(1, "scheduler", "--port", str(port), *tls)

    def _run(self, number: int, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        address, before = self._place(number)
        return subprocess.Popen(
            [*before, *DASK, *words, "--host", f"{self._scheme}://{address}", "--no-dashboard"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )

    def add(self, *hosts: int, **env: str) -> None:
        """Start workers."""
        for host in hosts:
            self.nannies[host] = self._run(host, "worker", self.address, "--nthreads", "1", *self._tls, env=env)

    def await_workers(self, security: distributed.Security | None = None) -> None:
        """Until the scheduler knows those that were started, and no others."""
        with distributed.Client(self.address, set_as_default=False, timeout=60, security=security) as client:
            wait_for(lambda: len(client.nthreads()) == len(self.nannies), START)

    def await_scheduler(self) -> None:
        """Until the scheduler listens, wherever it is: its process sees the sockets of its own network."""
        listening = f":{self.port:04X} 00000000:0000 0A"
        wait_for(lambda: listening in Path(f"/proc/{self.scheduler.pid}/net/tcp").read_text(), START)

    def worker(self, host: int) -> int:
        """The process of a worker, which its nanny started."""
        return next(pid for pid in started(self.nannies[host].pid)[1:] if b"spawn_main" in _command(pid))

    def generators(self, host: int | None = None) -> list[int]:
        """The generators on a host, or on all."""
        nannies = [self.nannies[host]] if host else self.nannies.values()
        return [pid for nanny in nannies for pid in started(nanny.pid) if is_generator(pid)]

    def end(self) -> None:
        """End all that was started."""
        for one in [*self.nannies.values(), self.scheduler]:
            for pid in reversed(started(one.pid)):
                if not is_gone(pid):
                    os.kill(pid, signal.SIGKILL)
            one.wait()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def stock(
    *hosts: int, tls: Mapping[str, str] | None = None, place: Callable[[int], Place] = loopback
) -> Iterator[Stock]:
    """A scheduler with workers on these hosts; with the files of an authority, a certificate and its key by TLS.

    In networks that cannot be reached from here nothing but the scheduler is waited for.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: Any = sock.getsockname()[1]
    cluster = Stock(port, [f"--tls-{name}={file}" for name, file in (tls or {}).items()], place)
    files = {"tls_ca_file": "ca-file", "tls_client_cert": "cert", "tls_client_key": "key"}
    security = tls and distributed.Security(**{theirs: tls[name] for theirs, name in files.items()})
    try:
        cluster.add(*hosts)
        cluster.await_scheduler()
        if place is loopback:
            cluster.await_workers(security or None)
        yield cluster
    finally:
        cluster.end()
