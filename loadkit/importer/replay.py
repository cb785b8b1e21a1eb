"""Access logs as recorded arrivals: each of their requests again, at its instant, by one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadkit.importer.access_log import Parse
from loadkit.importer.arrival_store import ArrivalStore, Summary
from loadkit.importer.log_summary import SAFE, LogSummary
from loadkit.plan.data import Rows
from loadkit.plan.endpoint import METHODS, Endpoint
from loadkit.plan.errors import NothingToRun
from loadkit.plan.labels import MAX_LABELS, OTHER, fold_path
from loadkit.plan.loader import load
from loadkit.plan.recorded import RecordedArrivals
from loadkit.plan.remote import with_fields
from loadkit.plan.scenario import Scenario, ScenarioFields, Source
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from loadkit.drive.processes.protocol import Assignment
    from loadkit.drive.stats import Driven
    from loadkit.plan.part import Part

_BARE: Final = Scenario(endpoints=[Endpoint("GET", "/")])
"""What sends the requests of a log beside which no scenario is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What is sent and when, and what is to be said of the logs."""

    store: ArrivalStore
    endpoints: Sequence[Endpoint]
    arrivals: RecordedArrivals
    notes: Sequence[str] = ()

    def of(self, scenario: Scenario) -> Scenario:
        """The scenario with these requests in the place of its own, as another process finds it, too."""
        source = scenario.source or Source(target="", scenario=_BARE)
        written = Source(
            target=source.target, scenario=self._in(source.scenario), runner=__name__, record=str(self.store.path)
        )
        return self._in(scenario).replace(source=written)

    def _in(self, scenario: Scenario) -> Scenario:
        labels = [one.label for one in self.endpoints]
        fields: ScenarioFields = {
            "endpoints": self.endpoints,
            "arrivals": self.arrivals,
            "rate": None,
            "phases": (),
            "duration": self.arrivals.duration / SECOND,
            "iterations": None,
            "iterations_per_thread": None,
            "warmup": 0,
            "think_time": 0,
            "pacing": 0,
            "thresholds": [limit.text for limit in scenario.limits if limit.label is None or limit.label in labels],
        }
        return scenario.replace(**fields)


def replay(
    paths: Sequence[Path],
    parse: Parse,
    *,
    speed: Fraction = Fraction(1),
    within: int | None = None,
    all_methods: bool = False,
) -> Replay:
    """The requests of logs at their instants, `speed` times as fast; those alone that are due `within` nanoseconds.

    Raises `UsageError` for a log that cannot be read, and `NothingToRun` for one without a request that is sent.
    """
    summary = LogSummary(paths, parse, METHODS if all_methods else SAFE)
    labels: dict[tuple[str, str], int] = {}
    store = ArrivalStore.of(
        (line.at, _position(line.method, line.target, labels), line.target[1:]) for line in summary.requests()
    )
    before = 1 << 62 if within is None else -int(-within * speed // 1)
    count, most, last = store.extent(before)
    if not count:
        raise NothingToRun("; ".join(["there is no request to replay", *summary.notes]))
    # the log's last second is over, too
    whole = (last // SECOND + 1) * SECOND * speed.denominator // speed.numerator
    store.keep(
        Summary(
            digest=summary.digest,
            requests=[*labels],
            speed=(speed.numerator, speed.denominator),
            before=before,
            duration=whole if within is None else min(whole, within),
            count=count,
            most=round(most * speed),
        )
    )
    times = [datetime.fromtimestamp((store.start + after) / SECOND, UTC) for after in (0, last)]
    span = f"from {times[0]:%Y-%m-%d %H:%M:%S} to {times[1]:%Y-%m-%d %H:%M:%S} UTC"
    return stored_replay(store, [f"{count:,} requests {span}", *summary.notes])


def _position(method: str, target: str, labels: dict[tuple[str, str], int]) -> int:
    """The position of the endpoint of a request, which is that of its method and its path without identities."""
    key = method, fold_path(target.partition("?")[0])
    if key not in labels and len(labels) >= MAX_LABELS:
        key = method, OTHER
    return labels.setdefault(key, len(labels))


def stored_replay(store: ArrivalStore, notes: Sequence[str] = ()) -> Replay:
    """The replay of arrivals in a file."""
    summary = store.summary
    divisor, many = summary.speed
    feed = Rows(store, at_end="stop")

    def read(part: Part) -> Iterator[tuple[int, int]]:
        return ((due * many // divisor, position) for due, position in store.dues(summary.before, part))

    return Replay(
        store=store,
        endpoints=[
            Endpoint(method, "/{target}", feed=feed, name=f"{method} {path}", path_as_is=True)
            for method, path in summary.requests
        ],
        arrivals=RecordedArrivals(
            digest=summary.digest,
            count=summary.count,
            most=summary.most,
            duration=summary.duration,
            endpoints=len(summary.requests),
            read=read,
        ),
        notes=notes,
    )


def run_part(assignment: Assignment, run: Callable[[Scenario], Driven], _: object) -> Driven:
    """Run the part of a replay that a worker process has; see `Source.runner`."""
    found = stored_replay(ArrivalStore(Path(assignment.record)))
    [scenario] = load(assignment.source) if assignment.source else [_BARE]
    return run(with_fields(found.of(scenario), assignment.changes))
