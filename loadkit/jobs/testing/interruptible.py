"""A run, or a comparison, that whoever interrupts the test cannot lose: a Ctrl-C, a SIGTERM, a timeout of pytest's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar, cast

from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.run import run
from loadkit.judge.result import Result
from loadkit.plan.errors import Interrupted
from loadkit.plan.scenario import Scenario

if TYPE_CHECKING:
    from loadkit.jobs.otlp import OtlpTarget

Found = TypeVar("Found")


def run_interruptible(call: Callable[[Callable[[], int]], Found]) -> tuple[Found, BaseException | None]:
    """Call something with what tells how often it was interrupted; what it found, and what is to be raised when kept.

    That is a `KeyboardInterrupt` after a Ctrl-C or SIGTERM, or what was thrown at this thread meanwhile: then it is cut
    short, and what it found is marked interrupted. No thread is left. Raises what the call raises.
    """
    thrown: BaseException | None = None
    # on a thread of its own, so that an exception which is thrown at this one leaves the run whole
    with counted_signals() as signals, ThreadPoolExecutor(1, thread_name_prefix="loadkit-run") as threads:
        # twice is at once: what was thrown at this thread has waited long enough
        running = threads.submit(call, lambda: signals() if thrown is None else 2)
        try:
            wait([running])
        except BaseException as error:  # noqa: BLE001 - raised by our caller
            thrown = error
    failure = running.exception()
    if isinstance(failure, Interrupted):
        raise thrown or KeyboardInterrupt(str(failure)) from None
    if failure is not None:
        raise thrown or failure
    return running.result(), thrown or (KeyboardInterrupt() if signals() else None)


def run_rounds(
    scenario: Scenario, rounds: int, otlp: OtlpTarget | None = None
) -> tuple[list[Result], BaseException | None]:
    """Run a scenario several times, until interrupted; the results, and what is to be raised once they are kept."""
    found: list[Result] = []
    thrown: BaseException | None = None
    while len(found) < rounds and thrown is None:
        try:
            result, thrown = run_interruptible(lambda interrupts: run(scenario, interrupts=interrupts, otlp=otlp))
        except KeyboardInterrupt as error:
            if not found:
                raise
            thrown = error
        else:
            found.append(result)
    return found, thrown


def with_duration(scenario: Scenario, duration: float | None) -> Scenario:
    """The same for that many seconds, whatever it said; its warm-up no longer than that. None changes nothing.

    Thresholds over more than that are left out.
    """
    if duration is None:
        return scenario
    held = [one.text for one in scenario.limits if one.over is None or cast(float, one.over) <= duration]
    return scenario.replace(duration=duration, warmup=min(cast(float, scenario.warmup), duration), thresholds=held)
