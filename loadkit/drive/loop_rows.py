"""What an exchange loop has done, in rows: its samples are split by second and phase when they are taken from it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress, repeat
from typing import TYPE_CHECKING, cast

from loadkit.measure.counts import STRIDE, bounds
from loadkit.measure.recording import FOLD, Batch, RowRecorder, second_of
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.recorder import BoundRequest
    from loadkit.drive.rows.filled import FilledRequests
    from loadkit.drive.state import RunState
    from loadkit.wire.base import Request
    from loadkit.wire.exchange_loop.contract import Event, ExchangeLoop


class LoopRow:
    """The samples of one request of a loop, for all of its users; what was sent in the warm-up is left out.

    `position` is that of its endpoint in the scenario, whose requests are `filled`, each for one exchange, if it has a
    feed.
    """

    __slots__ = (
        "_hand_over",
        "_loop",
        "_phase",
        "_request",
        "_row",
        "_second",
        "_state",
        "filled",
        "number",
        "position",
    )

    def __init__(
        self,
        loop: ExchangeLoop,
        position: int,
        bound: BoundRequest,
        filled: FilledRequests | None,
        state: RunState,
        hand_over: Callable[[Batch], None],
    ) -> None:
        request = cast("Request", bound.request)
        payload = None if filled else request.payload
        self.number = loop.add_request(payload, request.timeout, repeatable=request.idempotent)
        """The loop's."""
        self.position = position
        self.filled = filled
        self._loop = loop
        self._row = RowRecorder(bound.row.label, bound.row.request_size)
        self._row.sink = state.samples
        self._request = request
        self._state = state
        self._hand_over = hand_over
        self._second = self._phase = 0

    def request_of(self, event: Event) -> Request:
        """What is sent in an exchange that the loop has handed out."""
        return self.filled.take(event.payload) if self.filled else self._request

    def supply(self) -> bool:
        """Have as many as are wanted of what is `filled` ready in the loop; False if there are none any more."""
        assert self.filled
        ready = self._loop.supply(self.number, ())
        return self._loop.supply(self.number, self.filled.draw(ready)) > 0

    def take(self, samples: Sequence[int]) -> None:
        """Count samples that the loop has just given up, in the order in which they were taken."""
        start = self._state.measured_from
        requests: Sequence[Request] = ()
        if self.filled:
            requests = list(map(self.filled.take, self._loop.payloads(self.number)))
        if bounds(samples)[0] < start:
            samples, requests = _chosen(lambda due: due >= start, samples, requests)
        while samples:
            second = second_of(samples[3], start)
            end = start + (second + 1) * SECOND
            many = len(samples) // STRIDE if samples[-3] < end else bisect_left(samples[3::STRIDE], end)
            self._take_of_second(second, samples[: many * STRIDE], requests[:many])
            samples, requests = samples[many * STRIDE :], requests[many:]

    def _take_of_second(self, second: int, samples: Sequence[int], requests: Sequence[Request]) -> None:
        first_due, last_due, longest = bounds(samples)
        first, last = self._phase_of(first_due), self._phase_of(last_due)
        if first == last:
            self._write(second, first, samples, requests, longest)
            return
        for phase in range(first, last + 1):
            within, theirs = _chosen(lambda due: self._phase_of(due) == phase, samples, requests)  # noqa: B023 - at once
            if within:
                self._write(second, phase, within, theirs, longest)

    def _phase_of(self, due: int) -> int:
        ends = self._state.phase_ends
        return min(bisect_right(ends, due - self._state.measured_from), len(ends) - 1) if ends else 0

    def _write(
        self, second: int, phase: int, samples: Sequence[int], requests: Sequence[Request], longest: int
    ) -> None:
        row, state = self._row, self._state
        if (second, phase) != (self._second, self._phase):
            self.hand_over()
            self._second, self._phase = second, phase
        if len(samples) < FOLD * STRIDE:
            row.samples += samples
            row.fold()
        else:
            row.take(samples)
        row.bytes_sent += sum(len(request.payload) for request in requests)
        if samples[-3] > state.stop_at:
            row.counts.drained += sum(arrived > state.stop_at for arrived in samples[2::STRIDE])
        if longest > state.slow.limit:
            self._note_slow(samples, requests or repeat(self._request))

    def _note_slow(self, samples: Sequence[int], requests: Iterable[Request]) -> None:
        for (due, sent, arrived, _, status, _), request in zip(_each(samples), requests, strict=False):
            if self._state.slow.offer(arrived - due):
                self._row.note_slow(arrived - due, due, arrived - sent, status, request)

    def end_second(self, second: int) -> None:
        """Hand over what was written before a second."""
        if self._second < second:
            self.hand_over()

    def hand_over(self) -> None:
        """Hand over what was written."""
        if batch := self._row.hand_over(self._second, self._phase):
            self._hand_over(batch)


class LoopRows:
    """The rows of all requests of a loop; `feeds` are those that are filled, by their positions in the scenario."""

    def __init__(
        self,
        loop: ExchangeLoop,
        state: RunState,
        feeds: Mapping[int, FilledRequests],
        hand_over: Callable[[Batch], None],
    ) -> None:
        self.numbers: dict[int, int] = {}
        """The loop's, of requests by their positions in the scenario."""
        self._loop = loop
        self._state = state
        self._feeds = feeds
        self._hand_over = hand_over
        self._rows: list[LoopRow] = []
        """By the loop's numbers."""
        self._second = 0

    def add(self, position: int, bound: BoundRequest) -> None:
        """Have a row for a request, if there is none."""
        if position in self.numbers:
            return
        row = LoopRow(self._loop, position, bound, self._feeds.get(position), self._state, self._hand_over)
        self.numbers[position] = row.number
        self._rows.append(row)

    def of(self, number: int) -> LoopRow:
        """The row of a request, by the loop's number."""
        return self._rows[number]

    def supply(self) -> None:
        """Fill requests ahead of their sending."""
        for row in self._rows:
            if row.filled and row.filled.is_ahead:
                row.supply()

    def take(self, now: int) -> bool:
        """Count what the loop has done; True if a second has passed, of which all was handed over."""
        for row, samples in zip(self._rows, self._loop.take(), strict=True):
            if samples:
                row.take(samples)
        second = second_of(now, self._state.measured_from)
        if second <= self._second:
            return False
        self._second = second
        for row in self._rows:
            row.end_second(second)
        return True

    def hand_over(self) -> None:
        """Hand over what was written."""
        for row in self._rows:
            row.hand_over()

    def put_back(self) -> None:
        """Nothing more is sent: give back what was filled ahead."""
        for row in self._rows:
            if row.filled:
                row.filled.put_back()


def _chosen(
    is_wanted: Callable[[int], bool], samples: Sequence[int], requests: Sequence[Request]
) -> tuple[list[int], list[Request]]:
    """Those samples whose due instant is wanted, and their requests if they have some."""
    wanted = [is_wanted(due) for due in samples[::STRIDE]]
    kept = compress(_each(samples), wanted)
    return [value for one in kept for value in one], list(compress(requests, wanted))


def _each(samples: Sequence[int]) -> zip[tuple[int, ...]]:
    return zip(*(samples[k::STRIDE] for k in range(STRIDE)), strict=True)
