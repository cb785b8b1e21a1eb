"""The threads of a run: started together, more of them where all are busy, joined at the end or left behind."""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from loadkit.drive.blocking import small_stacks
from loadkit.drive.carried import CarriedUser
from loadkit.drive.failures import place_of
from loadkit.drive.loop_thread import LoopThread, Runnable
from loadkit.drive.outstanding import Outstanding
from loadkit.drive.stats import IN_FLIGHT_STEPS, THREADS
from loadkit.host.tuning import raise_switch_interval
from loadkit.plan.errors import Halt, LoadkitError, UsageError
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.build import Builder
    from loadkit.drive.open import Pool
    from loadkit.drive.state import RunState
    from loadkit.drive.user import User
    from loadkit.wire.base import Clock

SPARE_SHARE: Final = 8
"""An open workload keeps one thread in so many free, and one at least, for what is due next."""


class UserThreads:
    """A thread for each virtual user, or for many of them; what is here belongs to the thread that directs them."""

    def __init__(self, state: RunState, clock: Clock) -> None:
        self.users: list[User] = []
        self._run: list[Runnable] = []
        """What each of the threads runs."""
        self._state = state
        self._clock = clock
        self._threads: list[threading.Thread] = []
        self._barrier: threading.Barrier | None = None
        self._finished: deque[Runnable] = deque()
        self._looks = self._seen = 0
        self._events = threading.Semaphore(0)
        """Released by a thread that has ended, or that needs another one."""

    def __len__(self) -> int:
        return len(self.users)

    @property
    def unfinished(self) -> int:
        """Threads that have not ended."""
        return len(self._run) - len(self._finished)

    def under_way(self) -> tuple[int, int]:
        """How many threads there are, and how many requests under way."""
        return len(self.users), sum(one.in_flight for one in self._run)

    def note_in_flight(self) -> None:
        """Look at how many requests are under way."""
        self._looks += 1
        self._seen += self.under_way()[1]

    @property
    def mean_in_flight(self) -> float | None:
        """The mean of all looks, if there were any, to the nearest of `IN_FLIGHT_STEPS` a request."""
        return round(IN_FLIGHT_STEPS * self._seen / self._looks) / IN_FLIGHT_STEPS if self._looks else None

    @property
    def engines(self) -> dict[str, int]:
        """How many loops carry users, and how many users have a thread, by the names of what carries them."""
        return dict(Counter(one.engine if isinstance(one, LoopThread) else THREADS for one in self._run))

    def outstanding(self) -> Sequence[Outstanding]:
        """What all have under way, and have not handed over."""
        now = self._clock.now()
        waiting = [one for user in self.users for one in user.waiting(now)]
        return [Outstanding(now, waiting, [one for user in self.users for one in user.recorder.pending()])]

    def notify(self) -> None:
        """Wake the thread up that directs; for any thread."""
        self._events.release()

    def await_event(self, seconds: float) -> bool:
        """Wait until a thread notifies or ends; False if none did."""
        return self._events.acquire(timeout=seconds)

    # -- the start

    def start(self, run: Sequence[Runnable], begin: Callable[[], None]) -> None:
        """Start all, who connect and then wait for each other; `begin` is called by one of them when all are ready.

        Raises `UsageError` where the system does not allow so many.
        """
        self._run = list(run)
        self.users = [user for one in run for user in (one.users if isinstance(one, LoopThread) else [one])]
        self._barrier = threading.Barrier(len(run) + 1, action=begin)
        with small_stacks():
            for one in run:
                try:
                    self._start_one(one, self._barrier)
                except RuntimeError as error:
                    self._barrier.abort()
                    many = len(self._threads)
                    raise UsageError(f"cannot start more than {many:,} threads here: {error}") from None

    @property
    def are_ready(self) -> bool:
        """True if all have connected, or tried to."""
        return self._barrier is not None and self._barrier.n_waiting >= len(self._run)

    @property
    def is_broken(self) -> bool:
        """True if they do not begin, for one of them could not be made ready."""
        return self._barrier is not None and self._barrier.broken

    def break_off(self) -> None:
        """Let nobody begin who waits for the others."""
        if self._barrier:
            self._barrier.abort()

    def release(self) -> bool:
        """Let all begin; False if they do not."""
        assert self._barrier
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            return False
        return True

    def add(self, user: User | CarriedUser) -> bool:
        """Start one more, who begins when it has connected; False where the system has no more threads."""
        if isinstance(user, CarriedUser):
            (loop,) = self._run
            assert isinstance(loop, LoopThread)
            loop.join(user)
            self.users.append(user.user)
            return True
        try:
            with small_stacks():
                self._start_one(user, None)
        except RuntimeError:
            return False
        self._run.append(user)
        self.users.append(user)
        return True

    def _start_one(self, one: Runnable, barrier: threading.Barrier | None) -> None:
        name = f"loadkit-{len(self._threads)}"
        thread = threading.Thread(target=self._live, args=(one, barrier), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _live(self, one: Runnable, barrier: threading.Barrier | None) -> None:
        try:
            one.prepare()
            if barrier:
                barrier.wait()
            one.run()
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where the run was asked for
            if isinstance(error, Halt) and not barrier:
                # of one that came later, for a load that grew
                self._state.halt_at(self._clock.now(), error)
                return
            one.crash = error
            if barrier:
                barrier.abort()
        finally:
            if not one.has_run:
                one.leave()
            self._finished.append(one)
            self._events.release()

    # -- the end

    def stop(self) -> None:
        """Have all look at once whether the run is over."""
        for user in self.users:
            user.stop()
        for one in self._run:
            if isinstance(one, LoopThread):
                one.stop()

    def abort(self) -> None:
        """End what is under way on their connections."""
        for user in self.users:
            user.abort()

    def abandon(self) -> None:
        """Count what those are in whose threads do not end."""
        for one, thread in zip(self._run, self._threads, strict=True):
            if thread.is_alive():
                one.abandon()

    def raise_crash(self, *, is_interrupted: bool) -> None:
        """Raise what ended a thread: `UsageError` for the user's mistake, unless it was cut off while it connected."""
        for one in self._run:
            if isinstance(one.crash, UsageError):
                if is_interrupted:
                    continue
                raise one.crash
            if one.crash:
                raise LoadkitError(f"a thread of loadkit failed: {one.crash!r}") from one.crash

    def join(self, within: int | None = None) -> None:
        """Wait until all have ended, or so many nanoseconds."""
        deadline = None if within is None else self._clock.now() + within
        for thread in self._threads:
            thread.join(None if deadline is None else max(0, deadline - self._clock.now()) / SECOND)

    @property
    def any_alive(self) -> bool:
        """True if a thread has not ended."""
        return any(thread.is_alive() for thread in self._threads)

    def places(self) -> tuple[str, ...]:
        """Where the threads are that are still alive."""
        frames = sys._current_frames()
        found = []
        for thread in self._threads:
            frame = frames.get(thread.ident or 0)
            if thread.is_alive() and frame:
                found.append(place_of(frame))
        return tuple(dict.fromkeys(found))


class Growth:
    """Adds threads to those of a pool, up to `most`."""

    def __init__(self, pool: Pool, threads: UserThreads, builder: Builder, most: int) -> None:
        self.pool = pool
        self._threads = threads
        self._builder = builder
        self._most = most

    def grow(self) -> None:
        """Add threads if the next arrival may find all busy: some, so that those after it may find one free."""
        pool, threads = self.pool, self._threads
        if not pool.is_short:
            return
        pool.is_short = False
        coming = sum(not user.ready for user in threads.users[-self._most // SPARE_SHARE :])
        wanted = 1 + len(threads) // SPARE_SHARE - coming - pool.waiting
        for _ in range(min(wanted, self._most - len(threads))):
            if not threads.add(self._builder.open_user(pool)):
                # what there is goes on
                self._most = len(threads)
                break
        raise_switch_interval(threads.unfinished)
        pool.was_short = pool.was_short or (wanted > 0 and len(threads) >= self._most)
