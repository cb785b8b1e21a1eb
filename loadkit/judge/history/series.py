"""Runs that can be compared, in the order of time, and when a figure of theirs changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.history.change_points import change_points
from loadkit.judge.identity import digest
from loadkit.judge.instants import instant
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadkit.judge.history.kept_run import KeptRun

_LEAST_CHANGE: Final = 0.01
"""Changes of a ratio by less are no news, however sure they are."""
_LEAST_SHARE: Final = 0.001
"""The same of an error rate."""
_LOOKED_AT: Final = 100
"""Runs in which changes are looked for, the newest: the time that it takes grows with the square of their number."""

_FIGURES: Final = ("throughput", "error_rate", "min", "mean", "max", "server_cpu")


@dataclass(frozen=True, slots=True)
class Series:
    """Runs of the same load against the same host, on the same kind of machine; the oldest is first."""

    runs: Sequence[KeptRun]

    @property
    def name(self) -> str:
        """What was run, as its identity has it."""
        return self.runs[0].identity.name

    @property
    def key(self) -> str:
        """8 hexadecimal digits that tell it from series of the same name."""
        return digest(_same(self.runs[0]))[:8]

    def is_called(self, text: str) -> bool:
        """True for its key, its name, and the scenario or the file in its name."""
        name = text.removeprefix("./")
        return name in (self.key, self.name) or self.name.endswith(f"::{name}") or self.name.startswith(f"{name}::")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """A figure had another level from a run on."""

    metric: Metric
    first: KeptRun
    """The first run of the new level."""
    count: int
    """Runs of the new level."""
    before: float
    after: float

    @property
    def is_worse(self) -> bool:
        """True if the new level is worse than the one before."""
        return (self.after > self.before) is self.metric.more_is_worse


def series_of(runs: Iterable[KeptRun]) -> list[Series]:
    """The runs by what they can be compared with; the series whose last run is the newest comes last."""
    found: dict[tuple[str, ...], list[KeptRun]] = {}
    for run in sorted(runs, key=lambda one: instant(one.time)):
        found.setdefault(_same(run), []).append(run)
    return sorted(map(Series, found.values()), key=lambda one: instant(one.runs[-1].time))


def _same(run: KeptRun) -> tuple[str, ...]:
    return run.identity.name, run.identity.plan, run.fingerprint.key, run.host


def changes(series: Series, metric: Metric) -> list[ChangePoint]:
    """When a figure changed, the earliest first; runs that were not sound play no part."""
    known = [(run, value) for run in series.runs if run.is_sound and (value := run.figure(metric)) is not None]
    if not known:
        return []
    runs, values = zip(*known[-_LOOKED_AT:], strict=True)
    starts = [0, *change_points(values), len(values)]
    levels = [median(values[start:end]) for start, end in pairwise(starts)]
    found = [
        ChangePoint(metric=metric, first=runs[starts[k]], count=starts[k + 1] - starts[k], before=before, after=after)
        for k, (before, after) in enumerate(pairwise(levels), 1)
    ]
    return [one for one in found if _is_news(one)]


def _is_news(change: ChangePoint) -> bool:
    difference = abs(change.after - change.before)
    return difference >= (_LEAST_SHARE if change.metric.is_share else _LEAST_CHANGE * abs(change.before))


def metric_of(text: str) -> Metric:
    """Read which figure is meant: `p99`, `GET /search: p50`, `throughput`; `UsageError` for what is none."""
    label, colon, name = text.rpartition(": ")
    if name in _FIGURES or (re.fullmatch(r"p\d{1,2}(\.\d{1,6})?|p100", name) and float(name[1:])):
        return Metric(name, label if colon else None)
    raise UsageError(
        f"there is no figure {name!r}; use p99 (or any percentile), {', '.join(_FIGURES)}, or 'GET /search: p99'"
    )
