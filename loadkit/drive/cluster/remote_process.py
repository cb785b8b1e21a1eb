"""A generator on another machine, kept there by a Dask worker, as a worker process that we read and write.

What it writes comes as answers to calls that wait for it: by way of the scheduler, so that nothing but Dask's own
connections is needed. A call whose connection broke is made again until the lease of the generator has passed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from loadkit.drive.cluster import relay
from loadkit.drive.cluster.relay import LEASE, Piece, Place, answer
from loadkit.drive.processes.worker_state import Host
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from distributed import Client

    from loadkit.wire.base import Clock

Answer = TypeVar("Answer")

WAIT: Final = 1.0
"""Seconds that a call waits on the worker for something to be written."""
READINGS: Final = 10
"""Of a clock: the one whose answer came fastest counts."""

_GRACE: Final = 2.0
"""Seconds that a worker has to let its generator go; one that is frozen does so itself, when its lease has passed."""
_AGAIN: Final = 0.1
_GONE: Final = "lost its Dask worker"


class RemoteProcess:
    """A worker of a cluster that is kept for a run, and the generator on it; see `Channel`.

    Its methods are for the thread of the director; what is `async` is for the event loop of the client.
    """

    kind: Final = "machine"
    lead: Final = SECOND

    def __init__(self, client: Client, address: str, run: str, place: Place) -> None:
        self.host = Host(place.host, 0)
        self.address = address
        self.name = f"{place.host} ({address})"
        self._client = client
        self._run = run
        self._offset = 0
        self._loop = client.loop.asyncio_loop
        self._unwritten: asyncio.Queue[bytes] = asyncio.Queue()
        self._ours, self._theirs = zip(*(socket.socketpair() for _ in range(2)), strict=True)
        for one in self._theirs:
            one.setblocking(False)
        self._is_started = asyncio.Event()
        self._ended: int | str | None = None
        self._reading = self._later(self._read_all())
        self._writing = self._later(self._write_all())

    def _later(self, work: Coroutine[Any, Any, Answer]) -> concurrent.futures.Future[Answer]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    # -- for the director

    @property
    def pipes(self) -> tuple[int, int]:
        """The file descriptors of its messages, and of what its code prints."""
        return self._ours[0].fileno(), self._ours[1].fileno()

    def start(self, number: int, count: int, files: Mapping[str, bytes], folder: str) -> None:
        """Start the generator with its files: the number of its part, from 1, of so many."""
        self.name = f"machine {number} of {count} ({self.host.name}, {self.address})"
        self._later(self._start(files, folder))

    def write(self, data: bytes) -> None:
        """Write to its stdin; to one that has died it makes no difference."""
        self._loop.call_soon_threadsafe(self._unwritten.put_nowait, data)

    def wall_offset(self, clock: Clock) -> int:  # noqa: ARG002 - measured with this clock before
        """What its wall clock shows less what our monotonic clock does, nanoseconds."""
        return self._offset

    def wait(self, seconds: float) -> int | str | None:
        """Its exit code once it has ended, negative for a signal, or how else it was lost; None if it goes on."""
        concurrent.futures.wait([self._reading], seconds)
        return self._ended

    def kill(self) -> str:
        """End it, if it is still there and can be reached."""
        self._later(self._call(relay.end_generator))
        self._reading.cancel()
        return "given up"

    def close(self) -> None:
        """Let go of what carries its messages."""
        self._reading.cancel()
        self._writing.cancel()
        for one in self._ours:
            one.close()

    # -- on the event loop of the client

    async def release(self) -> None:
        """End the generator, and let the worker go."""
        with contextlib.suppress(Exception):  # it lets itself go when its lease has passed
            await asyncio.wait_for(self._call(relay.end_generator), _GRACE)

    async def measure_clock(self, clock: Clock) -> None:
        """Measure what its wall clock shows when our monotonic clock shows zero."""
        framed = []
        for _ in range(READINGS):
            before = clock.now()
            shown: int = await self._call(relay.read_clock, kind=int)
            after = clock.now()
            framed.append((after - before, shown - (before + after) // 2))
        width, self._offset = min(framed)
        self.host = self.host._replace(clock_error=(width + 1) // 2)

    async def _call(self, function: Callable[..., Any], *arguments: object, kind: type[Any] = Piece) -> Any:
        # with the clock alone it makes no difference for which run it is read
        words = arguments if function is relay.read_clock else (self._run, *arguments)
        answers = await self._client.run(function, *words, workers=[self.address])
        return answer(answers[self.address], kind)

    async def _start(self, files: Mapping[str, bytes], folder: str) -> None:
        await self._repeated(relay.start_generator, files, folder)
        self._is_started.set()

    async def _write_all(self) -> None:
        await self._is_started.wait()
        number = 0
        while True:
            data, number = await self._unwritten.get(), number + 1
            await self._repeated(relay.write_generator, number, data)

    async def _read_all(self) -> None:
        try:
            number, piece = 0, Piece()
            while piece.ended is None:
                number += 1
                piece = await self._repeated(relay.read_generator, number, WAIT)
                await self._loop.sock_sendall(self._theirs[0], piece.messages)
                await self._loop.sock_sendall(self._theirs[1], piece.printed)
            self._ended = piece.ended
        except _Lost as lost:
            self._ended = str(lost)
        finally:
            for one in self._theirs:
                one.close()

    async def _repeated(self, function: Callable[..., Any], *arguments: object) -> Piece:
        """Call a function whose repetition does no harm, until there is an answer; `_Lost` when there will be none."""
        since, reason = self._loop.time(), ""
        while (left := since + LEASE - self._loop.time()) > 0:
            try:
                piece: Piece = await asyncio.wait_for(self._call(function, *arguments), left)
            except msgspec.DecodeError as error:
                raise _Lost(f"was given up: what its worker answered cannot be read: {error}") from None
            except Exception as error:  # noqa: BLE001 - whatever the connection, the scheduler or the worker raised
                reason = f" ({error})" if str(error) else ""
            else:
                if piece.is_gone:
                    raise _Lost(_GONE)
                return piece
            if await self._has_left():
                raise _Lost(_GONE)
            await asyncio.sleep(_AGAIN)
        raise _Lost(f"did not answer for {LEASE:g} s{reason}")

    async def _has_left(self) -> bool:
        """True if the scheduler can be asked, and does not know the worker any more."""
        with contextlib.suppress(Exception):
            return not await asyncio.wait_for(self._client.nthreads([self.address]), _GRACE)
        return False


class _Lost(Exception):
    """Nothing more will come; the message says why."""
