"""`python -m loadkit.drive.processes.worker`: runs a part of a scenario for somebody else; see `drive.protocol`.

It is not for people: it reads orders on stdin, and stdout is for its news alone. It ends with the one who started it,
however that one ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.drive.processes.protocol import (
    VERSION,
    Cut,
    Done,
    Failed,
    Go,
    Message,
    News,
    Order,
    Ready,
    Stop,
    Word,
    frame,
    read_word,
)
from loadkit.host.posix import SET_PDEATHSIG, prctl
from loadkit.measure.packed import packed
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.clock import SystemClock
    from loadkit.drive.progress import Snapshot
    from loadkit.drive.stats import Driven
    from loadkit.measure.recording import Batch
    from loadkit.plan.scenario import Scenario

ORPHANED: Final = 1
"""Exit code of one whose parent is gone."""

FARTHEST: Final = 5 * SECOND
"""A beginning farther off is the wall clock's fault, not a plan."""


def main() -> None:
    """Do what the orders on stdin say; end the process with what came of it."""
    orders, news = _private_pipes()
    _ignore_interrupts()
    _die_with_parent()
    voice, ear = _Voice(news), _Ear(orders)
    try:
        _work(ear, voice)
    except LoadkitError as error:
        voice.say(Failed(message=str(error), is_usage=isinstance(error, UsageError), exit_code=error.exit_code))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - a fault of ours, told to the one who started us
        traceback.print_exc()
        voice.say(Failed(message=f"{type(error).__name__}: {error}", is_usage=False))
        sys.exit(LoadkitError.exit_code)


def _private_pipes() -> tuple[int, int]:
    """Pipes for orders and news that nobody's `print` or `input` gets at: what is printed goes to stderr."""
    orders, news = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # nobody has replaced it yet
    return orders, news


def _ignore_interrupts() -> None:
    """A Ctrl-C in the terminal is for the one who started us, who then tells us; it blocked them until now."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def _die_with_parent() -> None:
    """Have Linux kill us when our parent dies, even when we are stopped; elsewhere the end of stdin has to do."""
    prctl(SET_PDEATHSIG, signal.SIGKILL)


def _work(ear: _Ear, voice: _Voice) -> None:
    order = ear.order()
    if order.version != VERSION:
        raise UsageError(f"a worker of this loadkit speaks version {VERSION} of the protocol, not {order.version}")
    sys.path[:] = order.path
    # what the user's code needs is found only now
    from loadkit.clock import SystemClock
    from loadkit.drive.director import drive
    from loadkit.plan.endpoint import Endpoint
    from loadkit.wire.encode import encode
    from loadkit.wire.sockets import SocketWire

    scenario = _scenario(order)
    clock = SystemClock()
    requests = [encode(one, scenario) if isinstance(one, Endpoint) else None for one in scenario.plans]
    wire = SocketWire(clock, scenario)
    for origin in dict.fromkeys(request.origin for request in requests if request):
        wire.resolve(origin)
    part = _Part(ear, voice, clock)
    driven = drive(
        scenario,
        requests,
        wire,
        clock,
        watch=part.watch,
        interrupts=ear.asked,
        shared=order.shared,
        part=order.part,
        parts=order.parts,
        relay=part,
    )
    part.finish(driven)


def _scenario(order: Order) -> Scenario:
    from loadkit.plan.loader import load
    from loadkit.plan.remote import with_fields

    found = load(order.source)
    if len(found) > 1:
        raise UsageError(f"there are {len(found)} scenarios {order.source!r}, and a worker needs to know which one")
    return with_fields(found[0], order.changes)


class _Ear:
    """Reads the orders, by themselves and not through `sys.stdin`, whose lock would be in the way at the end."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._buffer = b""
        self._began = threading.Event()
        self._at: int | None = None
        self._asked = 0

    def order(self) -> Order:
        """The first one; the others are heard in a thread of its own from now on."""
        word = self._next()
        if not isinstance(word, Order):
            sys.stderr.write("loadkit: a worker is started by loadkit run --processes N, not by hand\n")
            sys.exit(UsageError.exit_code)
        threading.Thread(target=self._hear, name="loadkit-ear", daemon=True).start()
        return word

    def asked(self) -> int:
        """How often it was told to end: once drains, twice cuts."""
        return self._asked

    def beginning(self) -> int | None:
        """Wait for the instant at which the run begins, of the wall clock; None where it is not to begin at all."""
        self._began.wait()
        return self._at

    def _hear(self) -> None:
        while word := self._next():
            match word:
                case Go():
                    self._at = word.at
                case Stop():
                    self._asked = max(self._asked, 1)
                case Cut():
                    self._asked = 2
            self._began.set()
        # whoever started us is gone: nobody is left to send for, or to tell
        os._exit(ORPHANED)

    def _next(self) -> Word | None:
        while b"\n" not in self._buffer:
            data = os.read(self._pipe, 1 << 16)
            if not data:
                return None
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\n")
        try:
            return read_word(text)
        except msgspec.DecodeError:  # whoever writes this is not the one who started us
            return None


class _Voice:
    """Writes the news; one thread's."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def say(self, message: Message) -> None:
        """Write a message, all of it."""
        rest = memoryview(frame(message))
        try:
            while rest:
                rest = rest[os.write(self._pipe, rest) :]
        except BrokenPipeError:
            os._exit(ORPHANED)


class _Part:
    """Our part of the run: tells the whole of it what is counted here; see `drive.threads.Relay`."""

    def __init__(self, ear: _Ear, voice: _Voice, clock: SystemClock) -> None:
        self._ear = ear
        self._voice = voice
        self._clock = clock
        self._began = 0
        self._cpu = 0.0
        self._latest: Snapshot | None = None

    def watch(self, snapshot: Snapshot) -> None:
        """Remember how it goes."""
        self._latest = snapshot

    def begin(self) -> int:
        """Say that we are ready, and wait to hear of the beginning."""
        self._voice.say(Ready())
        at = self._ear.beginning()
        self._clock.reanchor()
        now = self._clock.now()
        instant = now if at is None else at - self._clock.wall_offset
        self._began = instant if abs(instant - now) < FARTHEST else now
        self._cpu = time.process_time()
        return self._began

    def take(self, batches: list[Batch], start: int) -> None:
        """Tell what was counted; nothing, too, for then we are heard of."""
        seen = self._latest
        self._voice.say(
            News(
                parcels=[packed(batch, start=start) for batch in batches],
                threads=seen.threads if seen else 0,
                in_flight=seen.in_flight if seen else 0,
                cpu_seconds=time.process_time() - self._cpu,
            )
        )

    def finish(self, driven: Driven) -> None:
        """Tell how it went."""
        from loadkit.host.posix import peak_memory

        stats = msgspec.structs.replace(
            driven.stats.shifted(-self._began),
            interrupted=driven.stats.interrupted and not self._ear.asked(),
            cpu_by_process=(driven.stats.cpu_seconds,),
            worker_memory=peak_memory(),
        )
        self._voice.say(Done(stats=stats))


if __name__ == "__main__":
    main()
