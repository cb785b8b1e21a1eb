"""How much is run at once: what is said of it before the start, and where threads may have met in what they share."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final, cast

from loadkit.jobs.functional.outcomes import Case
from loadkit.jobs.functional.plan import package_of, packages_of_plugins
from loadkit.jobs.functional.values import SharedValues
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import show_rate, show_seconds, show_span

_THREADS: Final = re.compile(r"\bthreads?\b|\bdifferent (event )?loop\b", re.IGNORECASE)

_UNCHANGING: Final = (type(None), str, bytes, int, float, tuple, frozenset, PurePath)
"""Values of these kinds stand any number of threads."""


def scale(scenario: Scenario, tests: int) -> str:
    """How many tests run how, and whether each is reached: `500 tests on 20 threads for 30s`."""
    line = f"{_many(tests, 'test')} {_load(scenario)}"
    most = _most_runs(scenario)
    if most is not None and most < tests:
        return f"{line}: at most {most:,} of them will run; give them more, or select fewer (-k)"
    if most is None and not scenario.phases and tests > scenario.threads:
        each = show_seconds(scenario.threads * cast(float, scenario.duration) / tests)
        return f"{line}: each of them will run if they take {each} or less on average"
    return line


def _load(scenario: Scenario) -> str:
    if scenario.phases:
        return f"in phases of {show_span(sum(one.duration for one in scenario.phases))} in all"
    load = f"at {show_rate(cast(float, scenario.rate))}" if scenario.rate else f"on {_many(scenario.threads, 'thread')}"
    if cast(int, scenario.processes) > 1:
        load += f" in {scenario.processes:,} processes"
    many = scenario.iterations
    return f"{load}, {_many(many, 'run')} in all" if many else f"{load} for {show_span(cast(float, scenario.duration))}"


def _most_runs(scenario: Scenario) -> int | None:
    """How many there will be at most, as far as that is known."""
    if scenario.iterations or not scenario.rate or scenario.phases:
        return scenario.iterations
    return round(cast(float, scenario.rate) * cast(float, scenario.duration))


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def advice_to_share(shared: SharedValues, scenario: Scenario, case: Case) -> list[str]:
    """A line for a test that uses what all threads share, and failed for that, it seems.

    It passed at other times, or what it raised speaks of threads, as SQLite does of one that it does not know.
    """
    is_alone = scenario.threads == 1 and not scenario.rate and not scenario.phases
    names = _shared_names(shared, case)
    others = case.runs - case.failed
    if not names or not case.failed or (is_alone and others) or not (others or _speaks_of_threads(case)):
        return []
    went_well = f"{_many(others, 'other run')} went well, and " if others else ""
    all_share = f"{went_well}all threads share {', '.join(names)}"
    return [f"{all_share}: what is shared has to stand that; make it of function scope, or give it a lock"]


def _speaks_of_threads(case: Case) -> bool:
    return any(_THREADS.search(one.message.partition("\n")[0]) for one in case.reasons)


def _shared_names(shared: SharedValues, case: Case) -> list[str]:
    """The user's own fixtures of a wider scope whose value may change."""
    packages = packages_of_plugins(case.item.config)
    return [
        step.name
        for index, step in enumerate(case.plan.steps)
        if step.is_shared
        and package_of(step.make) not in packages
        and not isinstance(shared.value(case.plan, index), _UNCHANGING)
    ]
