"""How a comparison goes: blocks until it can be told, and a *worse* confirmed by blocks of its own, within a budget.

It knows nothing of servers: `measure` runs the rounds of a block, and `elapsed` is the time since the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.blocks import Block, Metric, orders
from loadkit.judge.comparison.changes import Change, Verdict, changes_of
from loadkit.judge.comparison.differences import paired
from loadkit.plan.units import show_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from loadkit.judge.comparison.blocks import Order, Round, Version

LEAST_BLOCKS: Final = 8
CONFIRMING: Final = (4, 10)
"""How many blocks confirm a *worse*, beyond the budget if need be: a quarter of what it has room for, within these."""
GROWTH: Final = 1.3
"""How many times the blocks of the last look are wanted for the next one."""
OBVIOUS: Final = math.log(3)
"""A change that one block and another to confirm it are enough to show."""
CONTROL: Final = 0.02
"""By how much a control may differ: less hardly makes a verdict wrong."""
CONTROL_ERROR: Final = 0.2
"""The part of the chance of error that each look may spend on it: small, for it is to stop few comparisons of a machine
that is as it should be, and not divided by looks, or it would see less than is said of the figures that decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What decides, and how long it may take."""

    tolerances: Mapping[Metric, float]
    """The metrics that decide: how much worse each may become, as a share of what it was (0.05 is 5 %), or as a
    difference where it is a share itself."""
    budget: float
    """Seconds; a *worse* that is found at their end takes as long as it takes to confirm it."""
    seed: int = 0
    control: Metric | None = None
    """A figure of both versions that nothing but the machine can change; it decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How far a comparison has come."""

    blocks: int
    elapsed: float
    """Seconds."""
    budget: float
    changes: tuple[Change, ...] = ()
    """As of the last look."""
    is_confirming: bool = False
    unit: str = "block"
    """What is counted in `blocks`, which may be rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a comparison came to: of everything, and of each metric."""

    verdict: Verdict
    changes: tuple[Change, ...]
    blocks: tuple[Block, ...]
    confirming: tuple[Block, ...] = ()
    reason: str = ""
    """Why it cannot be told, or why no statistics were needed."""
    control: Change | None = None


def spent(time: float) -> float:
    """The part of the chance of error that is spent by then, `time` a share of the budget (Pocock's way of Lan and
    DeMets)."""
    return math.log(1 + (math.e - 1) * time)


def confirming_blocks(room: int) -> int:
    """How many blocks confirm a *worse* in a comparison that has room for so many."""
    least, most = CONFIRMING
    return max(least, min(most, room // 4))


def looks(room: int) -> Iterator[tuple[int, float]]:
    """After how many blocks a comparison with room for so many is looked at, and which part of the chance of error
    each look may spend."""
    blocks, before = LEAST_BLOCKS, 0.0
    while blocks < room:
        yield blocks, spent(blocks / room) - before
        before = spent(blocks / room)
        blocks = math.ceil(blocks * GROWTH)
    yield room, 1.0 - before


def verdict_without(versions: Sequence[Version]) -> Verdict:
    """What it comes to that these versions do not answer: with the old one there is nothing to compare with."""
    return "cannot tell" if "old" in versions else "worse"


def all_failed(versions: Sequence[Version], rounds: Sequence[Round]) -> str:
    """That these versions failed all requests, in words, and why the first of them did."""
    which = "both versions" if len(versions) > 1 else f"the {versions[0]} version"
    why = Block(tuple(rounds)).failure(versions[0])
    return f"{which} failed all requests{why and f': {why}'}"


def conclude(
    rules: Rules,
    measure: Callable[[Order], Block],
    elapsed: Callable[[], float],
    stops: Callable[[], bool] = lambda: False,
    watch: Callable[[Moment], None] = lambda _: None,
) -> Conclusion:
    """Measure block after block until all metrics can be told, one of them is worse, or the budget is used up.

    Args:
        rules: what decides, and the budget.
        measure: runs the rounds of one block in the order that it is given.
        elapsed: seconds since the start.
        stops: True once the user asked to stop; then what is known is said.
        watch: called after each block.
    """
    return _Procedure(rules, measure, elapsed, stops, watch).run()


class _Procedure:
    """A comparison under way."""

    def __init__(
        self,
        rules: Rules,
        measure: Callable[[Order], Block],
        elapsed: Callable[[], float],
        stops: Callable[[], bool],
        watch: Callable[[Moment], None],
    ) -> None:
        self._rules = rules
        self._run_block = measure
        self._elapsed = elapsed
        self._stops = stops
        self._watch = watch
        self._changes: list[Change] = []
        self._control: Change | None = None
        self._is_confirming = False
        self._orders = orders(rules.seed)
        self._blocks: list[Block] = []
        self._spent = 0.0

    def run(self) -> Conclusion:
        """Look after 8 blocks, and again whenever there are enough more of them."""
        if (obvious := self._obvious()) is not None:
            return obvious
        wanted = LEAST_BLOCKS
        while True:
            is_complete = self._measure_up_to(wanted)
            if len(self._sound) < LEAST_BLOCKS:
                return self._conclude("cannot tell", self._look(), self._why_few())
            changes = self._look()
            conclusion = self._judge(changes)
            if conclusion is not None:
                return conclusion
            if not is_complete or not self._has_time():
                unconfirmed = any(one.verdict == "worse" for one in changes) and not self._stops()
                why = "what was worse was so no more when measured again" if unconfirmed else self._why_no_more()
                return self._conclude("cannot tell", changes, why)
            wanted = math.ceil(len(self._sound) * GROWTH)

    def _obvious(self) -> Conclusion | None:
        """What two blocks show: that a version fails altogether, or is three times slower or faster."""
        self._measure()
        failed = self._blocks[0].failed if self._blocks else []
        if failed:
            return self._conclude(verdict_without(failed), [], all_failed(failed, self._blocks[0].rounds))
        if self._has_lost("old") or self._has_lost("new"):
            return self._lost()
        if not self._is_obvious() or not self._has_time():
            return None
        self._measure()
        if not self._is_obvious():
            return None
        changes = changes_of(self._sound, self._rules.tolerances, share=1)
        is_slower = self._largest(self._blocks[0]) > 0
        how = f"three times {'slower' if is_slower else 'faster'} or more in {len(self._blocks)} blocks"
        return self._conclude("worse" if is_slower else "better", changes, how)

    def _has_lost(self, version: Version) -> bool:
        """True if the server of a version ended in each block."""
        return bool(self._blocks) and all(block.loss(version) for block in self._blocks)

    def _lost(self) -> Conclusion | None:
        """What it comes to that a server ended under the load, if it does so again."""
        if not self._has_time():
            return None
        self._measure()
        lost: list[Version] = [version for version in ("old", "new") if self._has_lost(version)]
        if len(self._blocks) < 2 or not lost:
            return None
        return self._conclude(
            verdict_without(lost), [], f"the {lost[0]} version ended in both blocks: {self._blocks[0].loss(lost[0])}"
        )

    def _is_obvious(self) -> bool:
        found = [self._largest(block) for block in self._blocks]
        if not found or any(map(self._has_other_machine, self._blocks)):
            return False
        return min(found) >= OBVIOUS or (max(found) <= -OBVIOUS and not any(map(self._has_worse, self._blocks)))

    def _has_other_machine(self, block: Block) -> bool:
        """True if the control is as different as would be obvious elsewhere."""
        found = block.worsening(self._rules.control) if self._rules.control else None
        return found is not None and abs(found) >= OBVIOUS / 2

    def _has_worse(self, block: Block) -> bool:
        """True if a figure is worse, such as the error rate of a version that is faster because it fails."""
        found = [(block.worsening(one), one.limit(tolerance)) for one, tolerance in self._rules.tolerances.items()]
        return any(worsening is not None and worsening > limit for worsening, limit in found)

    def _largest(self, block: Block) -> float:
        found = [block.worsening(metric) for metric in self._rules.tolerances if not metric.is_share]
        return 0.0 if block.unsound else max((one for one in found if one is not None), key=abs, default=0.0)

    def _measure(self) -> None:
        block = self._run_block(next(self._orders))
        # rounds that were broken off are no rounds
        if not self._stops():
            self._blocks.append(block)
            self._watch(self._moment())

    def _moment(self) -> Moment:
        return Moment(
            blocks=len(self._blocks),
            elapsed=self._elapsed(),
            budget=self._rules.budget,
            changes=tuple(self._changes),
            is_confirming=self._is_confirming,
        )

    def _measure_up_to(self, wanted: int) -> bool:
        """False where the budget, or whoever runs it, ends it before."""
        while len(self._sound) < wanted:
            if not self._has_time():
                return False
            self._measure()
        return True

    @property
    def _sound(self) -> list[Block]:
        return [block for block in self._blocks if block.unsound is None]

    def _blocks_left(self) -> int:
        left = (self._rules.budget - self._elapsed()) / self._elapsed()
        return 0 if self._stops() else int(left * len(self._blocks))

    def _has_time(self) -> bool:
        return self._blocks_left() >= 1

    def _look(self) -> list[Change]:
        """The changes so far."""
        time = min(1.0, self._elapsed() / self._rules.budget) if self._has_time() else 1.0
        share, self._spent = spent(time) - self._spent, spent(time)
        self._changes = changes_of(self._sound, self._rules.tolerances, share)
        if self._rules.control:
            self._control = changes_of(self._sound, {self._rules.control: CONTROL}, CONTROL_ERROR)[0]
        return self._changes

    def _judge(self, changes: Sequence[Change]) -> Conclusion | None:
        """What a look comes to; None where more blocks may tell."""
        if self._control and not self._control.blocks:
            return self._conclude("cannot tell", changes, f"the control {self._control.metric.label} was not measured")
        if self._control and self._control.verdict in ("worse", "better"):
            return self._conclude("cannot tell", changes, "the control changed, in which nothing was changed")
        if any(one.verdict == "worse" for one in changes):
            return self._confirm(changes)
        if any(one.verdict == "cannot tell" for one in changes):
            return None
        return self._conclude("better" if any(one.verdict == "better" for one in changes) else "no worse", changes)

    def _confirm(self, changes: Sequence[Change]) -> Conclusion | None:
        """Measure again what was worse; None where that does not say the same, and there may be time to go on."""
        wanted, self._is_confirming = confirming_blocks(len(self._blocks) + self._blocks_left()), True
        before = len(self._blocks)
        while len(self._blocks) < before + wanted and not self._stops():
            self._measure()
        self._is_confirming = False
        again = [block for block in self._blocks[before:] if block.unsound is None]
        if any(one.verdict == "worse" and _is_confirmed(one, again) for one in changes):
            confirming = self._blocks[before:]
            del self._blocks[before:]
            return self._conclude("worse", changes, confirming=confirming)
        return None

    def _why_few(self) -> str:
        unsound = [block.unsound for block in self._blocks if block.unsound]
        if unsound:
            return f"{len(unsound)} of {len(self._blocks)} blocks were not sound: {unsound[-1]}"
        if self._stops() or not self._blocks:
            return self._why_no_more()
        needed = math.ceil(LEAST_BLOCKS * self._elapsed() / len(self._blocks))
        return (
            f"{self._why_no_more()} after {len(self._blocks)} of at least {LEAST_BLOCKS} blocks, "
            f"which take about {show_span(needed)} here"
        )

    def _why_no_more(self) -> str:
        return "interrupted" if self._stops() else f"the budget of {show_span(self._rules.budget)} is used up"

    def _conclude(
        self, verdict: Verdict, changes: Sequence[Change], reason: str = "", confirming: Sequence[Block] = ()
    ) -> Conclusion:
        return Conclusion(
            verdict=verdict,
            changes=tuple(changes),
            blocks=tuple(self._blocks),
            confirming=tuple(confirming),
            reason=reason,
            control=self._control and replace(self._control, decides=False),
        )


def _is_confirmed(change: Change, blocks: Sequence[Block]) -> bool:
    found = [worsening for block in blocks if (worsening := block.worsening(change.metric)) is not None]
    return paired(found).middle > change.metric.limit(change.tolerance)
