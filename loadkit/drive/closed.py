"""The loop of a closed workload: the next request is due when the last reply is in, plus a pause or at a pace."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain, cycle, islice
from typing import TYPE_CHECKING, TypeAlias

from loadkit.measure.recording import FOLD
from loadkit.plan.errors import Halt
from loadkit.plan.think_time import BACK_OFF

if TYPE_CHECKING:
    from loadkit.drive.recorder import BoundParts, BoundRequest
    from loadkit.drive.user import User
    from loadkit.plan.workload import ThreadPlan


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a thread rests between two requests: as long as it thinks, or until its pace lets it go on."""

    draw_pause: Callable[[], int] | None
    pacing: int

    @property
    def is_leisurely(self) -> bool:
        """True if it rests at all."""
        return bool(self.draw_pause or self.pacing)

    def next_due(self, began: int, free: int) -> int:
        """When the next request is due, after one that was due at `began` and done with at `free`."""
        if self.draw_pause:
            return free + self.draw_pause()
        return max(free, began + self.pacing)


def closed_loop(user: User, requests: Sequence[BoundRequest], plan: ThreadPlan, pace: Pace) -> None:
    """Send the requests in turn, each when the reply to the last one is in."""
    run_windows(user, requests, plan, lambda rotation: _send_all(user, pace, rotation))


def run_windows(
    user: User, requests: Sequence[BoundRequest], plan: ThreadPlan, send_all: Callable[[Iterator[BoundParts]], None]
) -> None:
    """Go through the stages of a plan; `send_all` returns when the one in which it sends is over."""
    # made when the first one is asked for: what sets up this thread, when it connects, fills the requests
    rotations = (cycle([request.parts for request in requests]) for _ in range(1))
    warming: Iterator[BoundParts] = chain.from_iterable(rotations)
    measured = warming if plan.iterations is None else islice(warming, plan.iterations)
    coming = stages(user, plan)
    for stage, until, end in coming:
        if stage is Stage.REST:
            user.pauses.until(until, end)
        elif stage is Stage.CONNECT:
            user.connect()
        else:
            try:
                send_all(measured if user.recorder.is_measuring else warming)
            except BaseException as error:  # noqa: BLE001 - raised again when that stage has ended
                coming.throw(error)


class Stage(Enum):
    """What a user does next."""

    REST = "wait for an instant, or until the end"
    CONNECT = "connect"
    SEND = "send its requests in turn"
    SERVE = "send arrivals"


Next: TypeAlias = tuple[Stage, int, int]
"""A stage, and of a rest the instant and the end."""


def stages(user: User, plan: ThreadPlan) -> Generator[Next, None, None]:
    """The stages of a plan, each asked for when the one before is over: warm up, and then send within each window."""
    if plan.begins_at_once:
        yield Stage.REST, user.clock.now() + plan.delay, user.state.stop_at
        yield Stage.SEND, 0, 0
    user.recorder.begin_measuring()
    for start, end in plan.windows:
        opens = user.state.measured_from + start
        user.recorder.stage_end = user.state.measured_from + end
        if user.clock.now() < opens:
            yield Stage.REST, opens, user.recorder.end
        if user.clock.now() < user.recorder.end:
            yield from _window(user, opens)


def _window(user: User, opens: int) -> Iterator[Next]:
    active = user.active
    # one that waits for a reply from before, or of the warm-up, is on its way
    active.come(opens if active.last_taken >= opens else user.clock.now())
    if not user.ready:
        yield Stage.CONNECT, 0, 0
    try:
        yield Stage.SEND, 0, 0
    except Halt:
        active.last_taken = user.clock.now()
        raise
    finally:
        active.go()


def _send_all(user: User, pace: Pace, rotation: Iterator[BoundParts]) -> None:
    now, recorder, is_leisurely = user.clock.now, user.recorder, pace.is_leisurely
    due = now()
    if recorder.cross(due):
        return
    recorder.enter_phase(due)
    # the first one alone, to see when it was sent
    many = 1
    while some := list(islice(rotation, many)):
        # read anew after folding, for that pause is between two requests and not a part of one
        after = _send(user, pace, some, due if is_leisurely else now())
        many = FOLD
        if after is None:
            return
        due = after
        for row in recorder.rows:
            row.fold()


def _send(user: User, pace: Pace, some: list[BoundParts], due: int) -> int | None:
    """The hot path: some requests, one after the other. When the next one is due; None if it is time to stop."""
    recorder, active, is_leisurely, slow = user.recorder, user.active, pace.is_leisurely, user.state.slow
    for send, request, row, ordinary, bound in some:
        exchange = status, sent, arrived, taken, size, note = send(request)
        began = due
        if note is None and status in ordinary and taken < recorder.check_at and taken - due <= slow.limit:
            row.samples += (due, sent, arrived, taken, status, size)
            due = taken
        else:
            # a set-up that came before it is a part of what its thread does
            active.saw(due if bound.prepare else sent, taken)
            if recorder.count(bound, due, exchange):
                return None
            due = taken
            if bound.is_followed:
                due = taken = user.clock.now()
                active.saw(sent, taken)
                if _is_over(user, due):
                    return None
            if recorder.is_refused:
                due += BACK_OFF
                if _rest(user, due):
                    return None
        if is_leisurely:
            active.saw(sent, taken)
            due = pace.next_due(began, due)
            if _rest(user, due):
                return None
    active.saw(sent, taken)
    return due


def _rest(user: User, until: int) -> bool:
    """Wait, at most until it is time to stop; True if it is."""
    user.pauses.until(until)
    return _is_over(user, user.clock.now())


def _is_over(user: User, instant: int) -> bool:
    """True if it is time to stop, where something went by after the last reply."""
    recorder = user.recorder
    is_over = instant >= recorder.check_at and recorder.cross(instant)
    recorder.follow_phase(instant)
    return is_over
