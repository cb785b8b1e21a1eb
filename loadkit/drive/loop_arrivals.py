"""The arrivals of an open workload on an exchange loop, to which they are offered ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.open import Pool
    from loadkit.drive.shared_iterator import SharedIterator
    from loadkit.drive.state import RunState
    from loadkit.wire.base import Clock
    from loadkit.wire.exchange_loop.contract import ExchangeLoop

AHEAD: Final = SECOND
"""How far ahead of its instant an arrival is offered, at least: so long the loop goes on while Python is held up."""
CHUNK: Final = 64
"""Arrivals that are offered at once: 50 us of work, in which a loop in Python sends nothing."""


class LoopArrivals:
    """Offers a loop the arrivals of a pool, and gives the pool those back that were not sent; for the loop's thread."""

    def __init__(self, pool: Pool, loop: ExchangeLoop, clock: Clock, state: RunState) -> None:
        self._pool = pool
        self._loop = loop
        self._clock = clock
        self._state = state
        self._coming: Iterator[tuple[int, int]] = iter(())
        """Number and instant of those that are not offered yet."""
        self._offered: deque[tuple[int, int]] = deque()
        """The same of those that are, and that were not begun when it was looked last."""
        self._last_due = 0
        self._is_spent = False
        pool.elsewhere = lambda: loop.resting

    def begin(self) -> None:
        """The run begins, and its instants are known."""
        pool, state = self._pool, self._state
        self._coming = chain(_shifted(pool.warming, state.began), _shifted(pool.arrivals, state.measured_from))
        state.slow.begin()
        self._loop.arrivals.rotate(pool.most_idle)
        self._loop.arrivals.ask_for_more()
        self._loop.stop(state.stop_at)

    def offer(self, until: int) -> int:
        """Offer what comes next, if it is not far off; by when this is to be called again, `until` at the latest."""
        now, measured_from = self._clock.now(), self._state.measured_from
        self._forget_begun()
        if self._offered and self._offered[0][1] < measured_from <= now:
            # nobody was free for it in the warm-up, which is over
            self._loop.arrivals.withdraw()
            self._offered = deque(one for one in self._offered if one[1] >= measured_from)
            self._hand_in(self._offered)
        if not self._is_spent and self._last_due < now + AHEAD:
            some = list(islice(self._coming, CHUNK))
            self._is_spent = len(some) < CHUNK
            self._last_due = some[-1][1] if some else 0
            self._offered += some
            self._hand_in(some)
            return now
        return min(until, measured_from) if now < measured_from else until

    def _hand_in(self, some: Iterable[tuple[int, int]]) -> None:
        rotation = self._pool.rotation
        arrivals = [(rotation[number % len(rotation)], due) for number, due in some]
        self._loop.arrivals.offer(arrivals)
        if self._is_spent:
            self._loop.arrivals.finish()

    def _forget_begun(self) -> None:
        for _ in range(len(self._offered) - self._loop.arrivals.offered):
            self._offered.popleft()

    def grow(self) -> None:
        """No user was idle: have there be more, if there may be."""
        self._pool.ask()
        if not self._pool.was_short:
            self._loop.arrivals.ask_for_more()

    def end(self) -> None:
        """All users have ended: what they left is unsent."""
        self._forget_begun()
        state = self._state
        self._pool.unsent += (
            (number, due - state.measured_from)
            for number, due in self._offered
            if state.measured_from <= due < state.stop_at
        )


def _shifted(arrivals: SharedIterator[tuple[int, int]], start: int) -> Iterator[tuple[int, int]]:
    """Arrivals with their instants by the clock."""
    return ((number, start + due) for number, due in iter(arrivals.take, None))
