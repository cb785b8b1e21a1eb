"""Servers in virtual time whose capacity is known, measured as real ones are."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from loadkit.judge.limit.trials import NextTrial, Observed, Trial, piles_up
from loadkit.plan.threshold import Threshold, threshold

Draw = Callable[[random.Random], float]
Admission = Callable[[float, int], bool]
"""True if a request is let in, at this time and with so many waiting."""
Reply = tuple[float, float, bool]
"""When a request was due, how long it took, and whether its reply was good."""


def exponential(mean: float) -> Draw:
    return lambda lot: lot.expovariate(1 / mean)


def fixed(span: float) -> Draw:
    return lambda lot: span


def pareto(mean: float, shape: float = 2.5) -> Draw:
    return lambda lot: mean * (shape - 1) / shape * lot.paretovariate(shape)


def lognormal(mean: float, sigma: float) -> Draw:
    return lambda lot: lot.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)


def room(most: int) -> Admission:
    """So many may wait."""
    return lambda now, waiting: waiting < most


def token_bucket(rate: float, burst: float) -> Admission:
    """So many a second, and a few more after a while with less."""
    tokens, last = burst, 0.0

    def admits(now: float, waiting: int) -> bool:
        nonlocal tokens, last
        tokens, last = min(burst, tokens + (now - last) * rate), now
        is_in = tokens >= 1
        tokens -= is_in
        return is_in

    return admits


class Simulated:
    """Workers behind one queue, first come first served.

    Args:
        service: how long a request takes a worker.
        workers: how many there are.
        admits: which requests are let in; the others fail at once. None is all.
        slower: by what factor service is longer, at this time of its life and with so many waiting.
        most: no more arrivals a second than this can be sent: beyond it, trials are unsound.
        refusal: the status of those that are not let in.
        seed: of all that is drawn.
    """

    def __init__(
        self,
        service: Draw,
        workers: int = 1,
        *,
        limits: Sequence[str] = ("p99 < 100ms",),
        admits: Admission | None = None,
        slower: Callable[[float, int], float] = lambda now, waiting: 1.0,
        most: float = math.inf,
        refusal: str = "503",
        seed: int = 1,
    ) -> None:
        self._service = service
        self._workers = workers
        self.limits = [threshold(text) for text in limits]
        self._admits = admits
        self._slower = slower
        self._most = most
        self._refusal = refusal
        self._lot = random.Random(seed)
        self.now = 0.0
        self.trials: list[NextTrial] = []
        self.began: list[float] = []
        """When each trial began."""

    def measure(self, wanted: NextTrial) -> Trial:
        """What a trial finds; virtual time goes on until the last reply is in."""
        self.trials.append(wanted)
        self.began.append(self.now)
        if not wanted.is_closed and wanted.level > self._most:
            self.now += wanted.seconds
            why = f"this machine sends no more than {self._most:g}/s"
            return Trial(
                level=wanted.level, seconds=wanted.seconds, cost=wanted.seconds, throughput=self._most, unsound=why
            )
        began = self.now
        ran = self.closed(int(wanted.level), wanted.seconds) if wanted.is_closed else self.sent(wanted)
        trial = self._trial(wanted, began, ran)
        self.now = max([began + trial.seconds, *(due + span for due, span, _ in ran if due < began + trial.seconds)])
        return replace(trial, cost=self.now - began)

    def sent(self, wanted: NextTrial) -> list[Reply]:
        """When each request was due, how long it took, and whether its reply was good; arrivals are Poisson."""
        due, dues = self.now, []
        while (due := due + self._lot.expovariate(wanted.level)) < self.now + wanted.seconds:
            dues.append(due)
        queue = _Queue(self._workers)
        return [self._one(queue, due) for due in dues]

    def closed(self, threads: int, seconds: float) -> list[Reply]:
        """The same of threads that wait for each reply before they send the next request."""
        ready = [self.now] * threads
        queue, end, ran = _Queue(self._workers), self.now + seconds, []
        while ready[0] < end:
            due, span, good = self._one(queue, ready[0])
            ran.append((due, span, good))
            heapq.heapreplace(ready, due + max(span, 1e-4))
        return ran

    def _one(self, queue: _Queue, due: float) -> tuple[float, float, bool]:
        waiting = queue.waiting(due)
        if self._admits and not self._admits(due, waiting):
            return due, 0.001, False
        return due, queue.serve(due, self._service(self._lot) * self._slower(due, waiting)) - due, True

    def _trial(self, wanted: NextTrial, began: float, ran: Sequence[Reply]) -> Trial:
        blocks = [_Block() for _ in range(max(1, round(wanted.seconds)))]
        length = wanted.seconds / len(blocks)
        for due, span, is_good in ran:
            block = blocks[min(len(blocks) - 1, int((due - began) / length))]
            block.came += 1
            block.good += [span] if is_good else []
            if (last := int((due + span - began) / length)) < len(blocks):
                blocks[last].answered += 1
        under_way = list(accumulate(one.came - one.answered for one in blocks))
        medians = [one.median for one in blocks]
        saturated = not wanted.is_closed and next(
            (k for k in range(1, len(blocks) + 1) if piles_up(under_way[:k], medians[:k], k * wanted.level)), 0
        )
        blocks = blocks[: saturated or len(blocks)]
        good = sorted(span for one in blocks for span in one.good)
        came = sum(one.came for one in blocks)
        seconds = len(blocks) * length
        figures = {"error_rate": 1 - len(good) / max(1, came)}
        if good:
            figures |= {f"p{p}": good[min(len(good) - 1, math.ceil(len(good) * p / 100) - 1)] for p in (50, 99)}
        return Trial(
            level=wanted.level,
            seconds=seconds,
            cost=seconds,
            throughput=sum(one.answered for one in blocks) * (len(good) / max(1, came)) / seconds,
            observed=tuple(_observed(one, blocks) for one in self.limits),
            figures=figures,
            statuses={200: len(good)} if good else {},
            failures={self._refusal: came - len(good)} if came > len(good) else {},
            is_saturated=bool(saturated),
        )


class _Block:
    """A second or so of a trial: requests that came, those answered, and the response times of the good ones."""

    def __init__(self) -> None:
        self.came = 0
        self.answered = 0
        self.good: list[float] = []

    @property
    def median(self) -> float:
        return sorted(self.good)[len(self.good) // 2] if self.good else 0.0


class _Queue:
    def __init__(self, workers: int) -> None:
        self._free = [0.0] * workers
        self._starts: deque[float] = deque()

    def waiting(self, now: float) -> int:
        while self._starts and self._starts[0] <= now:
            self._starts.popleft()
        return len(self._starts)

    def serve(self, due: float, span: float) -> float:
        start = max(due, self._free[0])
        self._starts.append(start)
        heapq.heapreplace(self._free, start + span)
        return start + span


def _observed(limit: Threshold, blocks: Sequence[_Block]) -> Observed:
    if limit.metric == "error_rate":
        counts = [(one.came, one.came - len(one.good)) for one in blocks]
        came, failed = (sum(column) for column in zip(*counts, strict=True))
        return Observed(threshold=limit, value=failed / came if came else None, counts=tuple(counts))
    good = sorted(span for one in blocks for span in one.good)
    rank = math.ceil(len(good) * limit.percentile / 100) - 1
    counts = [(len(one.good), sum(span > limit.limit for span in one.good)) for one in blocks]
    return Observed(threshold=limit, value=good[rank] if good else None, counts=tuple(counts))


def limit_of_exponential(workers: int, mean: float, limit: float, share: float = 0.01) -> float:
    """The true rate at which so large a share of the response times of M/M/c is longer than the limit (Erlang C).

    Source: L. Kleinrock, Queueing Systems, volume 1 (1975), section 3.5.
    """
    low, high = 0.0, workers / mean
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _longer(middle, workers, mean, limit) < share else (low, middle)
    return low


def _longer(rate: float, workers: int, mean: float, limit: float) -> float:
    load, mu = rate * mean, 1 / mean
    blocking = 1.0
    for k in range(1, workers + 1):
        blocking = load * blocking / (k + load * blocking)
    wait = workers * blocking / (workers - load * (1 - blocking))
    rest = workers * mu - rate
    if abs(rest - mu) < 1e-9 * mu:
        return math.exp(-mu * limit) * (1 + wait * mu * limit)
    served = math.exp(-mu * limit)
    return served + wait * mu / (rest - mu) * (served - math.exp(-rest * limit))
