"""The feeds of a scenario: opened before the start, shared by its endpoints, and the senders that draw on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from loadkit.drive.rows.feed import RowFeed, RowUse
from loadkit.drive.rows.filled import AHEAD, FilledRequests
from loadkit.drive.rows.values import check_filled
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import Halt
from loadkit.plan.part import WHOLE, Part
from loadkit.plan.placeholders import columns, with_headers
from loadkit.plan.workload import row_turns
from loadkit.wire.base import Exchange, Request, Send
from loadkit.wire.template import Fill, filler

if TYPE_CHECKING:
    from loadkit.drive.state import RunState
    from loadkit.measure.recording import RowRecorder
    from loadkit.plan.data import Row, Rows
    from loadkit.plan.scenario import Scenario


class FedSender(NamedTuple):
    """Sends the next row of a feed; `draw` takes the row beforehand, `put_back` gives up what was drawn."""

    send: Send
    filled: Callable[[], Request]
    """The request that was sent last."""
    draw: Callable[[], None]
    put_back: Callable[[], None]


class Feeds:
    """One feed for each `Rows`, however many endpoints have it.

    `keep` is that of `encode`. Raises `FeedError`, before anything
    is sent, for rows that cannot be read or do not have the columns that endpoints want.
    """

    def __init__(self, scenario: Scenario, *, seed: int, part: Part = WHOLE, keep: int | None = None) -> None:
        self._feeds: dict[int, RowFeed] = {}
        """By the identity of their `Rows`."""
        self._of_plans: dict[int, RowFeed] = {}
        self._fills: dict[int, Fill] = {}
        self._columns: dict[int, frozenset[str]] = {}
        """Of each endpoint those that are no columns of its feed, and that set-ups fill."""
        self._of_threads: RowFeed | None = None
        try:
            for position, plan in enumerate(scenario.plans):
                if plan.feed is not None:
                    self._of_plans[position] = self._feed(plan.feed, scenario, seed, part)
                if isinstance(plan, Endpoint):
                    self._add_fill(position, plan, scenario, keep)
            if (rows := scenario.thread_feed) is not None:
                self._of_threads = self._feeds.get(id(rows)) or RowFeed(
                    rows, seed=seed, turns=[[turn == part.first for turn in range(part.step)]]
                )
        except BaseException:
            self.close()
            raise

    def _add_fill(self, position: int, endpoint: Endpoint, scenario: Scenario, keep: int | None) -> None:
        feed = self._of_plans.get(position)
        wanted = columns(with_headers(endpoint, scenario.headers)) if feed or scenario.has_values else frozenset()
        if not wanted:
            return
        self._columns[position] = wanted - feed.first.keys() if feed else wanted
        source = feed.name if feed else "what sets up"
        fill = self._fills[position] = filler(endpoint, scenario, source=source, keep=keep)
        if feed and not self._columns[position]:
            fill(feed.first)

    def _feed(self, rows: Rows, scenario: Scenario, seed: int, part: Part) -> RowFeed:
        if id(rows) in self._feeds:
            return self._feeds[id(rows)]
        wanted = {
            column: endpoint.label
            for endpoint in scenario.plans
            if endpoint.feed is rows and isinstance(endpoint, Endpoint) and not scenario.has_values
            for column in sorted(columns(endpoint))
        }
        turns = row_turns(scenario, rows, part)
        feed = self._feeds[id(rows)] = RowFeed(rows, seed=seed, turns=turns, wanted=wanted)
        return feed

    def taker(self, position: int) -> Callable[[], Row] | None:
        """What hands the next row to a journey, if it has a feed; it may raise `RowsUsedUp` and `FeedError`."""
        feed = self._of_plans.get(position)
        return feed.take if feed else None

    def take_of_thread(self) -> Callable[[], Row] | None:
        """What hands a row to the set-up of a thread."""
        return self._of_threads.take if self._of_threads else None

    def filled_once(self, position: int, label: str, values: Mapping[str, Any]) -> Request | None:
        """The request of an endpoint without a feed, where what sets up fills it; None where nothing does.

        Raises `SetupError` where a placeholder is not filled by what sets up, of an endpoint with a feed, too.
        """
        check_filled(self._columns.get(position, ()), values, what=label)
        return self._fills[position](values) if position in self._fills and position not in self._of_plans else None

    def sender(
        self,
        position: int,
        request: Request,
        send_filled: Send,
        recorder: RowRecorder,
        state: RunState,
        values: Mapping[str, Any],
    ) -> FedSender:
        """What sends the next row in the request of an endpoint; sending may raise `RowsUsedUp` and `FeedError`.

        `send_filled` sends what was filled; `values` are what sets up has made, once it has run.
        """
        fill_row, feed = self._fills[position], self._of_plans[position]
        fill = (lambda row: fill_row({**values, **row})) if self._columns[position] else fill_row
        take = feed.take
        # each has a size of its own, so they are counted here
        recorder.request_size = 0

        drawn: Request | Halt | None = None
        sent = request
        row: Row | None = None

        def draw() -> None:
            nonlocal drawn, row
            row = None
            try:
                row = take()
                drawn = fill(row)
            except Halt as halt:
                # that the rows have ended is found when the first one is missing
                drawn = halt

        def put_back() -> None:
            nonlocal drawn
            if row is not None and not isinstance(drawn, Halt):
                feed.put_back(row)
            drawn = None

        def send(_: Request) -> Exchange:
            nonlocal drawn, sent
            filled, drawn = drawn or fill(take()), None
            if isinstance(filled, Halt):
                raise filled
            sent = filled
            exchange = send_filled(filled)
            note = exchange[5]
            if note is None or note.failure is None or (exchange[1] and not state.cutting):
                recorder.bytes_sent += len(filled.payload)
            return exchange

        return FedSender(send, lambda: sent, draw, put_back)

    def filled(self, position: int) -> FilledRequests:
        """The requests of an endpoint, one after the other; ahead of their sending where nobody else has its rows."""
        feed = self._of_plans[position]
        is_alone = [*self._of_plans.values(), self._of_threads].count(feed) == 1
        return FilledRequests(feed, self._fills[position], AHEAD if is_alone and not feed.is_lazy else 1)

    @property
    def uses(self) -> tuple[RowUse, ...]:
        """What has become of the rows of each so far, in the order in which the scenario names them."""
        return tuple(feed.use for feed in self._feeds.values())

    def close(self) -> None:
        """Close all of them."""
        for feed in self._feeds.values():
            feed.close()
        if self._of_threads:
            self._of_threads.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
