"""How small a change can be seen here: what a comparison of a version with itself says of later comparisons."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.comparison.changes import ERROR, UNCONFIRMED, changes_of
from loadkit.judge.comparison.differences import paired
from loadkit.judge.comparison.procedure import LEAST_BLOCKS, confirming_blocks, looks
from loadkit.judge.fingerprint import Fingerprint
from loadkit.judge.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadkit.judge.comparison.blocks import Block

VERSION: Final = 1
MISSED: Final = 0.05
"""How often one look does not find a change of the smallest size, and blocks of their own do not confirm it."""
UNSURE: Final = 0.2
"""How often the spread is larger than is said."""
BIAS: Final = 0.2
"""A version that differs from itself by this part of what is tolerated makes a machine useless..."""
BIAS_ERROR: Final = 0.1
"""... if that is as sure as with this part of the chance of error that a comparison has."""
_NORMAL: Final = NormalDist()
_Z_MISSED: Final = -_NORMAL.inv_cdf(MISSED)


class CalibratedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """How much a figure differs between blocks of rounds in which nothing was changed."""

    metric: str
    label: str | None
    spread: float
    """The standard deviation of a block's difference: of the logarithm of the ratio (about a share), or of a
    difference of error rates."""
    blocks: int
    tolerance: float = 0.0
    """How much worse it may become in a comparison that takes as long: 0.05 is 5 %, or a difference of error rates."""
    smallest: float | None = None
    """The smallest change that such a comparison finds in 95 of 100 cases, in the same unit; None where none is."""
    decides: bool = False
    """True if it decides then, without being named."""

    @property
    def key(self) -> Metric:
        """The figure as comparisons know it."""
        return Metric(self.metric, self.label)

    def resolution(self, room: int, deciding: int) -> float:
        """How far beyond its tolerance a change must be to be found: see `smallest_change`; in its unit, so that 0.05
        is 5 %."""
        found = smallest_change(self.spread, room, deciding)
        return found if self.key.is_share else math.expm1(found)

    def seen(self, tolerance: float, room: int, deciding: int, *, decides: bool) -> CalibratedFigure:
        """The same with the smallest change that is found in a comparison with these."""
        beyond = self.resolution(room, deciding)
        change = tolerance + beyond if self.key.is_share else (1 + tolerance) * (1 + beyond) - 1
        smallest = change if change < math.inf else None
        return msgspec.structs.replace(self, tolerance=tolerance, smallest=smallest, decides=decides)


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison of a version with itself found, as it is kept."""

    version: int = VERSION
    identity: Identity
    fingerprint: Fingerprint
    made_at: str
    seconds: float
    """How long it took."""
    blocks: int
    """Those that were sound."""
    figures: list[CalibratedFigure]
    fault: str = ""
    """Why it cannot be used, if so: then it is not kept."""

    @property
    def exit_code(self) -> int:
        """0, or 6 where it cannot be used."""
        return 6 if self.fault else 0

    def room(self, budget: float) -> int:
        """How many sound blocks there are in so many seconds."""
        return int(budget * self.blocks / self.seconds)


def smallest_change(spread: float, room: int, deciding: int) -> float:
    """How far beyond its tolerance a change must be for a comparison to say *worse* in 95 % of cases.

    The bounds of n differences are z(alpha) s / sqrt(n) from their middle, and in all but a share beta of cases the
    middle is not further than z(beta) s / sqrt(n) from the truth; so the change is (z(alpha) + z(beta)) s / sqrt(n)
    (G. E. Noether, Sample Size Determination for Some Common Nonparametric Tests, JASA, 1987). Of the looks the best
    is taken; alpha is the part of the error that it spends, divided by the figures that decide (Holm). So that blocks
    of their own confirm it, the change must be z(beta) s / sqrt(n) of these, too. For few blocks z(alpha) is that
    of Student's t (M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 26.7.5).

    Args:
        spread: the standard deviation of the differences, s.
        room: for how many blocks the budget lasts.
        deciding: how many figures decide.
    """
    if not spread:
        return 0.0
    found = min((_reach(blocks, part, deciding) for blocks, part in looks(room)), default=math.inf)
    again = confirming_blocks(room)
    return spread * max(found, _Z_MISSED / math.sqrt(again))


def _reach(blocks: int, part: float, deciding: int) -> float:
    alpha = UNCONFIRMED * part / deciding
    if blocks < LEAST_BLOCKS or 0.5**blocks > alpha:
        return math.inf
    return (_quantile(alpha, blocks) + _Z_MISSED) / math.sqrt(blocks)


def _quantile(alpha: float, count: int) -> float:
    z = -_NORMAL.inv_cdf(alpha)
    return z + (z**3 + z) / (4 * (count - 1))


def spread_of(differences: Sequence[float]) -> float:
    """The standard deviation of differences, as far as it matters to the middle of them: one that is far off does not
    make it large.

    It is taken from the length of the middle's interval (E. L. Lehmann, Nonparametric Confidence Intervals for a Shift
    Parameter, Annals of Mathematical Statistics, 1963), and is the upper limit of 80 %, for few blocks may be alike by
    luck (R. H. Browne, On the Use of a Pilot Sample for Sample Size Determination, Statistics in Medicine, 1995).
    """
    found, count = paired(differences), len(differences)
    length = found.at_most(ERROR) - found.at_least(ERROR)
    estimate = length * math.sqrt(count) / (2 * _quantile(ERROR, count))
    return estimate * (1 + _quantile(UNSURE, count) / math.sqrt(2 * count))


def calibrated(blocks: Sequence[Block], metrics: Iterable[Metric]) -> list[CalibratedFigure]:
    """How much each figure differs between blocks; those that too few blocks have are left out."""
    figures = []
    for metric in metrics:
        found = [worsening for block in blocks if (worsening := block.worsening(metric)) is not None]
        if len(found) >= LEAST_BLOCKS:
            figures.append(
                CalibratedFigure(metric=metric.name, label=metric.label, spread=spread_of(found), blocks=len(found))
            )
    return figures


def bias(blocks: Sequence[Block], tolerances: Mapping[Metric, float]) -> list[Metric]:
    """The figures by which a version surely differs from itself."""
    limits = {metric: BIAS * tolerance for metric, tolerance in tolerances.items()}
    return [one.metric for one in changes_of(blocks, limits, BIAS_ERROR) if one.verdict in ("worse", "better")]
