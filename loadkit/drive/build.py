"""From a plan to the virtual users that carry it out, each with its connections and what it sends over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from loadkit.drive.carried import CarriedUser
from loadkit.drive.closed import Pace, closed_loop, stages
from loadkit.drive.engine import is_carried, loop_count
from loadkit.drive.follow import Follower
from loadkit.drive.loop_arrivals import LoopArrivals
from loadkit.drive.loop_thread import LoopThread, Runnable
from loadkit.drive.open import Pool, open_loop, serving
from loadkit.drive.pauses import Pauses
from loadkit.drive.recorder import BoundRequest, Recorder
from loadkit.drive.rows.values import by_name
from loadkit.drive.run_plan import RunPlan
from loadkit.drive.shared_iterator import SharedIterator
from loadkit.drive.user import User
from loadkit.host.limits import check_ports, make_room, max_connections
from loadkit.measure.recording import JOURNEY, Batch, RowRecorder
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.journey import Journey
from loadkit.plan.think_time import pauses
from loadkit.plan.urls import strip_url
from loadkit.plan.workload import Closed, Open, ThreadPlan
from loadkit.wire.attempt import complete
from loadkit.wire.base import Origin, Request, Send
from loadkit.wire.exchange_loop.choice import new_loop
from loadkit.wire.protocols import Connection
from loadkit.wire.sockets import SocketConnection

if TYPE_CHECKING:
    from loadkit.drive.journeys.runner import JourneyRunner
    from loadkit.drive.state import RunState
    from loadkit.plan.scenario import Scenario
    from loadkit.wire.connection import HttpConnection

RAN: Final = frozenset({0})
"""The status of a journey that came to its end."""


def origins_of_thread(scenario: Scenario, requests: Sequence[Request | None]) -> set[Origin | None]:
    """Where each thread has a connection to; None is a session of its own, of which nobody knows where it goes."""
    found: set[Origin | None] = {request.origin for request in requests if request}
    return found | {None} if scenario.journeys or scenario.thread_setup else found


class Builder:
    """Makes users, whose batches go to `hand_over`."""

    def __init__(self, plan: RunPlan, state: RunState, hand_over: Callable[[Batch], None]) -> None:
        self._plan = plan
        self._state = state
        self._hand_over = hand_over
        self._labels = plan.scenario.rows

    def make_room(self) -> int:
        """How many threads there may be at most; `UsageError` where the machine does not allow so many."""
        scenario, load = self._plan.scenario, self._plan.load
        per_thread = origins_of_thread(scenario, self._plan.requests)
        if isinstance(load, Closed):
            most = len(load.thread_plans)
        elif scenario.max_threads is None:
            # nobody asked for so many: fewer do where the machine allows fewer
            most = max(load.threads, min(load.max_threads, max_connections() // len(per_thread)))
        else:
            most = load.max_threads
        make_room(most * len(per_thread))
        if any(origin is None or not origin.unix for origin in per_thread):
            check_ports(most)
        return most

    def closed_users(self, load: Closed) -> list[Runnable]:
        """The users of a closed workload: on exchange loops those that they can carry, each other on its own thread."""
        carried = [self._carried_user(load, plan) for plan in load.thread_plans if is_carried(self._plan, plan)]
        alone = [self._closed_user(load, plan) for plan in load.thread_plans if not is_carried(self._plan, plan)]
        if not carried:
            return list(alone)
        fed = {position for one in carried for position in one.requests if self._has_feed(position)}
        filled = {position: self._plan.feeds.filled(position) for position in fed}
        # rows are in order, and used up before the run ends for want of one, where one loop has them all
        many = 1 if filled else loop_count(self._plan, len(carried))
        clock, state, hand_over = self._plan.clock, self._state, self._hand_over
        # dealt out in turn, so that each has its share of those who begin late
        loops = [LoopThread(carried[k::many], new_loop(clock), clock, state, hand_over, filled) for k in range(many)]
        return [*loops, *alone]

    def _carried_user(self, load: Closed, plan: ThreadPlan) -> CarriedUser:
        parts = self._parts(plan.rotation, planned=plan.iterations)
        requests = {position: parts.carried(position) for position in dict.fromkeys(plan.rotation)}
        user = parts.user(None, connects_late=not plan.begins_at_once)
        pace = Pace(pauses(load.think_time, load.seed, plan.number), load.pacing)
        carried = CarriedUser(user, requests, plan, pace, stages(user, plan))
        for position, (bound, _) in requests.items():
            if self._has_feed(position):
                # each has a size of its own, so they are counted one by one
                bound.row.request_size = 0
                bound.filled = lambda: carried.request
        return carried

    def _has_feed(self, position: int) -> bool:
        return self._plan.scenario.plans[position].feed is not None

    def _closed_user(self, load: Closed, plan: ThreadPlan) -> User:
        parts = self._parts(plan.rotation, planned=plan.iterations)
        pace = Pace(pauses(load.think_time, load.seed, plan.number), load.pacing)
        journey = self._plan.scenario.plans[plan.rotation[0]]
        if isinstance(journey, Journey) and journey.tasks_per_thread > 1:
            return self._task_user(journey, plan, pace, parts)
        requests = [parts.request(position) for position in plan.rotation]
        return parts.user(lambda user: closed_loop(user, requests, plan, pace), connects_late=not plan.begins_at_once)

    def _task_user(self, journey: Journey, plan: ThreadPlan, pace: Pace, parts: _UserParts) -> User:
        from loadkit.drive.journeys.tasks import tasks_loop

        position, runner = plan.rotation[0], parts.needed_runner()
        row = parts.rows[position]
        send = runner.add_task(journey, row, self._plan.feeds.taker(position))
        request = BoundRequest(send=send, request=None, row=row, good=RAN)
        return parts.user(
            lambda user: tasks_loop(user, request, plan, pace, runner, journey.tasks_per_thread),
            connects_late=not plan.begins_at_once,
            under_way=0,
        )

    def pool(self, load: Open, notify: Callable[[], object]) -> Pool:
        """What the threads of an open workload share."""
        return Pool(
            arrivals=SharedIterator(load.arrivals.dues()),
            warming=SharedIterator(load.warming.dues()),
            rotation=load.rotation,
            wake_director=notify,
            threads=load.threads,
        )

    def open_users(self, load: Open, pool: Pool) -> list[Runnable]:
        """The first users of an open workload: all on one thread if a loop can carry them, or each on its own."""
        users = [self.open_user(pool) for _ in range(load.threads)]
        carried = [user for user in users if isinstance(user, CarriedUser)]
        if not carried:
            return [user for user in users if isinstance(user, User)]
        clock, state = self._plan.clock, self._state
        loop = new_loop(clock)
        arrivals = LoopArrivals(pool, loop, clock, state)
        return [LoopThread(carried, loop, clock, state, self._hand_over, {}, arrivals)]

    def open_user(self, pool: Pool) -> User | CarriedUser:
        """A user that takes arrivals from a pool; either all can be carried, or none."""
        positions = tuple(range(len(self._plan.requests)))
        parts = self._parts(positions, by_arrival=True)
        plan = ThreadPlan(number=0, rotation=positions)
        # rows belong to arrivals in turn, and not to whoever is free
        if is_carried(self._plan, plan) and not any(map(self._has_feed, positions)):
            carried = {position: parts.carried(position) for position in positions}
            user = parts.user(None)
            return CarriedUser(user, carried, plan, Pace(None, 0), serving(user))
        requests = [parts.request(position) for position in positions]
        return parts.user(lambda user: open_loop(user, requests, pool))

    def _parts(self, positions: Sequence[int], *, planned: int | None = None, by_arrival: bool = False) -> _UserParts:
        requests = self._plan.requests
        rows = {position: _row(self._labels[position], requests[position]) for position in dict.fromkeys(positions)}
        in_turn = [rows[position] for position in positions]
        recorder = Recorder(in_turn, self._state, self._hand_over, planned=planned, by_arrival=by_arrival)
        return _UserParts(self._plan, self._state, recorder, rows)


class _UserParts:
    """What one user is made of: its rows by position, one connection to each origin, and what runs its journeys."""

    def __init__(self, plan: RunPlan, state: RunState, recorder: Recorder, rows: dict[int, RowRecorder]) -> None:
        self.rows = rows
        self._plan = plan
        self._state = state
        self._recorder = recorder
        self._pauses = Pauses(plan.clock, state, recorder)
        self._connections: dict[Origin, Connection] = {}
        self._with_rows: list[tuple[Connection, RowRecorder]] = []
        """The same, each with the row of the first endpoint that uses it; appended to while the user sends."""
        self._runner: JourneyRunner | None = None
        self._requests: dict[int, BoundRequest] = {}
        self._values: dict[str, Any] = {}
        """What set-ups have made for placeholders, once they have run."""
        if plan.scenario.thread_setup or plan.scenario.thread_feed:
            self.needed_runner()

    def user(self, loop: Callable[[User], None] | None, *, connects_late: bool = False, under_way: int = 1) -> User:
        """The user, made of what was asked for so far."""
        return User(
            loop,
            clock=self._plan.clock,
            state=self._state,
            recorder=self._recorder,
            pauses=self._pauses,
            connections=self._with_rows,
            runner=self._runner,
            fill=self._fill if self._plan.scenario.has_values else None,
            connects_late=connects_late,
            under_way=under_way,
        )

    def _fill(self) -> None:
        """Put what set-ups have made into what this thread sends; `SetupError` where a placeholder stays unfilled."""
        plan = self._plan
        self._values |= self._runner.values if self._runner else by_name(plan.shared)
        for position, bound in self._requests.items():
            if filled := plan.feeds.filled_once(position, bound.row.label, self._values):
                bound.request = filled
                bound.row.request_size = len(filled.payload)

    def request(self, position: int) -> BoundRequest:
        """What is sent for an endpoint or a journey."""
        if position not in self._requests:
            plan, request = self._plan.scenario.plans[position], self._plan.requests[position]
            if isinstance(plan, Journey):
                self._requests[position] = self._journey(position, plan)
            else:
                assert request
                self._requests[position] = self._endpoint(position, plan, request)
        return self._requests[position]

    def carried(self, position: int) -> tuple[BoundRequest, HttpConnection]:
        """What an exchange loop sends for an endpoint, and on which connection."""
        request, row, endpoint = self._plan.requests[position], self.rows[position], self._plan.scenario.plans[position]
        assert request
        assert isinstance(endpoint, Endpoint)
        connection = self._connection(request.origin, row)
        assert isinstance(connection, SocketConnection)
        send = partial(complete, connection.http)
        bound = BoundRequest(
            send=send, request=request, row=row, good=endpoint.good, failed_reply=connection.failed_reply
        )
        return bound, connection.http

    def _journey(self, position: int, journey: Journey) -> BoundRequest:
        row, take_row = self.rows[position], self._plan.feeds.taker(position)
        if journey.fixture is None:
            send = self._noting(self.needed_runner().add(journey, row, take_row), row)
            return BoundRequest(send=send, request=None, row=row, good=RAN)
        prepared = self.needed_runner().add_prepared(journey, row, take_row)
        return BoundRequest(
            send=prepared.send,
            request=None,
            row=row,
            good=RAN,
            prepare=prepared.prepare,
            put_back=prepared.discard,
        )

    def _endpoint(self, position: int, endpoint: Endpoint, request: Request) -> BoundRequest:
        row, feeds = self.rows[position], self._plan.feeds
        connection = self._connection(request.origin, row)
        send = self._sender(connection, request)
        follower = self._follower(endpoint, request, connection, row) if endpoint.follow else None
        if follower:
            send = follower.following(send)
        fed = None
        if endpoint.feed is not None:
            fed = feeds.sender(position, request, send, row, self._state, self._values)
        return BoundRequest(
            send=self._noting(fed.send if fed else send, row),
            request=request,
            row=row,
            good=endpoint.good,
            check=endpoint.check,
            reply=(follower or connection).reply,
            failed_reply=(follower or connection).failed_reply,
            filled=fed and fed.filled,
            draw=fed and fed.draw,
            put_back=fed and fed.put_back,
        )

    def _connection(self, origin: Origin, row: RowRecorder) -> Connection:
        if origin not in self._connections:
            self._connections[origin] = self._plan.wire.connect(origin)
            self._with_rows.append((self._connections[origin], row))
        return self._connections[origin]

    def _sender(self, connection: Connection, request: Request) -> Send:
        log = self._plan.log
        return log.sender(connection, request) if log else connection.sender(request)

    def _follower(self, endpoint: Endpoint, request: Request, connection: Connection, row: RowRecorder) -> Follower:
        def connect(origin: Origin) -> Connection:
            self._plan.wire.resolve(origin)
            return self._connection(origin, row)

        return Follower(
            endpoint=endpoint,
            base_url=strip_url(self._plan.scenario.base_url or "").rstrip("/").lower(),
            connect=connect,
            sender=self._sender,
            recorder=self._recorder,
            is_cutting=lambda: self._state.cutting,
            last=connection,
            home=request.origin,
        )

    def _noting(self, send: Callable[[Any], Any], row: RowRecorder) -> Callable[[Any], Any]:
        """The same, which notes what is under way if somebody looks at that: 0.2 us more."""
        if not self._plan.is_monitored:
            return send
        waiting, now, kind, label = self._recorder.contact.waiting, self._plan.clock.now, row.kind, row.label

        def send_and_note(request: Any) -> Any:
            waiting[kind] = label, now()
            try:
                return send(request)
            finally:
                del waiting[kind]

        return send_and_note

    def needed_runner(self) -> JourneyRunner:
        """What runs the journeys of this user, made when it is first asked for."""
        from loadkit.drive.journeys.context import JourneyContext
        from loadkit.drive.journeys.runner import JourneyRunner

        if self._runner is None:
            plan = self._plan
            context = JourneyContext(
                plan.scenario, plan.clock, plan.wire.resolver, plan.shared, self._recorder, self._pauses, plan.log
            )
            self._runner = JourneyRunner(context, plan.scenario, plan.feeds.take_of_thread())
        return self._runner


def _row(label: str, request: Request | None) -> RowRecorder:
    return RowRecorder(label, 0, JOURNEY) if request is None else RowRecorder(label, len(request.payload))
