"""From a plan to the virtual users that carry it out, each with its connections and what it sends over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadkit.drive.closed import ClosedUser
from loadkit.drive.open import OpenUser, Pool
from loadkit.drive.supply import Supply
from loadkit.drive.user import Shot, User
from loadkit.host.limits import check_ports, make_room, max_connections
from loadkit.measure.recording import JOURNEY, Batch, Tape
from loadkit.plan.journey import Journey
from loadkit.plan.think_time import pauses
from loadkit.plan.workload import Closed, Open, Seat
from loadkit.wire.base import Clock, Origin, Request
from loadkit.wire.protocols import Connection, Wire

if TYPE_CHECKING:
    from loadkit.drive.journeys.runner import Visitor
    from loadkit.drive.rows.sender import Feeds
    from loadkit.drive.state import RunState
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What is run: a scenario, or a part of one, whose endpoints became `requests`, in order; None for a journey."""

    scenario: Scenario
    load: Closed | Open
    requests: Sequence[Request | None]
    wire: Wire
    clock: Clock
    feeds: Feeds
    shared: object
    """For journeys."""


class Builder:
    """Makes users, whose batches go to `hand_over`."""

    def __init__(self, plan: RunPlan, state: RunState, hand_over: Callable[[Batch], None]) -> None:
        self._plan = plan
        self._state = state
        self._hand_over = hand_over
        self._rows = plan.scenario.rows

    def make_room(self) -> int:
        """How many threads there may be at most; `UsageError` where the machine does not allow so many."""
        scenario, load = self._plan.scenario, self._plan.load
        per_thread: set[object] = {request.origin for request in self._plan.requests if request}
        if scenario.journeys:
            # a session of its own, of which nobody knows where it goes
            per_thread.add(None)
        if isinstance(load, Closed):
            most = len(load.seats)
        elif scenario.max_threads is None:
            # nobody asked for so many: fewer do where the machine allows fewer
            most = max(load.threads, min(load.max_threads, max_connections() // len(per_thread)))
        else:
            most = load.max_threads
        make_room(most * len(per_thread))
        if any(not (isinstance(origin, Origin) and origin.unix) for origin in per_thread):
            check_ports(most)
        return most

    def closed_users(self, load: Closed) -> list[User]:
        """A user for each thread of a closed workload."""
        return [self._closed_user(load, seat) for seat in load.seats]

    def _closed_user(self, load: Closed, seat: Seat) -> User:
        shots = self._shots(seat.turns)
        fields: dict[str, Any] = {
            "clock": self._plan.clock,
            "state": self._state,
            "hand_over": self._hand_over,
            "seat": seat,
            "draw_pause": pauses(load.think_time, load.seed, seat.number),
            "pacing": load.pacing,
        }
        plan, visitor = self._plan.scenario.plans[seat.turns[0]], shots[0].visitor
        if isinstance(plan, Journey) and plan.tasks_per_thread > 1:
            from loadkit.drive.journeys.tasks import TaskUser

            assert visitor
            visit = visitor.task(plan, self._plan.feeds.taker(seat.turns[0]))
            return TaskUser(shots, **fields).run_tasks(visitor, visit, plan.tasks_per_thread)
        return ClosedUser(shots, **fields)

    def pool(self, load: Open, notify: Callable[[], object]) -> Pool:
        """What the threads of an open workload share."""
        return Pool(
            arrivals=Supply(load.arrivals.dues()),
            warming=Supply(load.warming.dues()),
            turns=load.turns,
            tell=notify,
            threads=load.threads,
        )

    def open_user(self, pool: Pool) -> User:
        """A user that takes arrivals from a pool."""
        shots = self._shots(tuple(range(len(self._plan.requests))))
        return OpenUser(shots, clock=self._plan.clock, state=self._state, hand_over=self._hand_over, pool=pool)

    def _shots(self, turns: tuple[int, ...]) -> list[Shot]:
        """What one thread sends in turn, over one connection to each origin."""
        connections: dict[Origin, Connection] = {}
        shots: dict[int, Shot] = {}
        visitor: Visitor | None = None
        for position in turns:
            if position in shots:
                continue
            plan, request = self._plan.scenario.plans[position], self._plan.requests[position]
            if isinstance(plan, Journey):
                visitor = visitor or self._visitor()
                shots[position] = self._journey(position, plan, visitor)
            else:
                assert request
                if request.origin not in connections:
                    connections[request.origin] = self._plan.wire.connect(request.origin)
                shots[position] = self._shot(position, plan, request, connections[request.origin])
        return [shots[position] for position in turns]

    def _visitor(self) -> Visitor:
        from loadkit.drive.journeys.runner import Visitor

        return Visitor(self._plan.scenario, self._plan.clock, self._plan.wire.resolver, self._plan.shared)

    def _journey(self, position: int, journey: Journey, visitor: Visitor) -> Shot:
        tape = Tape(journey.label, 0, JOURNEY)
        send = visitor.journey(journey, self._plan.feeds.taker(position))
        return Shot(send=send, request=None, tape=tape, connection=visitor, good=frozenset({0}), visitor=visitor)

    def _shot(self, position: int, endpoint: Endpoint, request: Request, connection: Connection) -> Shot:
        tape = Tape(self._rows[position], len(request.payload))
        feeds = self._plan.feeds
        fed = None if endpoint.feed is None else feeds.sender(position, request, connection, tape, self._state)
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
