"""`python -m loadkit.drive.processes.worker`: runs a part of a scenario for somebody else; see `protocol`.

It is not for people: it reads commands on stdin, and stdout is for its messages alone. It ends with its parent,
however that one ends.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.drive.processes.protocol import (
    VERSION,
    Assignment,
    Command,
    Cut,
    Done,
    Failed,
    Go,
    Heartbeat,
    Message,
    Ready,
    Stop,
    frame,
    read_command,
)
from loadkit.host.posix import SET_PDEATHSIG, prctl
from loadkit.measure.packed import packed
from loadkit.measure.samples import SampleBuffer
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadkit.clock import SystemClock
    from loadkit.drive.outstanding import Outstanding
    from loadkit.drive.progress import Snapshot
    from loadkit.drive.stats import Driven
    from loadkit.measure.recording import Batch
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.exchange_log import LoggedExchange

ORPHANED: Final = 1
"""Exit code of one whose parent is gone."""

FARTHEST: Final = 5 * SECOND
"""A beginning farther off is the wall clock's fault, not a plan."""


def main() -> None:
    """Do what the commands on stdin say; end the process with what came of it."""
    commands, messages = _private_pipes()
    _ignore_interrupts()
    _die_with_parent()
    writer, reader = MessageWriter(messages), CommandReader(commands)
    try:
        _work(reader, writer)
    except LoadkitError as error:
        writer.write(Failed(message=str(error), is_usage=isinstance(error, UsageError), exit_code=error.exit_code))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - a fault of ours, told to the one who started us
        traceback.print_exc()
        writer.write(Failed(message=f"{type(error).__name__}: {error}", is_usage=False))
        sys.exit(LoadkitError.exit_code)


def _private_pipes() -> tuple[int, int]:
    """Pipes for commands and messages that nobody's `print` or `input` gets at: what is printed goes to stderr."""
    commands, messages = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # nobody has replaced it yet
    return commands, messages


def _ignore_interrupts() -> None:
    """A Ctrl-C in the terminal is for the one who started us, who then tells us; it blocked them until now."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def _die_with_parent() -> None:
    """Have Linux kill us when our parent dies, even when we are stopped; elsewhere the end of stdin has to do."""
    prctl(SET_PDEATHSIG, signal.SIGKILL)


def _work(reader: CommandReader, writer: MessageWriter) -> None:
    assignment = reader.assignment()
    if assignment.version != VERSION:
        raise UsageError(f"a worker of this loadkit speaks version {VERSION} of the protocol, not {assignment.version}")
    sys.path[:] = assignment.path or sys.path
    # what the user's code needs is found only now
    from loadkit.clock import SystemClock
    from loadkit.drive.director import drive
    from loadkit.drive.machines import addresses_of
    from loadkit.wire.exchange_log import ExchangeLog
    from loadkit.wire.sockets import SocketWire

    clock = SystemClock()
    samples = SampleBuffer(clock) if assignment.has_samples else None
    relay = PipeRelay(reader, writer, clock, samples)
    log = ExchangeLog(assignment.logged) if assignment.logged else None

    def run(scenario: Scenario) -> Driven:
        wire = SocketWire(clock, scenario)
        origins = list(dict.fromkeys(request.origin for request in assignment.requests if request))
        for origin in origins:
            wire.resolve(origin)
        relay.addresses = addresses_of(origins, wire)
        return drive(
            scenario,
            assignment.requests,
            wire,
            clock,
            watch=relay.watch,
            interrupts=reader.stops,
            shared=assignment.shared,
            part=assignment.part,
            relay=relay,
            log=log,
            samples=samples,
            is_monitored=assignment.is_monitored,
        )

    if assignment.runner:
        driven = importlib.import_module(assignment.runner).run_part(assignment, run, relay.staying_heard)
    else:
        driven = run(_scenario(assignment))
    relay.finish(driven, tuple(log.exchanges) if log else ())


def _scenario(assignment: Assignment) -> Scenario:
    from loadkit.plan.loader import load
    from loadkit.plan.remote import with_fields

    source = assignment.source
    found = load(source)
    if len(found) > 1:
        raise UsageError(f"there are {len(found)} scenarios {source!r}, and a worker needs to know which one")
    return with_fields(found[0], assignment.changes)


class CommandReader:
    """Reads the commands, by themselves and not through `sys.stdin`, whose lock would be in the way at the end."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._buffer = b""
        self._lease: float | None = None
        self._began = threading.Event()
        self._at: int | None = None
        self._stops = 0

    def assignment(self) -> Assignment:
        """The first one; the others are read by a thread of its own from now on."""
        command = self._next()
        if not isinstance(command, Assignment):
            sys.stderr.write("loadkit: a worker is started by loadkit run --processes N, not by hand\n")
            sys.exit(UsageError.exit_code)
        self._lease = command.lease
        threading.Thread(target=self._read_all, name="loadkit-reader", daemon=True).start()
        return command

    def stops(self) -> int:
        """How often it was told to end: once drains, twice cuts."""
        return self._stops

    def beginning(self) -> int | None:
        """Wait for the instant at which the run begins, of the wall clock; None where it is not to begin at all."""
        self._began.wait()
        return self._at

    def _read_all(self) -> None:
        while command := self._next():
            match command:
                case Go():
                    self._at = command.at
                case Stop():
                    self._stops = max(self._stops, 1)
                case Cut():
                    self._stops = 2
                case _:
                    continue
            self._began.set()
        # whoever started us is gone: nobody is left to send for, or to tell
        os._exit(ORPHANED)

    def _next(self) -> Command | None:
        while b"\n" not in self._buffer:
            if not select.select([self._pipe], [], [], self._lease)[0]:
                return None
            data = os.read(self._pipe, 1 << 16)
            if not data:
                return None
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\n")
        try:
            return read_command(text)
        except msgspec.DecodeError:  # whoever writes this is not the one who started us
            return None


