"""What runs inside of a Dask worker: it keeps a generator, a child process, and relays what it and its director write.

The functions here are called by `Client.run`, on the event loop of the worker and outside of Dask's tasks: none is run
again because a worker died, and none waits until a task of somebody's has ended. A worker is for one run at a time.
Each answer is our own encoding. Pieces of the streams are numbered, so that a call whose answer was lost on the way is
repeated, and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadkit.clock import SystemClock
from loadkit.drive.processes.child import MODULE
from loadkit.drive.processes.protocol import KeepAlive, line
from loadkit.host.command import module_command, module_environment

if TYPE_CHECKING:
    from asyncio import StreamReader

LEASE: Final = 10.0
"""Seconds without a word of its director after which a generator is ended, and the worker is free for another run."""

_AT_ONCE: Final = 1 << 22
"""Bytes of a stream in one piece."""
_LOGGED: Final = "Run out-of-band function %r"


class Place(msgspec.Struct, frozen=True):
    """The answer of a worker that was asked for a generator."""

    host: str
    is_taken: bool
    """Another run has it."""


class Piece(msgspec.Struct, frozen=True):
    """What a generator wrote since the piece before."""

    messages: bytes = b""
    printed: bytes = b""
    ended: int | None = None
    """Its exit code, with the last piece."""
    is_gone: bool = False
    """There is no generator of this run here, or not any more."""


def answer(text: object, kind: type[Any]) -> Any:
    """Read an answer of these functions; `msgspec.DecodeError` for what is none."""
    if not isinstance(text, bytes):
        raise msgspec.DecodeError(f"a worker answered with a {type(text).__name__}")
    return msgspec.msgpack.decode(text, type=kind)


# -- called on a worker, which is given as `dask_worker`


async def reserve_generator(run: str, dask_worker: Any = None) -> bytes:
    """Keep this worker for a run, unless another one has it."""
    if not _generators:
        logging.getLogger("distributed.worker").addFilter(_is_of_others)
    if dask_worker.id not in _generators:
        _generators[dask_worker.id] = _Generator(run, dask_worker.id)
    is_taken = _generators[dask_worker.id].run != run
    return msgspec.msgpack.encode(Place(socket.gethostname(), is_taken=is_taken))


async def start_generator(run: str, files: Mapping[str, bytes], folder: str, dask_worker: Any = None) -> bytes:
    """Start the generator in a folder among files that it needs."""
    if generator := _generator(run, dask_worker):
        await generator.start(files, folder, dask_worker.local_directory)
    return msgspec.msgpack.encode(Piece(is_gone=not generator))


async def read_generator(run: str, number: int, seconds: float, dask_worker: Any = None) -> bytes:
    """A numbered piece of what the generator writes: as soon as there is something, or after some seconds."""
    if generator := _generator(run, dask_worker):
        return await generator.read(number, seconds)
    return msgspec.msgpack.encode(Piece(is_gone=True))


async def write_generator(run: str, number: int, data: bytes, dask_worker: Any = None) -> bytes:
    """Write a numbered piece to the generator."""
    if generator := _generator(run, dask_worker):
        await generator.write(number, data)
    return msgspec.msgpack.encode(Piece(is_gone=not generator))


async def end_generator(run: str, dask_worker: Any = None) -> bytes:
    """End the generator, and let the worker go."""
    if generator := _generator(run, dask_worker):
        await generator.end()
    return msgspec.msgpack.encode(Piece(is_gone=True))


async def read_clock() -> bytes:
    """What the wall clock shows here, nanoseconds."""
    clock = SystemClock()
    return msgspec.msgpack.encode(clock.now() + clock.wall_offset)


_FUNCTIONS: Final = {one.__name__ for one in (reserve_generator, start_generator, read_generator, write_generator)} | {
    one.__name__ for one in (end_generator, read_clock)
}


def _is_of_others(record: logging.LogRecord) -> bool:
    """False for the line that a worker would log each second of a run."""
    return not (record.msg == _LOGGED and isinstance(record.args, tuple) and set(record.args) <= _FUNCTIONS)


def _generator(run: str, worker: Any) -> _Generator | None:
    found = _generators.get(worker.id)
    return found if found and found.run == run else None


class _Generator:
    """A generator, and what it wrote that is not read yet."""

    def __init__(self, run: str, worker: str) -> None:
        self.run = run
        self._worker = worker
        self._process: Process | None = None
        self._folder: Path | None = None
        self._messages, self._printed = bytearray(), bytearray()
        self._has_more = asyncio.Event()
        self._number = self._written = 0
        self._piece = b""
        self._ended: int | None = None
        self._heard = asyncio.get_running_loop().time()
        self._tasks: list[asyncio.Task[None]] = []
        self._end_when_orphaned()

    async def start(self, files: Mapping[str, bytes], folder: str, within: str) -> None:
        if self._folder:
            return
        self._folder = Path(tempfile.mkdtemp(prefix="loadkit-", dir=within))
        for name, content in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        where = self._folder / folder
        where.mkdir(parents=True, exist_ok=True)
        # a signal of the terminal is for the whole group of processes, and this one has a director of its own
        process = await asyncio.create_subprocess_exec(
            *module_command(MODULE),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=where,
            env=module_environment(),
            start_new_session=True,
        )
        assert process.stdout
        assert process.stderr
        self._process = process
        self._tasks += [asyncio.create_task(self._take_all(process, process.stdout, process.stderr))]

    async def _take_all(self, process: Process, messages: StreamReader, printed: StreamReader) -> None:
        await asyncio.gather(self._take(messages, self._messages), self._take(printed, self._printed))
        self._ended = await process.wait()
        self._has_more.set()

    async def _take(self, stream: StreamReader, into: bytearray) -> None:
        while data := await stream.read(_AT_ONCE):
            into += data
            self._has_more.set()

    async def read(self, number: int, seconds: float) -> bytes:
        self._heard = asyncio.get_running_loop().time()
        # the first that it reads is its assignment
        if self._written and self._ended is None:
            await self._write(line(KeepAlive()))
        if number > self._number:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_more.wait(), seconds)
        if number > self._number:  # else a call before this one has made the piece, and its answer was lost
            self._number, self._piece = number, msgspec.msgpack.encode(self._next())
        return self._piece

    def _next(self) -> Piece:
        messages, printed = bytes(self._messages[:_AT_ONCE]), bytes(self._printed[:_AT_ONCE])
        del self._messages[:_AT_ONCE], self._printed[:_AT_ONCE]
        is_last = self._ended is not None and not self._messages and not self._printed
        if not (self._messages or self._printed or self._ended is not None):
            self._has_more.clear()
        return Piece(messages, printed, self._ended if is_last else None)

    async def write(self, number: int, data: bytes) -> None:
        if number > self._written:
            self._written = number
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        assert self._process
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    def _end_when_orphaned(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() > self._heard + LEASE:
            self._tasks.append(asyncio.create_task(self.end()))
        else:
            self._timer = loop.call_later(1.0, self._end_when_orphaned)

    async def end(self) -> None:
        _generators.pop(self._worker, None)
        if not _generators:
            logging.getLogger("distributed.worker").removeFilter(_is_of_others)
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._timer.cancel()


_generators: Final[dict[str, _Generator]] = {}
"""By the worker that has it: several may share a process."""
