"""A Dask cluster as its command line starts it, on loopback addresses, and the CPU that its own processes take."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed import Client

from benchmarks.process import Cores, kill, start

DASK = [sys.executable, "-P", "-m", "dask"]


@contextmanager
def running(workers: int, *, port: int, core: Cores) -> Iterator[Client]:
    """A client of a scheduler with workers under nannies on 127.0.0.2 and so on."""
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    hosts = [["--host", f"127.0.0.{2 + k}", "--nthreads", "1", "--no-dashboard"] for k in range(workers)]
    with tempfile.TemporaryFile() as output, ExitStack() as stack:
        for words in [scheduler, *(["worker", address, *host] for host in hosts)]:
            stack.callback(kill, start([*DASK, *words], core=core, output=output))
        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
            yield client


def dask_cpu_seconds(client: Client) -> float:
    """What the scheduler and the workers have used, the generators that they started not among them."""
    workers = client.run(os.getpid)
    pids = [client.run_on_scheduler(os.getpid), *workers.values()]
    return sum(_cpu_seconds(pid) for pid in pids)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
