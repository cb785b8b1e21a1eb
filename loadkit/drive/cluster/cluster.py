"""A Dask cluster that has the machines of a run: how it is reached, and which of its workers are kept for the run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pkgutil
import platform
import random
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

import loadkit
from loadkit.drive.cluster.files import Upload, upload_for
from loadkit.drive.cluster.relay import LEASE, Place, answer, end_generator, reserve_generator
from loadkit.drive.cluster.remote_process import RemoteProcess
from loadkit.plan.errors import Interrupted, UsageError, reason_of
from loadkit.plan.units import SECOND, nanoseconds

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

    from loadkit.drive.processes.protocol import Assignment
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.base import Clock

WITHIN: Final = 30.0
"""Seconds that a run waits by default until there are as many workers as it is to have."""

_LOCAL: Final = "local:"
_NO_INTERRUPTS: Final = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers here run first: a Ctrl-C in a terminal is for the whole group of processes, and theirs is to drain."""
_CONNECT: Final = 5.0
_LOOK: Final = 0.2
_PATIENCE: Final = LEASE
"""Seconds that a worker has to answer, who may import loadkit first; one that is frozen does not."""

NO_TLS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """The workers of a cluster that are kept for a run."""

    workers: list[RemoteProcess]
    upload: Upload

    def assigned(self, assignments: Sequence[Assignment]) -> list[Assignment]:
        """The same with where each finds the scenario on its machine, and how long it goes on with nobody to tell."""
        return [msgspec.structs.replace(one, source=self.upload.source, path=[], lease=LEASE) for one in assignments]

    def open_channel(self, assignment: Assignment) -> RemoteProcess:
        """Start the generator of a part."""
        part, worker = assignment.part, self.workers[assignment.part.process]
        worker.start(part.process + 1, part.processes, self.upload.files, self.upload.folder)
        return worker


