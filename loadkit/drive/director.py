"""A workload on threads: one for each virtual user, started together, stopped by the clock.

One thread directs: it sets the course, merges what the others hand over, adds threads where an open workload finds all
of them busy, and ends what does not end by itself. The others only read `Course` and append to deques.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from loadkit.drive.closed import ClosedUser
from loadkit.drive.open import OpenUser, Pool
from loadkit.drive.progress import Snapshot, Watcher, level_at, stage_at
from loadkit.drive.rows.feed import Dry
from loadkit.drive.rows.sender import Feeds
from loadkit.drive.stats import Driven, RunStats, in_flight_mean
from loadkit.drive.supply import Supply
from loadkit.drive.user import NEVER, Course, Shot, User
from loadkit.host.interpreter import be_patient, eased
from loadkit.host.kernel import tuned
from loadkit.host.limits import check_ports, descriptors, make_room
from loadkit.host.machine import Probe, Use
from loadkit.measure.recording import JOURNEY, NO_SECOND, REQUEST, Batch, Counts, Recording, Tape, second_of
from loadkit.plan.errors import Halt, LoadkitError, UsageError
from loadkit.plan.journey import Journey
from loadkit.plan.think_time import pauses
from loadkit.plan.units import MILLISECOND, SECOND, nanoseconds
from loadkit.plan.workload import Closed, Open, Seat, workload
from loadkit.wire.base import Clock, Connection, Origin, Request, Wire

if TYPE_CHECKING:
    from loadkit.drive.journeys.runner import Visitor
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.session.lookups import Lookups

STACK: Final = 256 * 1024
"""Bytes: 24 kB of it is used; 5,000 threads with the default of 8 MB would reserve 40 GB."""

SETTLE: Final = 0.02
"""Seconds from the last connection to the first request: the kernel begins to stamp arrivals up to 8 ms after it was
asked to for the first time (in 1 % of the runs, where no other program had)."""

SHOW_EVERY: Final = 250 * MILLISECOND
"""A snapshot merges the last seconds, 1.5 ms of work in which all threads wait."""

READ_BEFORE: Final = 2 * MILLISECOND
"""Before the beginning of a run of several processes the machine is read, which takes a quarter of that."""

LATE: Final = 250 * MILLISECOND
"""After a second of which what was counted so far is taken: a thread hands it over with its next reply."""

PATIENCE: Final = 2 * SECOND
"""With threads that were told to end at once and are held by code of others."""

TICK: Final = 0.1
RECENT: Final = 3
GIVE_UP_AFTER: Final = 3
GIVE_UP_LATER: Final = 250 * MILLISECOND
"""So many refusals at least, of all threads that have begun, for so long: the target is taken to be down."""


SPARE_SHARE: Final = 8
"""An open workload keeps one thread in so many free, and one at least, for what is due next."""


class Relay(Protocol):
    """Whoever has this run as a part of a larger one."""

    def begin(self) -> int:
        """All have connected: wait for the word, and say when it begins (nanoseconds of the monotonic clock)."""

    def take(self, batches: list[Batch], start: int) -> None:
        """Take what was counted since the last time, about once a second; measuring began at `start`."""


class Keeper(Protocol):
    """Keeps what was counted while a run is under way, for the case that it is killed."""

    @property
    def is_due(self) -> bool:
        """True if what was counted so far is to be taken now."""

    def take(self, so_far: Callable[[], Driven]) -> None:
        """Take what came of the run so far, which is made by a call at once; the run waits until this returns."""


def drive(
    scenario: Scenario,
    requests: Sequence[Request | None],
    wire: Wire,
    clock: Clock,
    *,
    watch: Watcher | None = None,
    interrupts: Callable[[], int] = lambda: 0,
    shared: object = None,
    part: int = 0,
    parts: int = 1,
    relay: Relay | None = None,
    keeper: Keeper | None = None,
    probe: Probe | None = None,
) -> Driven:
    """Run a scenario whose endpoints became `requests`, in order; its journeys, None there, are given `shared`.

    `interrupts` tells how often the user asked to stop: once drains, twice cuts. Raises `UsageError` before anything
    is sent when the machine does not allow so many threads or connections. One of several processes runs its `part` of
    `parts`; what it counts goes to `relay`, and not into the recording.
    """
    with Feeds(scenario, seed=scenario.seed, part=part, parts=parts) as feeds:
        director = _Director(
            scenario,
            requests,
            wire,
            clock,
            watch=watch,
            interrupts=interrupts,
            feeds=feeds,
            shared=shared,
            part=part,
            parts=parts,
            relay=relay,
            keeper=keeper,
            probe=probe or Probe(),
        )
        return director.run()


class _Director:
    def __init__(
        self,
        scenario: Scenario,
        requests: Sequence[Request | None],
        wire: Wire,
        clock: Clock,
        *,
        watch: Watcher | None,
        interrupts: Callable[[], int],
        feeds: Feeds,
        shared: object,
        part: int,
        parts: int,
        relay: Relay | None,
        keeper: Keeper | None,
        probe: Probe,
    ) -> None:
        self._shared = shared
        self._keeper = keeper
        self._lookups: Lookups | None = None
        self._scenario = scenario
        self._workload: Closed | Open = workload(scenario, part, parts)
        self._relay = relay
        self._relayed = 0
        self._requests = requests
        self._wire = wire
        self._clock = clock
        self._watch = watch
        self._interrupts = interrupts
        self._feeds = feeds
        self._course = Course(tuple(one.end for one in self._workload.stretches))
        self._handed: deque[Batch] = deque()
        self._recording = Recording(scenario.labels, phases=len(self._workload.stretches))
        for journey in scenario.journeys:
            self._recording.unsent(journey.label, 0, 0, kind=JOURNEY)  # so that each has a row, in their order
        self._rows = scenario.rows
        self._finished: deque[User] = deque()
        self._calls = threading.Semaphore(0)
        """Released by a thread that has ended, or that needs another one."""
        self._users: list[User] = []
        self._threads: list[threading.Thread] = []
        self._barrier: threading.Barrier | None = None
        self._pool: Pool | None = None
        self._most_threads = 0
        self._was_short = False
        self._looks = self._seen_in_flight = 0
        self._began = 0
        self._shown = 0
        self._ended = 0
        self._cut_at = NEVER
        self._has_stopped = False
        self._probe = probe
        self._unreachable = False
        self._has_connected = False
        self._down_since = 0
        self._interrupted = False

    def run(self) -> Driven:
        self._make_room()
        self._users = self._first_users()
        with eased(threads=len(self._users)), tuned(punctual=self._pool is not None):
            try:
                self._start()
                self._direct()
            except BaseException:
                self._leave_nobody()
                raise
            finally:
                if self._pool and not any(thread.is_alive() for thread in self._threads):
                    self._pool.close()
        return self._result()

    # -- before

    def _make_room(self) -> None:
        per_thread: set[object] = {request.origin for request in self._requests if request}
        if self._scenario.journeys:
            # a session of its own, of which nobody knows where it goes
            per_thread.add(None)
        load = self._workload
        if isinstance(load, Closed):
            self._most_threads = len(load.seats)
        else:
            self._most_threads = load.max_threads
            if self._scenario.max_threads is None:
                # nobody asked for so many: fewer do where the machine allows fewer
                self._most_threads = max(load.threads, min(load.max_threads, descriptors() // len(per_thread)))
        make_room(self._most_threads * len(per_thread))
        if any(not (isinstance(origin, Origin) and origin.unix) for origin in per_thread):
            check_ports(self._most_threads)

    def _first_users(self) -> list[User]:
        load = self._workload
        if isinstance(load, Closed):
            return [self._closed_user(load, seat) for seat in load.seats]
        self._pool = Pool(
            arrivals=Supply(load.arrivals.dues()),
            warming=Supply(load.warming.dues()),
            turns=load.turns,
            tell=self._calls.release,
            threads=load.threads,
        )
        return [self._open_user(self._pool) for _ in range(load.threads)]

    def _closed_user(self, load: Closed, seat: Seat) -> User:
        shots = self._shots(seat.turns)
        fields: dict[str, Any] = {
            "clock": self._clock,
            "course": self._course,
            "hand_over": self._handed.append,
            "seat": seat,
            "draw_pause": pauses(load.think_time, load.seed, seat.number),
            "pacing": load.pacing,
        }
        plan, visitor = self._scenario.plans[seat.turns[0]], shots[0].visitor
        if isinstance(plan, Journey) and plan.tasks_per_thread > 1:
            from loadkit.drive.journeys.tasks import TaskUser

            assert visitor
            visit = visitor.task(plan, self._feeds.taker(seat.turns[0]))
            return TaskUser(shots, **fields).run_tasks(visitor, visit, plan.tasks_per_thread)
        return ClosedUser(shots, **fields)

    def _open_user(self, pool: Pool) -> User:
        shots = self._shots(tuple(range(len(self._requests))))
        return OpenUser(shots, clock=self._clock, course=self._course, hand_over=self._handed.append, pool=pool)

    def _shots(self, turns: tuple[int, ...]) -> list[Shot]:
        """What one thread sends in turn, over one connection to each origin."""
        connections: dict[Origin, Connection] = {}
        shots: dict[int, Shot] = {}
        visitor: Visitor | None = None
        for position in turns:
            if position in shots:
                continue
            plan, request = self._scenario.plans[position], self._requests[position]
            if isinstance(plan, Journey):
                visitor = visitor or self._visitor()
                shots[position] = self._journey(position, plan, visitor)
            else:
                assert request
                if request.origin not in connections:
                    connections[request.origin] = self._wire.connect(request.origin)
                shots[position] = self._shot(position, plan, request, connections[request.origin])
        return [shots[position] for position in turns]

    def _visitor(self) -> Visitor:
        from loadkit.drive.journeys.runner import Visitor
        from loadkit.wire.session.lookups import Lookups

        self._lookups = self._lookups or Lookups(system=True)
        return Visitor(self._scenario, self._clock, self._lookups, self._shared)

    def _journey(self, position: int, journey: Journey, visitor: Visitor) -> Shot:
        tape = Tape(journey.label, 0, JOURNEY)
        send = visitor.journey(journey, self._feeds.taker(position))
        return Shot(send=send, request=None, tape=tape, connection=visitor, good=frozenset({0}), visitor=visitor)

    def _shot(self, position: int, endpoint: Endpoint, request: Request, connection: Connection) -> Shot:
        tape = Tape(self._rows[position], len(request.payload))
        fed = None if endpoint.feed is None else self._feeds.sender(position, request, connection, tape, self._course)
        return Shot(
            send=fed.send if fed else connection.sender(request),
            request=request,
            tape=tape,
            connection=connection,
            good=endpoint.good,
            check=endpoint.check,
            draw=fed and fed.draw,
            put_back=fed and fed.put_back,
        )

    def _start(self) -> None:
        """All threads connect, then wait for each other and start together."""
        barrier = self._barrier = threading.Barrier(len(self._users) + 1, action=self._begin)
        with _small_stacks():
            for user in self._users:
                try:
                    self._start_one(user, barrier)
                except RuntimeError as error:
                    barrier.abort()
                    many = len(self._threads)
                    raise UsageError(f"cannot start more than {many:,} threads here: {error}") from None
        self._await_all(barrier)

    def _start_one(self, user: User, barrier: threading.Barrier | None) -> None:
        name = f"loadkit-{len(self._threads)}"
        thread = threading.Thread(target=self._live, args=(user, barrier), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _await_all(self, barrier: threading.Barrier) -> None:
        """Wait until all have connected; an interrupt ends their connecting, and nothing is sent then."""
        while barrier.n_waiting < len(self._users) and not barrier.broken:
            if self._interrupts() and not self._interrupted:
                self._interrupted = True
                for user in self._users:
                    user.abort()
            if self._interrupts() > 1:
                # somebody's own code holds a thread
                self._cut()
                barrier.abort()
            self._show("starting", every=SHOW_EVERY)
            time.sleep(0.002)
        if not barrier.broken:
            # the parent of several processes waits until each is ready, and starts none if one is not
            time.sleep(SETTLE)
            self._await_beginning()
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            # a thread could not be made ready; it is told when all have ended
            self._began = self._course.stop_at = self._course.measured_from = self._clock.now()

    def _await_beginning(self) -> None:
        """Read the machine, which takes 0.5 ms, by which the first request would be late if it were read later."""
        if self._relay:
            self._began = self._relay.begin()
            self._clock.pause(self._began - READ_BEFORE - self._clock.now(), lambda: False)
        if not self._workload.warmup:
            self._probe.begin()
        if self._relay:
            self._clock.pause(self._began - self._clock.now(), lambda: False)

    def _begin(self) -> None:
        """All are ready: set the course. Called by one thread while the others wait."""
        self._began = self._course.began = self._began or self._clock.now()
        # one of several processes may have waited long for the order to begin
        self._interrupted = self._interrupted or bool(self._interrupts())
        if self._interrupted:
            self._course.stop_at = self._course.measured_from = self._began
            return
        self._course.measured_from = self._began + self._workload.warmup
        if self._workload.duration is not None:
            self._course.stop_at = self._course.measured_from + self._workload.duration

    def _live(self, user: User, barrier: threading.Barrier | None) -> None:
        try:
            user.prepare()
            if barrier:
                barrier.wait()
            user.run()
        except threading.BrokenBarrierError:
            pass
        except Halt as halt:
            if barrier:
                user.crash = halt
                barrier.abort()
            else:
                # one that came later, for a load that grew
                self._course.halt_at(self._clock.now(), halt)
        except BaseException as error:  # noqa: BLE001 - a fault of ours, raised again where the run was asked for
            user.crash = error
            if barrier:
                barrier.abort()
        finally:
            if not user.has_run:
                user.leave()
            self._finished.append(user)
            self._calls.release()

    # -- during

    def _direct(self) -> None:
        looked = self._clock.now()
        while len(self._finished) < len(self._users) and not self._is_hopeless():
            if self._calls.acquire(timeout=TICK):
                self._grow()
                if self._clock.now() - looked < TICK * SECOND:
                    continue
            looked = self._clock.now()
            self._collect()
            self._clock.reanchor()
            self._look()
            self._read_machine()
            self._steer()
            self._show(self._stage(), every=SHOW_EVERY)
            self._keep()
        # all may have ended since it was looked at
        self._stop_at_halt()
        self._probe.end()
        left = len(self._users) - len(self._finished)
        for user, thread in zip(self._users, self._threads, strict=True):
            if left and thread.is_alive():
                user.abandon()
        self._collect()
        for user in self._users:
            if isinstance(user.crash, UsageError):
                if self._interrupted:
                    continue  # it was cut off while it connected
                raise user.crash
            if user.crash:
                raise LoadkitError(f"a thread of loadkit failed: {user.crash!r}") from user.crash
        self._ended = self._clock.now() if left else max(user.ended for user in self._users)
        if not left:
            for thread in self._threads:
                thread.join()

    def _grow(self) -> None:
        """Add threads to an open workload that finds all of them busy: some, so that the next may find one free."""
        pool = self._pool
        if not pool or not pool.is_short:
            return
        pool.is_short = False
        if self._clock.now() >= self._course.stop_at:
            return
        coming = sum(not user.ready for user in self._users[-self._most_threads // SPARE_SHARE :])
        wanted = 1 + len(self._users) // SPARE_SHARE - coming - len(pool.idle)
        with _small_stacks():
            for _ in range(min(wanted, self._most_threads - len(self._users))):
                user = self._open_user(pool)
                try:
                    self._start_one(user, None)
                except RuntimeError:  # the system has no more; what there is goes on
                    self._most_threads = len(self._users)
                    break
                self._users.append(user)
        be_patient(len(self._users))
        self._was_short = self._was_short or (wanted > 0 and len(self._users) >= self._most_threads)

    def _look(self) -> None:
        """See how many requests are under way."""
        if self._course.measured_from <= self._clock.now() < self._course.stop_at:
            self._looks += 1
            self._seen_in_flight += self._in_flight()

    def _read_machine(self) -> None:
        """As the warm-up ends, as the measured time does (both a tick late at most), and in between."""
        now = self._clock.now()
        if now >= self._course.stop_at:
            self._probe.end()
        elif self._probe.has_begun:
            self._probe.look()
        elif now >= self._course.measured_from:
            self._probe.begin()

    def _in_flight(self) -> int:
        return sum(user.in_flight for user in self._users)

    def _is_hopeless(self) -> bool:
        """Cut long ago, and threads still do not end: their own code holds them."""
        return self._course.cutting and self._clock.now() > self._cut_at + PATIENCE

    def _steer(self) -> None:
        now = self._clock.now()
        asked = self._interrupts()
        if asked and (now < self._course.stop_at or self._course.finishing):
            self._interrupted = True
            self._stop(now)
        self._stop_at_halt()
        if not self._scenario.keep_going and self._is_down(now):
            self._unreachable = True
            self._stop(now)
        if now >= self._course.stop_at and not self._has_stopped and not self._course.finishing:
            # those in the middle of a journey may be long in code of their own
            self._has_stopped = True
            if self._pool:
                self._pool.end()
            for user in self._users:
                user.stop()
        late = now > self._course.stop_at + self._workload.graceful_stop
        if (asked > 1 or late) and not self._course.cutting:
            self._cut()

    def _is_down(self, now: int) -> bool:
        """True if no connection was ever made, and all threads that have begun were refused one, for long enough."""
        self._has_connected = self._has_connected or any(user.has_connected for user in self._users)
        if self._has_connected:
            return False
        refusals = sum(user.refusals for user in self._users)
        turned_away = sum(user.is_turned_away for user in self._users)
        # one that rests and was neither connected nor refused had no request yet; others are in their first
        is_first = any(user.ready and not (user.resting or user.is_turned_away) for user in self._users)
        if not refusals or is_first:
            self._down_since = now
        return refusals + turned_away >= GIVE_UP_AFTER and now - max(self._down_since, self._began) >= GIVE_UP_LATER

    def _stop_at_halt(self) -> None:
        if self._course.halt:
            at, halt = self._course.halt
            self._interrupted = self._interrupted or halt.is_interrupt
            self._course.finishing = not (halt.is_fault or self._interrupted)
            self._stop(at)

    def _stop(self, at: int) -> None:
        if at >= self._course.stop_at:
            return
        self._course.measured_from = min(self._course.measured_from, at)
        self._course.stop_at = at
        for user in self._users:
            user.stop()

    def _cut(self) -> None:
        self._cut_at = self._clock.now()
        self._course.cutting = True
        if self._pool:
            self._pool.end()
        for user in self._users:
            user.stop()
            user.abort()

    def _leave_nobody(self) -> None:
        """Something was thrown at us, by a watcher or by a handler of signals: no thread goes on without us."""
        self._course.stop_at = self._course.measured_from = 0
        self._cut()
        if self._barrier:
            self._barrier.abort()
        deadline = self._clock.now() + PATIENCE
        for thread in self._threads:
            thread.join(max(0, deadline - self._clock.now()) / SECOND)

    def _collect(self) -> None:
        handed = self._handed
        while handed:
            self._recording.absorb(handed.popleft())
        if self._relay:
            if self._clock.now() - self._relayed >= SECOND:
                self._hand_on(self._relay)
        elif self._course.measured_from < NEVER:
            # threads that wait for a slow reply hand a second over late; three are kept open for them
            self._recording.close_before(second_of(self._clock.now(), self._course.measured_from) - RECENT - 1)

    def _keep(self) -> None:
        before = second_of(self._clock.now() - LATE, self._course.measured_from)
        if self._keeper and before > 0 and self._keeper.is_due:
            self._keeper.take(lambda: self._so_far(before))

    def _so_far(self, before: int) -> Driven:
        recording = self._recording.so_far(before)
        stopped_at = min(self._course.measured_from + recording.complete * SECOND, self._course.stop_at)
        return self._driven(recording, stopped_at, self._probe.use_so_far())

    def _hand_on(self, relay: Relay) -> None:
        self._relayed = self._clock.now()
        relay.take(self._recording.drain(), self._course.measured_from)

    def _stage(self) -> str:
        start = self._course.measured_from
        return stage_at(self._workload.stretches, self._clock.now() - start, self._course.stop_at - start)

    def _level(self) -> float | None:
        return level_at(self._workload.stretches, self._clock.now() - self._course.measured_from)

    def _show(self, stage: str, *, every: int = 0) -> None:
        now = self._clock.now()
        if not self._watch or now - self._shown < every:
            return
        self._shown = now
        second = max(0, second_of(self._clock.now(), self._course.measured_from))
        seconds = min(RECENT, second)
        recent = self._recording.between(second - seconds, second)
        requests, failures = self._recording.requests_and_failures()
        if stage == "draining":
            seconds = 0  # what comes now says nothing of the rate
        p99 = recent.response_time.percentile(99) if seconds else None
        self._watch(
            Snapshot(
                name=self._scenario.name or "",
                stage=stage,
                elapsed=self._elapsed(),
                planned=None if self._workload.duration is None else self._workload.duration / SECOND,
                iterations=self._workload.iterations,
                journeys=self._recording.journeys() if self._scenario.journeys else None,
                threads=len(self._users),
                in_flight=self._in_flight(),
                requests=requests,
                failures=failures,
                rate=recent.good / seconds if seconds else None,
                p99=None if p99 is None else p99 / SECOND,
                asked_rate=self._asked_rate(),
                asked_threads=self._asked_threads(),
                is_interrupted=self._interrupted,
            )
        )

    def _asked_rate(self) -> float | None:
        if isinstance(self._workload, Closed) or self._scenario.journeys:
            # of journeys, it cannot be held against a rate of requests
            return None
        return cast(float, self._scenario.rate) if self._scenario.rate else self._level()

    def _asked_threads(self) -> float | None:
        return self._level() if isinstance(self._workload, Closed) else None

    def _elapsed(self) -> float:
        if not self._began:
            return 0.0
        start = self._began if self._clock.now() < self._course.measured_from else self._course.measured_from
        return (self._clock.now() - start) / SECOND

    # -- after

    def _result(self) -> Driven:
        self._count_never_sent()
        if self._relay:
            self._hand_on(self._relay)
        else:
            self._recording.finish()
        self._show("draining")
        stopped_at, use = self._stopped_at(self._clock.now()), self._probe.use()
        return self._driven(self._recording, stopped_at, use, stuck=_places(self._threads))

    def _driven(self, recording: Recording, stopped_at: int, use: Use, stuck: tuple[str, ...] = ()) -> Driven:
        measured_from = min(self._course.measured_from, self._clock.now())
        halt = self._course.halt[1] if self._course.halt else None
        ends_it = halt is not None and halt.is_interrupt
        stats = RunStats(
            measured_from=measured_from,
            stopped_at=stopped_at,
            interrupted=self._interrupted or ends_it,
            unreachable=self._unreachable,
            fault=str(halt) if halt and halt.is_fault and not ends_it else "",
            is_dry=isinstance(halt, Dry),
            rows=self._feeds.uses,
            unstamped=sum(connection.unstamped for user in self._users for connection in user.connections),
            cpu_time=_scaled(use, stopped_at - measured_from),
            threads=len(self._users),
            was_short=self._was_short,
            in_flight=in_flight_mean(self._seen_in_flight, self._looks),
            stuck=stuck,
            faults=tuple(fault for user in self._users for fault in user.faults),
            use=use,
            active=tuple(span for user in self._users for span in user.active),
        )
        return Driven(recording=recording, stats=stats)

    def _stopped_at(self, now: int) -> int:
        """The planned end, even where the last arrival before it has been answered and nobody waits for it."""
        is_cut_short = isinstance(self._workload, Open) and self._workload.arrivals.is_cut_short
        by_the_clock = bool(self._pool or self._workload.stretches) and not is_cut_short
        if by_the_clock and self._course.stop_at < NEVER:
            return self._course.stop_at
        return min(self._course.stop_at, self._ended or now)

    def _count_never_sent(self) -> None:
        """Arrivals that were due; what threads of a closed workload did not come to they count themselves."""
        if not self._pool:
            return
        kinds = [JOURNEY if isinstance(plan, Journey) else REQUEST for plan in self._scenario.plans]
        row = [(kinds[position], self._rows[position]) for position in self._pool.turns]
        found = Counter((*row[number % len(row)], self._phase(due)) for number, due in self._never_sent(self._pool))
        for (kind, label, phase), count in found.items():
            self._recording.absorb(Batch(NO_SECOND, phase, label, [], 0, Counts(unsent=count), kind=kind))

    def _never_sent(self, pool: Pool) -> Iterator[tuple[int, int]]:
        yield from pool.unsent
        until = self._course.stop_at - self._course.measured_from
        while (arrival := pool.arrivals.take()) and arrival[1] < until:
            yield arrival

    def _phase(self, due: int) -> int:
        stretches = self._workload.stretches
        return next((k for k, one in enumerate(stretches) if due < one.end), max(0, len(stretches) - 1))


def _scaled(use: Use, span: int) -> int:
    """CPU time in the nanoseconds that were measured: the machine is read a little before and after them."""
    return nanoseconds(use.cpu_seconds * min(1.0, span / SECOND / use.seconds)) if use.seconds else 0


@contextmanager
def _small_stacks() -> Iterator[None]:
    before = threading.stack_size(STACK)
    try:
        yield
    finally:
        threading.stack_size(before)


def _places(threads: list[threading.Thread]) -> tuple[str, ...]:
    """Where the threads are that are still alive."""
    frames = sys._current_frames()
    found = []
    for thread in threads:
        frame = frames.get(thread.ident or 0)
        if thread.is_alive() and frame:
            found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
    return tuple(dict.fromkeys(found))