class MessageWriter:
    """Writes messages; one thread's."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def write(self, message: Message) -> None:
        """Write a message, all of it."""
        rest = memoryview(frame(message))
        try:
            while rest:
                rest = rest[os.write(self._pipe, rest) :]
        except BrokenPipeError:
            os._exit(ORPHANED)


class PipeRelay:
    """Our part of the run: tells the whole of it what is counted here; see `drive.collect.Relay`."""

    def __init__(
        self, reader: CommandReader, writer: MessageWriter, clock: SystemClock, samples: SampleBuffer | None
    ) -> None:
        self.addresses: list[str] = []
        """From which we send."""
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._samples = samples
        self._began = 0
        self._cpu = 0.0
        self._latest: Snapshot | None = None

    def watch(self, snapshot: Snapshot) -> None:
        """Remember how it goes."""
        self._latest = snapshot

    def begin(self) -> int:
        """Say that we are ready, and wait for the beginning."""
        self._writer.write(Ready(addresses=self.addresses))
        at = self._reader.beginning()
        self._clock.reanchor()
        now = self._clock.now()
        instant = now if at is None else at - self._clock.wall_offset
        self._began = instant if abs(instant - now) < FARTHEST else now
        self._cpu = time.process_time()
        return self._began

    def take(self, batches: list[Batch], start: int, outstanding: Sequence[Outstanding]) -> None:
        """Tell what was counted; nothing, too, for then we are heard of."""
        seen = self._latest
        samples, lost = self._samples.take() if self._samples else ([], 0)
        self._writer.write(
            Heartbeat(
                parcels=[packed(batch, start=start) for batch in batches],
                threads=seen.threads if seen else 0,
                in_flight=seen.in_flight if seen else 0,
                cpu_seconds=time.process_time() - self._cpu,
                samples=samples,
                lost_samples=lost,
                outstanding=outstanding[0].shifted(-start) if outstanding else None,
            )
        )

    @contextmanager
    def staying_heard(self) -> Iterator[None]:
        """Say that we are here while code of the user's goes on after the run, until we are told to cut it."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(1) and self._reader.stops() < 2:
                self.take([], 0, ())

        thread = threading.Thread(target=beat, name="loadkit-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def finish(self, driven: Driven, exchanges: tuple[LoggedExchange, ...]) -> None:
        """Tell how it went."""
        from loadkit.host.posix import peak_memory

        stats = msgspec.structs.replace(
            driven.stats.shifted(-self._began),
            interrupted=driven.stats.interrupted and not self._reader.stops(),
            cpu_by_process=(driven.stats.cpu_seconds,),
            worker_memory=peak_memory(),
            exchanges=exchanges,
        )
        self._writer.write(Done(stats=stats))


if __name__ == "__main__":
    main()
