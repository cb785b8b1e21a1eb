"""The worker processes of a run: commands go to all of them, messages of each are read, and none is left behind."""

from __future__ import annotations

import contextlib
import selectors
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.drive.outstanding import Outstanding
from loadkit.drive.processes.child import ChildProcess
from loadkit.drive.processes.protocol import Assignment, Command, Done, Failed, Go, Heartbeat, Message, Ready
from loadkit.drive.processes.worker_state import Channel, WorkerState
from loadkit.measure.packed import Parcel, unpacked
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.measure.recording import Batch
    from loadkit.measure.samples import SampleBuffer, Samples
    from loadkit.wire.base import Clock

SILENCE: Final = 2 * SECOND
"""Each worker says something once a second; one that does not for so long is stopped, or starved."""


class WorkerGroup:
    """The workers, by their parts; it belongs to one thread."""

    def __init__(
        self,
        clock: Clock,
        samples: SampleBuffer | None = None,
        open_channel: Callable[[Assignment], Channel] = ChildProcess,
    ) -> None:
        self.workers: list[WorkerState] = []
        self.silences: list[str] = []
        """A sentence for each time one was silent, and was heard of again."""
        self._clock = clock
        self._samples = samples
        self._open_channel = open_channel
        self._selector = selectors.DefaultSelector()
        self._parcels: list[tuple[WorkerState, Parcel]] = []
        self._began = 0

    @property
    def running(self) -> list[WorkerState]:
        """Those that have more to tell."""
        return [worker for worker in self.workers if worker.is_running]

    @property
    def lead(self) -> int:
        """Nanoseconds from the command to begin to the beginning, so that all have heard it by then."""
        return max(worker.channel.lead for worker in self.workers)

    def under_way(self) -> tuple[int, int]:
        """How many threads those have that are running, and how many requests, as far as they have told."""
        latest = [worker.latest for worker in self.running if worker.latest]
        return sum(one.threads for one in latest), sum(one.in_flight for one in latest)

    def start(self, assignment: Assignment) -> None:
        """Start a worker with its assignment."""
        worker = WorkerState(assignment.part, self._open_channel(assignment))
        self.workers.append(worker)
        messages, stderr = worker.channel.pipes
        self._selector.register(messages, selectors.EVENT_READ, (worker, self._read_messages))
        self._selector.register(stderr, selectors.EVENT_READ, (worker, self._print))
        worker.send(assignment)

    def begin(self, at: int) -> None:
        """Tell all when they begin."""
        self._began = at
        for worker in self.workers:
            worker.heard_at = at
            worker.send(Go(at=at + worker.channel.wall_offset(self._clock)))

    def send(self, command: Command) -> None:
        """Send a command to all that are running."""
        for worker in self.running:
            worker.send(command)

    def read(self, seconds: float) -> None:
        """Read what has come, or wait until something comes."""
        for key, _ in self._selector.select(seconds):
            worker, read = key.data
            read(worker, key.fd)

    def batches(self, start: int) -> Iterator[Batch]:
        """What has come in of counts since the last time; measuring began at `start`, by our clock."""
        parcels, self._parcels = self._parcels, []
        for worker, parcel in parcels:
            try:
                batch = unpacked(parcel, start=start)
            except ValueError as error:
                worker.lost = worker.lost or f"was {worker.channel.kill()}: what it counted cannot be read: {error}"
                continue
            worker.count_reported(batch)
            yield batch

    def outstanding(self, start: int) -> list[Outstanding]:
        """What the threads of those have under way that are heard of; measuring began at `start`, by our clock."""
        heard = [worker.latest for worker in self.running if worker.latest and not worker.silent_since]
        return [one.outstanding.shifted(start) for one in heard if one.outstanding]

    def await_end(self) -> None:
        """All have told all: let them end."""
        for worker in self.workers:
            worker.await_end()
            self._print(worker, worker.channel.pipes[1])

    def close(self) -> None:
        """Whatever happened: no worker is left behind."""
        for worker in self.workers:
            worker.channel.close()
        self._selector.close()

    def _read_messages(self, worker: WorkerState, pipe: int) -> None:
        messages = worker.messages()
        if messages is None:
            self._selector.unregister(pipe)
            self._print(worker, worker.channel.pipes[1])
            if worker.is_running:
                worker.lost = worker.how_it_ended()
            return
        for message in messages:
            self._handle(worker, message)

    def _print(self, worker: WorkerState, pipe: int) -> None:
        """What the code in a worker prints is for the user, as it is without workers."""
        text, is_end = worker.stderr_text()
        if is_end and pipe in self._selector.get_map():
            self._selector.unregister(pipe)
        # it is written as far as there is somebody to read it
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
            sys.stderr.flush()

    def _handle(self, worker: WorkerState, message: Message) -> None:
        now = self._clock.now()
        if worker.silent_since:
            self.silences.append(f"{worker} was silent for {self._span(worker.silent_since, now)}")
            worker.silent_since = 0
        worker.heard_at = max(worker.heard_at, now)
        match message:
            case Ready():
                worker.is_ready, worker.addresses = True, message.addresses
            case Heartbeat():
                worker.latest = message
                self._parcels += [(worker, parcel) for parcel in message.parcels]
                if self._samples:
                    self._samples.extend(self._by_our_clock(worker, message.samples), message.lost_samples)
            case Done():
                worker.done = message
            case Failed():
                worker.failed = message

    def _by_our_clock(self, worker: WorkerState, samples: list[Samples]) -> list[Samples]:
        """Samples with the instants that our wall clock showed."""
        if not (ahead := worker.channel.wall_offset(self._clock) - self._clock.wall_offset):
            return samples
        return [msgspec.structs.replace(one, offset=one.offset - ahead) for one in samples]

    # -- silence

    def excuse_pause(self, span: int) -> None:
        """If it was us who slept (a Ctrl-Z, a suspended laptop), the workers were not silent meanwhile."""
        if span > SECOND:
            for worker in self.workers:
                worker.heard_at += span

    def note_silence(self, now: int) -> None:
        """See of whom nothing was heard for too long."""
        for worker in self.running:
            if now - worker.heard_at > SILENCE and not worker.silent_since:
                worker.silent_since = worker.heard_at

    def kill_silent(self, now: int) -> None:
        """End those of whom nothing is heard."""
        for worker in self.running:
            if worker.silent_since:
                ended = worker.channel.kill()
                worker.lost = f"was silent for {self._span(worker.silent_since, now)}, and was {ended}"

    def silence(self) -> str:
        """Who is silent now, to be shown behind the stage of the run."""
        silent = [worker for worker in self.running if worker.silent_since]
        numbers = ", ".join(str(worker.part.process + 1) for worker in silent)
        return f", {silent[0].channel.kind} {numbers} silent" if silent else ""

    def _span(self, start: int, end: int) -> str:
        return f"{(end - start) / SECOND:.1f} s, from {max(0, start - self._began) / SECOND:.1f} s after the start"
