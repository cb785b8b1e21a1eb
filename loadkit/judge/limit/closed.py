"""What threads of a closed workload get: about how much a server can do, found cheaply.

Each number of threads settles by itself, for a thread waits for its reply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from loadkit.judge.limit.levels import BREACHES, TriedLevel
from loadkit.judge.limit.search import Asking, Over
from loadkit.judge.limit.trials import Trial

MOST_THREADS: Final = 256
GROWN: Final = 1.1
"""The least growth of the throughput, when the threads are doubled, for the server to have had more to give."""
LONGEST: Final = 20.0
"""Seconds of a trial, where a reply takes as long."""


def double_threads(
    closed: list[Trial], measured: Callable[[int, float], Asking[Trial]], seconds: float
) -> Asking[None]:
    """Double the threads until that brings no more; the trials are appended to `closed`, one of each number."""
    threads, best, standing = 1, 0.0, 0
    while threads <= MOST_THREADS and standing < 2:
        trial = yield from measured(threads, seconds)
        if not (trial.throughput or trial.failures or trial.is_lost) and seconds < LONGEST:
            # a reply takes longer than a trial
            seconds = min(5 * seconds, LONGEST)
            continue
        closed.append(trial)
        if trial.is_lost and not best:
            kinds = ", ".join(trial.failures)
            raise Over("cannot tell", f"not one request of the first trial was answered well{kinds and f' ({kinds})'}")
        standing = standing + 1 if trial.throughput < GROWN * best else 0
        best = max(best, trial.throughput)
        if are_missed(closed[-BREACHES:]) or trial.unsound or trial.cause == "generator":
            return
        threads *= 2


def are_missed(closed: Sequence[Trial]) -> bool:
    """True if trials with closed threads miss surely, and not by chance, of few requests."""
    return all(one.is_breach for one in closed) and TriedLevel(0, tuple(closed)).holding == "missed"