@contextmanager
def connected(on: str | Client, tls: Mapping[str, str] = NO_TLS) -> Iterator[Client]:
    """A client of the scheduler at an address, or of `local:4`, a cluster of processes here that ends with the block.

    `tls` has the names of files: `tls_ca_file`, `tls_client_cert` and `tls_client_key`; without any, Dask's own
    configuration may have them. Raises `UsageError` where there is none to be reached.
    """
    if not isinstance(on, str):
        if on.asynchronous:
            raise UsageError("run takes a Client that is not asynchronous: it waits for the end of the run")
        yield on
        return
    try:
        import distributed
    except ImportError:
        raise UsageError("other machines are reached by Dask: pip install 'pytest-loadkit[dask]'") from None
    with ExitStack() as stack:
        if on.startswith(_LOCAL):
            cluster = stack.enter_context(_local_cluster(on))
            yield stack.enter_context(distributed.Client(cluster, set_as_default=False))
            return
        address, place = _address(on)
        try:
            security = distributed.Security(**tls)
            arguments = security.get_connection_args("client")
            if on.startswith("tls:") and not arguments.get("ssl_context"):
                raise UsageError(f"{on} wants certificates: --dask-tls-ca-file, --dask-tls-cert and --dask-tls-key")
            # a client tries again where it is refused, for as long as it may need to reconnect in the middle of a run
            socket.create_connection(place, timeout=_CONNECT).close()
            client = distributed.Client(address, timeout=LEASE, set_as_default=False, security=security)
        except (OSError, ValueError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            raise UsageError(f"no Dask scheduler can be reached at {on} ({reason.partition(chr(10))[0]})") from None
        yield stack.enter_context(client)


def _address(on: str) -> tuple[str, tuple[str, int]]:
    """The address of a scheduler as Dask has it, and where that listens."""
    address = on if "://" in on else f"tcp://{on}"
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        if parts.scheme in ("tcp", "tls", "ws", "wss") and parts.hostname and parts.port:
            return address, (parts.hostname, parts.port)
    raise UsageError(f"cannot read {on!r}; write it like tcp://scheduler:8786, or local:4 for four workers here")


def _local_cluster(on: str) -> LocalCluster:
    from distributed import LocalCluster, Security

    count = on.removeprefix(_LOCAL)
    if not count.isdecimal() or int(count) < 1:
        raise UsageError(f"cannot read {on!r}; write it like local:4, for four workers on this machine")
    return LocalCluster(
        n_workers=int(count),
        threads_per_worker=1,
        host="127.0.0.1",
        security=Security.temporary(),
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        silence_logs=logging.ERROR,
        preload=[_NO_INTERRUPTS],
    )


@contextmanager
def machines_for(
    scenario: Scenario, client: Client, count: int | None, within: float, clock: Clock, interrupts: Callable[[], int]
) -> Iterator[Machines]:
    """Workers that are kept for a run of a scenario: so many, or all there are.

    It waits for them `within` seconds. Raises `UsageError` where there are fewer then, and where one has another Python
    or loadkit than this machine; `Interrupted` where the user asks to stop meanwhile.
    """
    if scenario.source is None:
        name = scenario.name or "a scenario"
        raise UsageError(f"{name} was made in Python, where other machines cannot find it; load it from a file")
    upload = upload_for(scenario.source.target, _certificates(scenario))
    loop = client.loop.asyncio_loop
    workers = _reserved(client, count, within, clock, interrupts)
    try:
        asyncio.run_coroutine_threadsafe(_measure_clocks(workers, clock), loop).result()
        yield Machines(workers=workers, upload=upload)
    finally:
        asyncio.run_coroutine_threadsafe(_release(workers), loop).result()
        for worker in workers:
            worker.close()


def _certificates(scenario: Scenario) -> list[Path]:
    cert = scenario.cert if isinstance(scenario.cert, tuple) else (scenario.cert,)
    return [Path(one) for one in (scenario.ca, *cert) if one is not None]


async def _measure_clocks(workers: Sequence[RemoteProcess], clock: Clock) -> None:
    # one that does not answer is found to be lost by what reads its messages
    await asyncio.wait([asyncio.create_task(worker.measure_clock(clock)) for worker in workers], timeout=LEASE)


async def _release(workers: Iterable[RemoteProcess]) -> None:
    await asyncio.gather(*(worker.release() for worker in workers))


def _reserved(
    client: Client, count: int | None, within: float, clock: Clock, interrupts: Callable[[], int]
) -> list[RemoteProcess]:
    until = clock.now() + nanoseconds(within)
    checked: set[str] = set()
    while True:
        attempt = asyncio.run_coroutine_threadsafe(_reserve(client, count, checked), client.loop.asyncio_loop)
        found, taken, known = attempt.result()
        if found:
            return found
        if interrupts():
            raise Interrupted("interrupted while waiting for workers")
        if clock.now() > until:
            raise UsageError(_too_few(client, count, known, taken, within))
        # two runs that both want what the other one has let go of it, and one of them is the first next time
        clock.pause(round(random.uniform(_LOOK, 3 * _LOOK) * SECOND), lambda: False)


def _too_few(client: Client, count: int | None, known: int, taken: int, within: float) -> str:
    asked = "a run needs one" if count is None else f"{count:,} were asked for"
    used = f", {taken:,} of them used by another run" if taken else ""
    workers = "1 worker" if known == 1 else f"{known:,} workers"
    return f"{client.scheduler.address} has {workers}{used}, and {asked}; waited for {within:g} s (--workers-timeout)"


async def _reserve(client: Client, count: int | None, checked: set[str]) -> tuple[list[RemoteProcess], int, int]:
    """Workers kept for a run, if there are as many as are asked for; how many others have; how many there are."""
    # of each attempt another one: what a slow worker is late to do for an attempt before this one is nobody's any more
    run = uuid.uuid4().hex
    addresses = sorted(await client.nthreads())
    if len(addresses) < (count or 1):
        return [], 0, len(addresses)
    new = [address for address in addresses if address not in checked]
    has_answered = await asyncio.gather(*(_check_version(client, address) for address in new))
    checked.update(compress(new, has_answered))
    addresses = [address for address in addresses if address in checked]
    places = await asyncio.gather(*(_ask(client, address, reserve_generator, run) for address in addresses))
    answered = {at: answer(one, Place) for at, one in zip(addresses, places, strict=True) if isinstance(one, bytes)}
    free = [at for at, place in answered.items() if not place.is_taken]
    is_enough = len(free) >= (count or 1)
    kept = free[:count] if is_enough else []
    await asyncio.gather(*(_ask(client, at, end_generator, run) for at in free if at not in kept))
    return [RemoteProcess(client, at, run, answered[at]) for at in kept], len(answered) - len(free), len(addresses)


async def _check_version(client: Client, address: str) -> bool:
    """True if a worker answered; `UsageError` for another Python or loadkit, which do the same things differently."""
    ours, python = loadkit.__version__, platform.python_version()
    theirs = await _ask(client, address, platform.python_version)
    if isinstance(theirs, str) and theirs.rpartition(".")[0] != python.rpartition(".")[0]:
        raise UsageError(f"the worker {address} has Python {theirs}, and this is {python}; use the same on both")
    found = await _ask(client, address, pkgutil.resolve_name, "loadkit:__version__")
    if isinstance(found, ImportError):
        raise UsageError(f"the worker {address} cannot import loadkit ({found}); install pytest-loadkit=={ours} there")
    if isinstance(found, str) and found != ours:
        raise UsageError(f"the worker {address} has loadkit {found}, and this is {ours}; install the same on both")
    return found is not None


async def _ask(client: Client, address: str, function: Callable[..., Any], *words: str) -> Any:
    """What a worker answers, which may be an exception; None for one that does not."""
    try:
        call = client.run(function, *words, workers=[address], on_error="return")
        return (await asyncio.wait_for(call, _PATIENCE)).get(address)
    except OSError:  # it has gone, or is frozen
        return None
