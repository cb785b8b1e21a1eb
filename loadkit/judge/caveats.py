"""Reasons to doubt a result, each with its figure and what to do about it."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from loadkit.judge.result import Caveat, Environment, Row, ScenarioInfo
from loadkit.plan.label import MAX_LABELS, OTHER
from loadkit.plan.units import SECOND, show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BUSY = 0.8
"""Share of one CPU above which the interpreter itself may be what was measured."""

POLITE = 50.0
"""Replies a second that a public server may be asked for without a word."""

PUNCTUAL = 0.001
"""Seconds that a request may be sent after it was due, in an open workload, for its arrival to be the planned one."""

LONG_ENOUGH = 1.0
"""Seconds: of a shorter run the start is too large a part for its CPU to say anything."""


def caveats(
    total: Row,
    scenario: ScenarioInfo,
    environment: Environment,
    *,
    duration: float,
    labels: Sequence[str] = (),
    stuck: Sequence[str] = (),
    unreachable: bool = False,
    halted: str = "",
    was_short: bool = False,
    lost: Sequence[str] = (),
    silent: Sequence[str] = (),
    public: Sequence[str] = (),
    steps: Sequence[int] = (),
) -> list[Caveat]:
    """What the figures themselves, and the machine, give reason to doubt."""
    return [
        *_made(_unreachable(unreachable)),
        *_made(_halted(halted)),
        *_made(_workers(lost, silent)),
        *_made(_short(total, scenario, was_short=was_short)),
        *_made(_stuck(stuck)),
        *of_figures(total),
        *_made(_busy_generator(total, environment, duration)),
        *_made(_clock(environment, steps)),
        *_made(_folded(labels)),
        *_made(_security(scenario)),
        *_made(_public(public, total)),
        *_made(_surroundings()),
    ]


OF_FIGURES = ("few-samples", "too-short")


def of_figures(total: Row) -> list[Caveat]:
    """The doubts (`OF_FIGURES`) that rest on the figures alone: merging may settle them."""
    return _made([*_few_samples(total), *_late_replies(total)])


def _made(found: Iterable[tuple[str, str]]) -> list[Caveat]:
    return [Caveat(code=code, message=message) for code, message in found]


def _unreachable(unreachable: bool) -> Iterator[tuple[str, str]]:
    if unreachable:
        yield "unreachable", "stopped early, for no thread ever got a connection; --keep-going goes on trying"


def _halted(reason: str) -> Iterator[tuple[str, str]]:
    if reason:
        yield "halted", f"the run ended before its time: {reason}"


def _workers(lost: Sequence[str], silent: Sequence[str]) -> Iterator[tuple[str, str]]:
    for loss in lost:
        yield "worker-lost", f"{loss}; what it had told until then is counted, the rest of its load was not applied"
    for silence in silent:
        yield "worker-silent", f"{silence}, stopped or starved of CPU; what it sent was late or missing meanwhile"


def _short(total: Row, scenario: ScenarioInfo, *, was_short: bool) -> Iterator[tuple[str, str]]:
    if was_short and (total.unsent or (total.lateness.p99 or 0) > PUNCTUAL):
        yield (
            "max-threads",
            (
                f"all {scenario.max_threads:,} threads were busy when requests were due, so some were sent late "
                f"(p99 {show_seconds(total.lateness.p99)}) and {total.unsent:,} not at all; the response time has that "
                "wait in it. Raise max_threads if the clients that you mean would not have waited for each other"
            ),
        )


def _stuck(stuck: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place in stuck:
        yield "stuck", f"a thread did not end when it was told to; it was left behind at {place}"


def _few_samples(total: Row) -> Iterator[tuple[str, str]]:
    good = total.response_time.count
    for name, share, needed in (("p99", 0.01, 1_000), ("p99.9", 0.001, 10_000)):
        if 0 < good < needed:
            yield (
                "few-samples",
                (
                    f"{name} of {good:,} replies rests on the slowest {max(1, round(good * share)):,}; "
                    f"send at least {needed:,} requests to believe it"
                ),
            )
            return


def _busy_generator(total: Row, environment: Environment, duration: float) -> Iterator[tuple[str, str]]:
    # each process has an interpreter of its own
    used = max(environment.cpu_by_process, default=environment.cpu_seconds) / duration if duration else 0.0
    if total.pickup.count and duration >= LONG_ENOUGH and used > BUSY:
        yield (
            "generator-busy",
            (
                f"loadkit itself used {used:.0%} of a CPU, and one interpreter has one: the server may be able to do "
                f"more (replies waited {show_seconds(total.pickup.p50)} in the median to be picked up, which is not "
                "in the service time)"
            ),
        )


def _late_replies(total: Row) -> Iterator[tuple[str, str]]:
    if total.requests and total.drained > total.response_time.count // 2:
        yield (
            "too-short",
            (
                f"{total.drained:,} of {total.response_time.count:,} good replies came after the stop and are not in "
                "the throughput; run longer"
            ),
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _clock(environment: Environment, steps: Sequence[int]) -> Iterator[tuple[str, str]]:
    if environment.clock == "own":
        yield (
            "own-clock",
            (
                "arrivals were not stamped by the kernel but read by our own clock: with many threads, "
                "service times include the wait for the interpreter"
            ),
        )
    if steps:
        yield (
            "clock-step",
            (
                f"the wall clock was set {_times(len(steps))}, by up to {show_seconds(max(map(abs, steps)) / SECOND)}; "
                "replies under way then were timed by our own clock"
            ),
        )


def _folded(labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    if OTHER in labels:
        yield (
            "labels-folded",
            (
                f"there were more than {MAX_LABELS} different endpoints; the rest is counted as {OTHER}: "
                "give those that belong together the same name"
            ),
        )


def _security(scenario: ScenarioInfo) -> Iterator[tuple[str, str]]:
    if not scenario.verify:
        yield "insecure", "certificates were not verified (verify=False)"


def _public(hosts: Sequence[str], total: Row) -> Iterator[tuple[str, str]]:
    if hosts and total.throughput > POLITE:
        yield (
            "public-target",
            f"{', '.join(dict.fromkeys(hosts))} is on the public internet: load it only if its owner has agreed",
        )


def _surroundings() -> Iterator[tuple[str, str]]:
    if sys.gettrace() is not None or "coverage" in sys.modules:
        yield "traced", "a debugger or coverage was active: every figure of the generator's own is slower for it"
    if importlib.util.find_spec("niquests"):
        yield "niquests", "niquests is installed; it replaces the urllib3 under requests in this whole environment"
