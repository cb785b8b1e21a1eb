"""The feeds of a scenario: opened before the start, shared by its endpoints, and the senders that draw on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

from loadkit.drive.rows.feed import RowFeed, RowUse
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import Halt
from loadkit.plan.placeholders import columns
from loadkit.plan.workload import row_rotation
from loadkit.wire.base import Exchange, Request, Send
from loadkit.wire.protocols import Connection
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

    Of `parts` processes this is `part`, counted from 0. Raises `FeedError`, before anything is sent, for rows that
    cannot be read or do not have the columns that endpoints want.
    """

    def __init__(self, scenario: Scenario, *, seed: int, part: int = 0, parts: int = 1) -> None:
        self._feeds: dict[int, RowFeed] = {}
        """By the identity of their `Rows`."""
        self._of_plans: dict[int, RowFeed] = {}
        self._fills: dict[int, Fill] = {}
        try:
            for position, plan in enumerate(scenario.plans):
                if plan.feed is None:
                    continue
                feed = self._of_plans[position] = self._feed(plan.feed, scenario, seed, part, parts)
                if isinstance(plan, Endpoint):
                    fill = self._fills[position] = filler(plan, scenario, source=feed.name)
                    fill(feed.first)
        except BaseException:
            self.close()
            raise

    def _feed(self, rows: Rows, scenario: Scenario, seed: int, part: int, parts: int) -> RowFeed:
        if id(rows) in self._feeds:
            return self._feeds[id(rows)]
        wanted = {
            column: endpoint.label
            for endpoint in scenario.plans
            if endpoint.feed is rows and isinstance(endpoint, Endpoint)
            for column in sorted(columns(endpoint))
        }
        turns = row_rotation(scenario, rows, parts)
        feed = self._feeds[id(rows)] = RowFeed(rows, seed=seed, part=part, turns=turns, wanted=wanted)
        return feed

    def taker(self, position: int) -> Callable[[], Row] | None:
        """What hands the next row to a journey, if it has a feed; it may raise `RowsUsedUp` and `FeedError`."""
        feed = self._of_plans.get(position)
        return feed.take if feed else None

    def sender(
        self, position: int, request: Request, connection: Connection, recorder: RowRecorder, state: RunState
    ) -> FedSender:
        """What sends the next row in the request of an endpoint; sending may raise `RowsUsedUp` and `FeedError`."""
        fill, feed = self._fills[position], self._of_plans[position]
        take, send_filled = feed.take, connection.sender(request)
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

    @property
    def uses(self) -> tuple[RowUse, ...]:
        """What has become of the rows of each so far, in the order in which the scenario names them."""
        return tuple(feed.use for feed in self._feeds.values())

    def close(self) -> None:
        """Close all of them."""
        for feed in self._feeds.values():
            feed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
