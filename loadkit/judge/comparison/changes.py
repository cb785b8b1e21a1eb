"""What the blocks of a comparison say of each metric: how much it changed, and within which bounds.

A metric is *worse* where even the lower bound of its change is beyond the tolerance, *no worse* where the upper bound
is within it, *better* where the change is beyond the tolerance the other way, and otherwise it cannot be told.

Several metrics are looked at, and each several times, so chance has several tries. The lower bounds are therefore drawn
with Holm's correction (S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of
Statistics, 1979), and each look spends a part of the chance of error (K. K. G. Lan and D. L. DeMets, Discrete
Sequential Boundaries for Clinical Trials, Biometrika, 1983). For *no worse* each metric must pass, which needs no such
correction (R. L. Berger, Multiparameter Hypothesis Testing and Acceptance Sampling, Technometrics, 1982).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from loadkit.judge.comparison.differences import Differences, paired, unpaired

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadkit.judge.comparison.blocks import Block, Metric, Round

Verdict: TypeAlias = Literal["worse", "no worse", "better", "cannot tell"]

ERROR: Final = 0.05
"""The chance of error that a whole comparison may spend on saying *no worse* of a metric, and on the order effect."""
UNCONFIRMED: Final = 0.10
"""The same for *worse*, which is said when blocks of their own confirm it: at the tolerance, half of these do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a metric changed from the old version to the new.

    `change` is its estimate, `low` and `high` are its bounds: as ratios new / old less 1 (0.1 is 10 % more), or as
    differences of shares. `tolerance` is in the same unit.
    """

    metric: Metric
    before: float
    after: float
    change: float
    low: float
    high: float
    tolerance: float
    verdict: Verdict
    blocks: int
    """Or rounds of the version that has fewer, where they were not measured in turns."""
    decides: bool
    """False where it is only shown: then its verdict is of it alone."""
    order_effect: float
    """By how much the bounds were widened, for it made a difference which version began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What rounds say of a metric."""

    metric: Metric
    tolerance: float
    """In the unit of the differences."""
    differences: Differences
    before: float
    after: float
    order_effect: float = 0.0

    def chance(self) -> float:
        return self.differences.chance_of_no_more_than(self.tolerance + self.order_effect)


def changes_of(blocks: Sequence[Block], tolerances: Mapping[Metric, float], share: float) -> list[Change]:
    """The changes of the metrics that decide, after a look that may spend `share` of the chance of error.

    `tolerances` has how much worse each of them may become (0.05 is 5 %).
    """
    measured = [_in_blocks(metric, tolerance, blocks) for metric, tolerance in tolerances.items()]
    return _decided(measured, UNCONFIRMED * share, ERROR * share)


def changes_between(rounds: Sequence[Round], tolerances: Mapping[Metric, float]) -> list[Change]:
    """The same of rounds that were not measured in turns; nothing confirms a *worse* of theirs."""
    return _decided([_in_rounds(metric, tolerance, rounds) for metric, tolerance in tolerances.items()], ERROR, ERROR)


def shown_change(blocks: Sequence[Block], metric: Metric, tolerance: float) -> Change:
    """The change of a metric that does not decide."""
    return replace(_change(_in_blocks(metric, tolerance, blocks), ERROR, ERROR), decides=False)


def shown_between(rounds: Sequence[Round], metric: Metric, tolerance: float) -> Change:
    """The same of rounds that were not measured in turns."""
    return replace(_change(_in_rounds(metric, tolerance, rounds), ERROR, ERROR), decides=False)


def overall(changes: Iterable[Change]) -> Verdict:
    """What the changes that decide come to together."""
    found = {one.verdict for one in changes}
    verdicts: tuple[Verdict, ...] = ("worse", "cannot tell", "better")
    return next((verdict for verdict in verdicts if verdict in found), "no worse")


def _in_blocks(metric: Metric, tolerance: float, blocks: Sequence[Block]) -> _Measured:
    by_order: dict[bool, list[float]] = {True: [], False: []}
    for block in blocks:
        worsening = block.worsening(metric)
        if worsening is not None:
            by_order[block.order[0] == "old"].append(worsening)
    return _Measured(
        metric=metric,
        tolerance=metric.limit(tolerance),
        differences=paired([*by_order[True], *by_order[False]]),
        before=_middle([figure for block in blocks for figure in block.figures(metric, "old")]),
        after=_middle([figure for block in blocks for figure in block.figures(metric, "new")]),
        order_effect=_order_effect(by_order[True], by_order[False]),
    )


def _in_rounds(metric: Metric, tolerance: float, rounds: Sequence[Round]) -> _Measured:
    old, new = (
        [one.figures[metric] for one in rounds if one.version == version and metric in one.figures]
        for version in ("old", "new")
    )
    scaled = [[found for one in side if (found := metric.scaled(one)) is not None] for side in (old, new)]
    return _Measured(
        metric=metric,
        tolerance=metric.limit(tolerance),
        differences=unpaired(*scaled),
        before=_middle(old),
        after=_middle(new),
    )


def _order_effect(old_first: Iterable[float], new_first: Iterable[float]) -> float:
    """What it surely matters which version began: the bound of half the difference that is nearer to 0."""
    halves = paired([(one - other) / 2 for one, other in zip(old_first, new_first, strict=False)])
    return max(0.0, halves.at_least(ERROR / 2), -halves.at_most(ERROR / 2))


def _decided(measured: Sequence[_Measured], worse_error: float, error: float) -> list[Change]:
    levels = _holm(measured, worse_error)
    return [_change(one, levels[one.metric], error) for one in measured]


def _holm(measured: Sequence[_Measured], error: float) -> dict[Metric, float]:
    """The chance of error at which each metric is judged: the surest first, all that follow one that fails alike."""
    levels, failed = {}, None
    for k, one in enumerate(sorted(measured, key=_Measured.chance)):
        level = failed or error / (len(measured) - k)
        if failed is None and one.chance() > level:
            failed = level
        levels[one.metric] = level
    return levels


def _change(one: _Measured, worse_level: float, level: float) -> Change:
    metric, found = one.metric, one.differences
    low = found.at_least(worse_level) - one.order_effect
    high = found.at_most(level) + one.order_effect
    shown = [_shown(metric, value) for value in (low, high)]
    return Change(
        metric=metric,
        before=one.before,
        after=one.after,
        change=_shown(metric, found.middle),
        low=min(shown),
        high=max(shown),
        tolerance=one.tolerance if metric.is_share else math.expm1(one.tolerance),
        verdict=_verdict(low, high, one.tolerance),
        blocks=found.count,
        decides=True,
        order_effect=one.order_effect,
    )


def _verdict(low: float, high: float, tolerance: float) -> Verdict:
    if low > tolerance:
        return "worse"
    if high < -tolerance:
        return "better"
    return "no worse" if high <= tolerance else "cannot tell"


def _shown(metric: Metric, worsening: float) -> float:
    if metric.is_share:
        return worsening
    return math.expm1(worsening if metric.more_is_worse else -worsening)


def _middle(figures: Sequence[float]) -> float:
    return median(figures) if figures else math.nan
