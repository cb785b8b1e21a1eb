"""A run that whoever interrupts the test cannot lose: a Ctrl-C, a SIGTERM, a timeout of pytest's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import loadkit.jobs.run
from loadkit.jobs.interrupts import counted_signals
from loadkit.judge.result import Result
from loadkit.plan.scenario import Scenario


class _Running(threading.Thread):
    """The run on a thread of its own, so that an exception which is thrown at the main one leaves it whole."""

    def __init__(self, scenario: Scenario, signals: Callable[[], int]) -> None:
        super().__init__(name="loadkit-run", daemon=True)
        self._scenario = scenario
        self._signals = signals
        self._is_wanted = True
        self.done = threading.Event()
        self.result: Result | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = loadkit.jobs.run.run(self._scenario, interrupts=self._stops)
        except BaseException as error:  # noqa: BLE001 - raised again where the run was asked for
            self.error = error
        finally:
            self.done.set()

    def _stops(self) -> int:
        """Twice is at once: what was thrown at us has waited long enough."""
        return self._signals() if self._is_wanted else 2

    def end(self) -> None:
        """Cut it, and wait until its threads are gone."""
        self._is_wanted = False
        self.done.wait()


def run_interruptible(scenario: Scenario) -> tuple[Result, BaseException | None]:
    """Run a scenario; the result, and what is to be raised once it has been kept.

    That is a `KeyboardInterrupt` after a Ctrl-C or SIGTERM, or what was thrown at this thread meanwhile: then the run
    is cut, and its result is marked interrupted. No thread is left. Raises what the run raises.
    """
    thrown: BaseException | None = None
    with counted_signals() as signals:
        running = _Running(scenario, signals)
        running.start()
        try:
            # not join: before Python 3.13 an exception thrown within it makes the thread count as ended
            running.done.wait()
        except BaseException as error:  # noqa: BLE001 - raised by our caller
            thrown = error
            running.end()
    running.join()
    if running.error is not None:
        raise thrown or running.error
    if thrown is None and signals():
        thrown = KeyboardInterrupt()
    return cast(Result, running.result), thrown


def with_duration(scenario: Scenario, duration: float | None) -> Scenario:
    """The same for that many seconds, whatever it said; its warm-up no longer than that. None changes nothing."""
    if duration is None:
        return scenario
    return scenario.replace(duration=duration, warmup=min(cast(float, scenario.warmup), duration))
