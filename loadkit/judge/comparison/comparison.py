"""What a comparison of two versions found, as it is stored, shown and asserted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from loadkit.judge.comparison.blocks import Version
from loadkit.judge.comparison.caveats import of_changes
from loadkit.judge.comparison.changes import Verdict
from loadkit.judge.environment import Environment
from loadkit.judge.summary import times
from loadkit.judge.times import Times
from loadkit.judge.validity import Caveat
from loadkit.measure.histogram import Histogram
from loadkit.plan.units import show_seconds, three_digits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadkit.judge.comparison.blocks import Block, Round
    from loadkit.judge.comparison.changes import Change
    from loadkit.judge.comparison.procedure import Conclusion

VERSION: Final = 1
INTERRUPTED: Final = "interrupted"
LITTLE: Final = 0.01
"""By so much before and after may differ the other way than the change says, before it is said."""
_BELIEVE: Final = (
    "a change is the middle of the differences; before and after are medians over all rounds: where they disagree, "
    "believe the change"
)
EXIT_CODES: Final[Mapping[Verdict, int]] = {"better": 0, "no worse": 0, "worse": 1, "cannot tell": 6}


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """How one figure changed: `before` and `after` are medians over the rounds.

    `ratio` is new / old and `low` to `high` its interval, of everything else than error rates; for these `difference`
    is new - old, a share of 1, and `low` to `high` are its interval.
    """

    metric: str
    label: str | None
    before: float | None
    after: float | None
    ratio: float | None
    difference: float | None
    low: float | None
    """None where too few blocks were measured to bound it; so too `high`."""
    high: float | None
    tolerance: float
    """How much worse it may become: a share of what it was (0.05 is 5 %), or a difference of error rates."""
    verdict: Verdict
    decides: bool
    blocks: int

    @property
    def is_share(self) -> bool:
        """True for an error rate."""
        return self.metric == "error_rate"

    def __repr__(self) -> str:
        name = f"{self.label}: {self.metric}" if self.label else self.metric
        return f"<{name} {self.verdict}: {describe_change(self)}>"


class ChangedRow(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of one endpoint, or of everything."""

    changes: list[Changed]

    def change(self, metric: str) -> Changed:
        """The change of a figure by its name; `KeyError` naming those there are."""
        for one in self.changes:
            if one.metric == metric:
                return one
        raise KeyError(f"{metric!r} was not compared; there are {[one.metric for one in self.changes]}")

    @property
    def p50(self) -> Changed:
        """The change of the median response time."""
        return self.change("p50")

    @property
    def p90(self) -> Changed:
        """The change of the 90th percentile of the response time."""
        return self.change("p90")

    @property
    def p99(self) -> Changed:
        """The change of the 99th percentile of the response time."""
        return self.change("p99")

    @property
    def mean(self) -> Changed:
        """The change of the mean response time."""
        return self.change("mean")

    @property
    def throughput(self) -> Changed:
        """The change of the good replies a second."""
        return self.change("throughput")

    @property
    def error_rate(self) -> Changed:
        """The change of the share of requests that failed."""
        return self.change("error_rate")

    @property
    def server_cpu(self) -> Changed:
        """The change of the CPU seconds of the server a request, where loadkit started it."""
        return self.change("server_cpu")


class RoundFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of everything in one round."""

    version: Version
    block: int
    """Counted from 0; each round is one of its own where they were not measured in turns."""
    figures: dict[str, Annotated[float, msgspec.Meta(ge=0)]]
    unsound: str | None = None


class Comparison(ChangedRow, frozen=True, kw_only=True, tag_field="kind", tag="comparison"):
    """What a comparison found; `changes` are those of everything."""

    version: Literal[1] = VERSION
    new: str
    """What was compared: a revision, a URL, the name of a scenario."""
    old: str
    verdict: Verdict
    reason: str
    """Why it cannot be told, or why no statistics were needed."""
    endpoints: dict[str, ChangedRow]
    control: Changed | None = None
    """How the median of the control changed, in which nothing was changed; None where none was asked for. Its `verdict`
    is `worse` or `better` where it moved, which makes the whole comparison *cannot tell*."""
    rounds: list[RoundFigures]
    confirming: list[RoundFigures]
    seconds: float
    """How long it took; 0 where both were measured before."""
    notes: list[str]
    environment: Environment | None = None
    """Of the new version."""
    response_time: dict[str, Times] = {}
    """Of the good replies in the sound blocks, by version, `old` and `new`; without one that had none."""
    in_turns: bool = True
    """False where the rounds of one version were measured after those of the other."""
    caveats: list[Caveat] = []
    """What is to be known before all else; nothing is decided where one is grave, such as of another machine."""
    is_strict: bool = False
    """True if what is not decided for a grave caveat fails."""

    def __getitem__(self, name: str) -> ChangedRow:
        """The changes of an endpoint by its label; `KeyError` naming those there are."""
        if name not in self.endpoints:
            raise KeyError(f"{name!r} is no endpoint of this comparison; there are {list(self.endpoints)}")
        return self.endpoints[name]

    @property
    def worse(self) -> bool:
        """True if the new version is worse; False where it is not, or that cannot be told."""
        return self.verdict == "worse"

    @property
    def exit_code(self) -> int:
        """0 better or no worse, 1 worse, 2 interrupted, 6 cannot tell, but 0 for a grave caveat unless that fails."""
        if self.reason == INTERRUPTED:
            return 2
        is_excused = not self.is_strict and any(one.level == "grave" for one in self.caveats)
        return 0 if is_excused and self.verdict == "cannot tell" else EXIT_CODES[self.verdict]

    def __repr__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        lines = [f"<Comparison of {self.new} with {self.old}: {self.verdict}{reason}"]
        return "\n".join([*lines, *(f"  {one!r}" for one in self.changes if one.decides)]) + ">"


def comparison(
    conclusion: Conclusion,
    shown: Sequence[Change],
    *,
    new: str,
    old: str,
    seconds: float,
    notes: Sequence[str],
    environment: Environment | None,
    caveats: Sequence[Caveat] = (),
) -> Comparison:
    """A conclusion as it is stored; `shown` are changes of figures that do not decide."""
    changes = [changed(one) for one in [*conclusion.changes, *shown]]
    labels = dict.fromkeys(one.label for one in changes if one.label)
    return Comparison(
        new=new,
        old=old,
        verdict=conclusion.verdict,
        reason=conclusion.reason,
        changes=[one for one in changes if one.label is None],
        endpoints={label: ChangedRow(changes=[one for one in changes if one.label == label]) for label in labels},
        control=changed(conclusion.control) if conclusion.control else None,
        rounds=_rounds(conclusion.blocks),
        confirming=_rounds(conclusion.confirming),
        seconds=seconds,
        notes=[*notes, *_disagreement(changes)],
        environment=environment,
        caveats=[*caveats, *of_changes([*conclusion.changes, *shown])],
        response_time=response_times(
            one for block in conclusion.blocks if block.unsound is None for one in block.rounds
        ),
    )


def _disagreement(changes: Sequence[Changed]) -> list[str]:
    """What to say where before and after point another way than the change between them, by more than a little."""
    for one in changes:
        shown = one.after / one.before - 1 if one.before and one.after is not None else 0.0
        change = one.ratio - 1 if one.ratio else 0.0
        if shown * change < 0 and max(abs(shown), abs(change)) > LITTLE:
            return [_BELIEVE]
    return []


def response_times(rounds: Iterable[Round]) -> dict[str, Times]:
    """The response times that the rounds of each version have together, the old one first."""
    merged: dict[str, Histogram] = {"old": Histogram(), "new": Histogram()}
    for one in rounds:
        if one.response_time:
            merged[one.version].add(one.response_time.histogram)
    return {version: times(found) for version, found in merged.items() if found.count}


def changed(change: Change) -> Changed:
    """A change as it is stored."""
    metric, is_share = change.metric, change.metric.is_share
    offset = 0.0 if is_share else 1.0
    return Changed(
        metric=metric.name,
        label=metric.label,
        before=_finite(change.before),
        after=_finite(change.after),
        ratio=None if is_share else _finite(change.change + offset),
        difference=_finite(change.change) if is_share else None,
        low=_bound(change.low + offset, is_share=is_share),
        high=_bound(change.high + offset, is_share=is_share),
        tolerance=change.tolerance,
        verdict=change.verdict,
        decides=change.decides,
        blocks=change.blocks,
    )


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _bound(value: float, *, is_share: bool) -> float | None:
    """A ratio of 0, as one of infinity, is what a bound is where there is none."""
    return None if not is_share and value <= 0 else _finite(value)


def _rounds(blocks: Sequence[Block]) -> list[RoundFigures]:
    return [
        RoundFigures(
            version=one.version,
            block=k,
            figures={metric.name: value for metric, value in one.figures.items() if metric.label is None},
            unsound=one.unsound,
        )
        for k, block in enumerate(blocks)
        for one in block.rounds
    ]


def describe_change(change: Changed) -> str:
    """A change and its interval: `+3.1 % (+1.2 to +5.0)`, of error rates in points of a percent."""
    if change.is_share:
        unit, middle, low, high = "points", change.difference, change.low, change.high
    else:
        unit = "%"
        middle, low, high = (None if one is None else one - 1 for one in (change.ratio, change.low, change.high))
    if middle is None:
        return "not measured"
    digits = 2 if change.is_share else 1
    return f"{_percent(middle, digits)} {unit} ({_percent(low, digits)} to {_percent(high, digits)})"


def show_tolerance(change: Changed) -> str:
    """How much worse it may become: `5 %`, `0.1 points`; of a throughput, which may be 1.05 times less, `4.76 %`."""
    share = 1 - 1 / (1 + change.tolerance) if change.metric == "throughput" else change.tolerance
    return f"{three_digits(share * 100)} {'points' if change.is_share else '%'}"


def _percent(share: float | None, digits: int) -> str:
    # rounded first, or a little less than nothing would be -0.0
    return "?" if share is None else f"{round(share * 100, digits) + 0.0:+,.{digits}f}"


def show_figure(metric: str, value: float | None) -> str:
    """A figure as a person reads it."""
    if value is None:
        return "-"
    if metric == "error_rate":
        return f"{three_digits(value * 100)} %"
    if metric == "throughput":
        return f"{three_digits(value)}/s" if value < 1000 else f"{value:,.0f}/s"
    return show_seconds(value)
