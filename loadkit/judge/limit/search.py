"""A search for a limit: what all of them have in common, and what a search for a rate comes to.

A search has no clock and no network: it yields what to measure, is sent what was found, and returns how it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias, TypeVar

from loadkit.judge.limit.levels import Holding, TriedLevel
from loadkit.judge.limit.trials import NextTrial, Trial
from loadkit.plan.errors import Interrupted

T = TypeVar("T")
F_co = TypeVar("F_co", covariant=True)

Ending: TypeAlias = Literal["found", "missed", "at least", "cannot tell", "interrupted"]
"""How a search ended. `missed`: at the lowest rate already. `at least`: something else than the server kept it from
going higher."""

Asking: TypeAlias = Generator[NextTrial, Trial, T]
"""A part of a search: yields what to measure, is sent what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchMoment:
    """How far a search has come."""

    next_trial: NextTrial
    """What is measured next, or now."""
    elapsed: float
    budget: float
    trial: Trial | None = None
    """What it came to, once it is over."""
    holding: Holding | None = None
    """What is known of its rate then, by all trials of it so far."""
    is_recovering: bool = False
    """It is over, and the server is waited for until it has recovered from it."""
    threads: int | None = None
    """The smallest number of threads that is enough so far, where these are searched."""
    confirmed: float | None = None
    holds: float | None = None
    fails: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a search for a rate came to."""

    ending: Ending
    reason: str
    """Why it stopped."""
    confirmed: float | None
    """The highest rate that held in a long trial."""
    failed: float | None
    """The lowest rate that is surely missed."""
    levels: tuple[TriedLevel, ...]
    """Of rates, from low to high."""
    closed: tuple[Trial, ...]
    elapsed: float


class Search(Protocol[F_co]):
    """A search under way, that has neither clock nor network."""

    def trials(self) -> Asking[tuple[Ending, str]]:
        """What to measure next, one after the other; returns how it ended, and why."""

    def findings(self, ending: Ending, reason: str) -> F_co:
        """What is known so far."""

    def moment(self, wanted: NextTrial, trial: Trial | None = None) -> SearchMoment:
        """How far it has come, before a trial or once it is over."""


class Over(Exception):
    """The search has come to its end."""

    def __init__(self, ending: Ending, reason: str) -> None:
        super().__init__(reason)
        self.ending: Ending = ending
        self.reason = reason


def find(
    search: Search[F_co],
    measure: Callable[[NextTrial], Trial],
    stops: Callable[[], bool] = lambda: False,
    watch: Callable[[SearchMoment], None] = lambda _: None,
) -> F_co:
    """Search by trials that `measure` makes; `stops` is True once the user asks so.

    `watch` is called before each trial, and after it.
    """
    trials = search.trials()
    try:
        wanted = next(trials)
        while True:
            watch(search.moment(wanted))
            try:
                trial = measure(wanted)
            except Interrupted:
                return search.findings("interrupted", "it was interrupted")
            if stops():
                return search.findings("interrupted", "it was interrupted")
            moment = search.moment(wanted, trial)
            watch(replace(moment, elapsed=moment.elapsed + trial.cost))
            wanted = trials.send(trial)
    except StopIteration as ended:
        ending, reason = ended.value
        return search.findings(ending, reason)
