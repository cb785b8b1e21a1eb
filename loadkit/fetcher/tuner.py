"""How many threads a fetch needs: the search of `loadkit limit --by threads`, whose trials are ordinary work.

Nothing is sent for it: a trial is what so many threads fetch of the list in a while.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from loadkit.judge.limit.search import Ending
from loadkit.judge.limit.threads import ThreadFindings, ThreadRules, ThreadSearch
from loadkit.judge.limit.trials import Trial
from loadkit.plan.units import SECOND

FIRST: Final = 4
BUDGET: Final = 60.0
"""Seconds of a search."""
RESOLUTION, PRECISION = 1.2, 0.05
"""No finer, for a search takes its time from the fetch that it is for."""
SHORTEST: Final = SECOND
LONGEST: Final = 10 * SECOND
"""Nanoseconds of a trial."""
LEAST, EACH = 20, 2
"""URLs that a trial has to see, and those for each thread, within the longest: the rate of fewer is chance."""
CONNECTING: Final = SECOND // 4
"""Nanoseconds in which threads that were added connect, which are in no trial."""
REFUSED: Final = 0.1
"""The share of attempts that a server refuses at which a trial is left."""
TOO_SHORT: Final = "the list ended before the number of threads was found"


class Work(NamedTuple):
    """What a fetch has done so far."""

    now: int
    """Nanoseconds of the clock."""
    done: int = 0
    """URLs that were fetched; those of a host that is given up fail in no time, and are no work."""
    refused: int = 0
    """Attempts that failed as those do of which a server has too many."""
    network_time: int = 0


class ThreadTuner:
    """A search under way, which is given the work that was done and says how many threads there are to be."""

    def __init__(self, most: int) -> None:
        self._search = ThreadSearch(
            ThreadRules(
                budget=BUDGET,
                first=FIRST,
                most=most,
                resolution=RESOLUTION,
                precision=PRECISION,
                heeds_refusals=True,
            )
        )
        self._trials = self._search.trials()
        self._wanted = next(self._trials)
        self._settled_at: int | None = None
        """When so many threads ran as are wanted."""
        self._settled_with = 0
        self._since: Work | None = Work(0)
        """From where on refusals count: from the first requests of threads that were added, or when those too many have
        ended. A server refuses at once, and hosts that did are then asked for less."""
        self._from: Work | None = None
        """Where the trial begins."""
        self._before: int | None = None
        """When the trial before it ended."""
        self._ended: tuple[Ending, str] | None = None
        self.threads = int(self._wanted.level)

    @property
    def is_over(self) -> bool:
        """True if it has come to its end."""
        return self._ended is not None

    def observe(self, work: Work, *, running: int) -> int:
        """The number of threads from now on; so many run now, for one ends only after its request."""
        if self.is_over or running != self.threads:
            return self.threads
        if self._settled_at is None:
            self._settled_at, self._settled_with, self._from = work.now, work.done, None
            self._since = self._since or work
        if self._from is None:
            # a host that asked for a pause is waited for
            if work.now - self._settled_at >= CONNECTING and work.done > self._settled_with:
                self._from = work
            return self.threads
        if self._is_enough(self._from, work):
            self._next(self._from, work)
        return self.threads

    def end(self, ending: Ending, reason: str) -> None:
        """End it before it has found the number."""
        self._ended = self._ended or (ending, reason)

    def findings(self) -> ThreadFindings:
        """What was found, or is known so far."""
        return self._search.findings(*(self._ended or ("cannot tell", TOO_SHORT)))

    def _is_enough(self, begun: Work, work: Work) -> bool:
        span, done = work.now - begun.now, work.done - begun.done
        if done >= self.threads and self._refusals(work) > REFUSED:
            return True
        return span >= SHORTEST and (done >= LEAST + EACH * self.threads or span >= LONGEST)

    def _refusals(self, work: Work) -> float:
        """The share of the attempts that were refused."""
        assert self._since
        refused, done = work.refused - self._since.refused, work.done - self._since.done
        return refused / max(1, refused + done)

    def _next(self, begun: Work, work: Work) -> None:
        span, done, share = work.now - begun.now, work.done - begun.done, self._refusals(work)
        refused = round(done * share / (1 - share)) if share < 1 else 1
        trial = Trial(
            level=self.threads,
            seconds=span / SECOND,
            cost=(work.now - (self._before or begun.now)) / SECOND,
            throughput=done * SECOND / span,
            figures={"mean": (work.network_time - begun.network_time) / SECOND / done} if done else {},
            failures={"refused": refused} if refused else {},
        )
        self._before = work.now
        try:
            self._wanted = self._trials.send(trial)
        except StopIteration as ended:
            self._ended = ended.value
            self.threads = self.findings().enough or self.threads
            return
        wanted = int(self._wanted.level)
        if wanted == self.threads:
            self._from = self._since = work
            return
        self._since = work if wanted > self.threads else None
        self.threads, self._settled_at = wanted, None
