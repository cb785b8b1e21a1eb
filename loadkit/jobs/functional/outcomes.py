"""What comes of the runs of each test: how many, how many failed, with what, and what of that ends all."""

from __future__ import annotations

import sys
import threading
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec
import pytest
from _pytest.skipping import Xfail

from loadkit.drive.failures import failure_of_journey, is_end_of_run, place_of
from loadkit.jobs.functional.plan import FixturePlan
from loadkit.jobs.functional.unraised import raise_of_this_thread
from loadkit.measure.reasons import Reason, add_reason
from loadkit.plan.errors import Halt
from loadkit.wire.base import Failure

SKIPS: Final = (pytest.skip.Exception, unittest.SkipTest)

HOPELESS: Final = 100
"""So many set-ups that fail, and none that goes well, end the run."""


class SessionEnded(Halt):
    """A test called `pytest.exit`."""

    is_interrupt = True


class FixturesFail(Halt):
    """No set-up of any test has gone well, which is not going to change."""


@dataclass(slots=True)
class SetUps:
    """How the set-ups of all tests go, in all threads."""

    is_any_sound: bool = False
    failed: int = 0

    def count_failed(self, item: pytest.Item, error: BaseException) -> None:
        """One has failed; raises `FixturesFail` after `HOPELESS` of them and none that went well."""
        self.failed += 1
        if self.failed >= HOPELESS and not self.is_any_sound:
            raise FixturesFail(f"the fixtures of {item.name} failed, as all {self.failed} set-ups did") from error


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test in one of several processes."""

    runs: int
    failed: int
    is_xfailed: bool
    skipped: str
    reasons: list[tuple[str, str, int, int]]
    """Kind, message and count of each, and which of all failures was its first."""
    exit: str | None
    held_at: list[str]
    unseen: list[str]


@dataclass(slots=True, eq=False)
class Case:
    """A test, or one case of a parametrized one: what it needs, and what came of it."""

    plan: FixturePlan
    expected_failure: Xfail | None = None
    runs: int = 0
    """How often it was begun: set up, and called if that went well."""
    failed: int = 0
    is_xfailed: bool = False
    """It failed as expected."""
    skipped: str = ""
    """Why it skipped itself, if it did."""
    reasons: dict[Failure, Reason] = field(default_factory=dict)
    """Why, each with its count."""
    exit: BaseException | None = None
    """It called `pytest.exit`."""
    by_process: dict[int, Outcome] = field(default_factory=dict)
    """What came of it in each of several processes, by their numbers from 0."""
    unseen: dict[str, None] = field(default_factory=dict)
    """Some of the addresses to which it sends by what loadkit does not see."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def item(self) -> pytest.Function:
        """As pytest knows it."""
        return self.plan.item

    def begin(self) -> None:
        """It is about to be set up."""
        with self._lock:
            self.runs += 1
        RUNNING[threading.get_ident()] = self

    def end(self) -> None:
        """It was torn down."""
        RUNNING.pop(threading.get_ident(), None)

    def held_at(self) -> list[str]:
        """Where the runs are that have not come to their end."""
        frames = sys._current_frames()
        inside = [thread for thread, case in [*RUNNING.items()] if case is self]
        here = [place_of(frames[thread]) for thread in inside if thread in frames]
        return [*here, *(place for outcome in self.by_process.values() for place in outcome.held_at)]

    def outcome(self) -> Outcome:
        """What came of it in this process."""
        return Outcome(
            runs=self.runs,
            failed=self.failed,
            is_xfailed=self.is_xfailed,
            skipped=self.skipped,
            reasons=[(one.kind, one.message, why.count, why.first) for one, why in self.reasons.items()],
            exit=None if self.exit is None else str(self.exit),
            held_at=self.held_at(),
            unseen=[*self.unseen],
        )

    def add(self, process: int, outcome: Outcome) -> None:
        """Count what came of it in another process."""
        self.by_process[process] = outcome
        self.runs += outcome.runs
        self.failed += outcome.failed
        self.is_xfailed = self.is_xfailed or outcome.is_xfailed
        self.skipped = self.skipped or outcome.skipped
        self.unseen |= dict.fromkeys(outcome.unseen)
        for kind, message, count, first in outcome.reasons:
            add_reason(self.reasons, Failure(kind, message), Reason(count, first))
        if outcome.exit is not None:
            self.exit = pytest.exit.Exception(outcome.exit)

    def judge(self, error: BaseException | None) -> None:
        """Raise what its call counts as, by its marks and as pytest sees it; None is a call that raised nothing."""
        self._end_session(error)
        if error is not None and self._is_expected(error):
            self.is_xfailed = True
        elif error is not None:
            self.count(error)
            raise error
        elif self.expected_failure is not None and self.expected_failure.strict:
            unexpected = AssertionError(f"[XPASS(strict)] {self.expected_failure.reason}")
            self.count(unexpected)
            raise unexpected

    def _end_session(self, error: BaseException | None) -> None:
        if isinstance(error, pytest.exit.Exception):
            self.exit = error
            raise SessionEnded(f"{self.item.name} called pytest.exit: {error}") from error

    def _is_expected(self, error: BaseException) -> bool:
        if isinstance(error, pytest.xfail.Exception):
            return True
        marked = self.expected_failure
        if marked is None or not isinstance(error, Exception | pytest.fail.Exception):
            return False
        return marked.raises is None or isinstance(error, marked.raises)  # type: ignore[arg-type]

    @contextmanager
    def setting_up(self, set_ups: SetUps) -> Iterator[None]:
        """Within it its fixtures are made."""
        try:
            with self.counting():
                yield
        except BaseException as error:
            self._end_session(error)
            if not isinstance(error, SKIPS) and not is_end_of_run(error, is_ending=True):
                set_ups.count_failed(self.item, error)
            raise
        set_ups.is_any_sound = True

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what is raised within, and what could be raised nowhere since the last time."""
        try:
            yield
            raise_of_this_thread()
        except BaseException as error:
            self.count(error)
            raise

    def count(self, error: BaseException) -> None:
        """Count a failure, unless it is a skip, or the end of the run."""
        if isinstance(error, SKIPS):
            self.skipped = str(error) or "skipped"
        elif is_end_of_run(error, is_ending=True):
            self._uncount()
        else:
            with self._lock:
                self.failed += 1
                add_reason(self.reasons, failure_of_journey(error), Reason(1, self.failed))

    def _uncount(self) -> None:
        """It was cut off at the end of the run, and is in no figure."""
        with self._lock:
            self.runs = max(0, self.runs - 1)


RUNNING: Final[dict[int, Case]] = {}
"""What each thread has begun and not ended, by its identifier."""
