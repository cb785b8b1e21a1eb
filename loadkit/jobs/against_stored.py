"""A comparison with stored rounds: of other stored ones, or of the new version, measured now as those were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from loadkit.clock import SystemClock
from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.printing import printing_on_stderr
from loadkit.jobs.rounds import NotMeasurable
from loadkit.jobs.run import run
from loadkit.jobs.stored import compare_stored
from loadkit.judge.comparison.comparison import INTERRUPTED, Comparison
from loadkit.judge.comparison.procedure import Moment
from loadkit.judge.description import describe
from loadkit.judge.identity import Identity, identity
from loadkit.judge.result import Result
from loadkit.plan.errors import Interrupted, UsageError
from loadkit.plan.fields import parse_positive_seconds
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import SECOND, Duration
from loadkit.report.json import load

MOST_ROUNDS: Final = 8
"""Of the new version, however many are stored of the old one."""

_SETTINGS: Final = (
    "rate",
    "threads",
    "iterations",
    "iterations_per_thread",
    "duration",
    "arrivals",
    "max_threads",
    "warmup",
    "think_time",
    "pacing",
    "timeout",
    "seed",
)
"""Of a scenario, as a result has them; those that others are computed from come first."""

StoredRounds: TypeAlias = "str | Path | Sequence[Result]"
"""Results, or the file that holds them; of a file with several scenarios one is named, as in `before.json::browse`."""


def are_stored(value: object) -> bool:
    """True for results, and for the name of a file of them."""
    if isinstance(value, str | Path):
        return str(value).partition("::")[0].endswith((".json", ".json.partial"))
    return isinstance(value, Sequence)


def compare_with_stored(
    new: Scenario | StoredRounds,
    before: StoredRounds,
    *,
    tolerances: Mapping[str, float] | None,
    strict_machine: bool,
    budget: Duration,
    watch: Callable[[Moment], None],
    interrupts: Callable[[], int] | None,
) -> Comparison:
    """What `loadkit.compare` does with stored rounds of the old version, or of both."""
    clock = SystemClock()
    began = clock.now()
    limit = parse_positive_seconds(budget, what="budget")
    old = str(before) if isinstance(before, str | Path) else "before"
    if not isinstance(new, Scenario):
        name = str(new) if isinstance(new, str | Path) else "after"
        groups = _by_scenario(new, name)
        old_rounds, k = _in_both(before, old, [(one[0].identity, one[0].scenario.name) for one in groups], name)
        return compare_stored(
            old_rounds, groups[k], tolerances=tolerances, strict_machine=strict_machine, old=old, new=name
        )
    name = new.name or "the scenario"
    old_rounds, _ = _in_both(before, old, [(identity(new), name)], name)
    scenario, changed = _as_before(new, old_rounds[-1])
    results: list[Result] = []
    count = min(MOST_ROUNDS, len(old_rounds))
    with counted_signals() if interrupts is None else nullcontext(interrupts) as asked, printing_on_stderr():
        while len(results) < count and not asked():
            elapsed = (clock.now() - began) / SECOND
            if results and elapsed * (len(results) + 1) / len(results) > limit:
                break
            try:
                results.append(_round(scenario, name, asked))
            except Interrupted:
                if not results:
                    raise
                break
            elapsed = (clock.now() - began) / SECOND
            watch(Moment(blocks=len(results), unit="round", elapsed=elapsed, budget=limit))
        is_interrupted = bool(asked())
    found = compare_stored(
        old_rounds,
        results,
        tolerances=tolerances,
        strict_machine=strict_machine,
        old=old,
        new=name,
        seconds=(clock.now() - began) / SECOND,
    )
    notes = list(found.notes)
    if changed:
        notes.append(f"{name} was measured as {old} was: {'; '.join(changed)}")
    if is_interrupted:
        return msgspec.structs.replace(found, verdict="cannot tell", reason=INTERRUPTED, notes=notes)
    if len(results) < count:
        notes.append(f"the budget of {limit:g} s was enough for {len(results)} of {count} rounds")
    return msgspec.structs.replace(found, notes=notes)


def _round(scenario: Scenario, name: str, interrupts: Callable[[], int]) -> Result:
    try:
        return run(scenario, interrupts=interrupts)
    except UsageError as error:
        if scenario.server and error.exit_code == UsageError.exit_code:
            raise NotMeasurable(f"the new version, {name}: {error}") from None
        raise


def _by_scenario(rounds: StoredRounds, name: str) -> list[list[Result]]:
    """The results of each scenario among them, or of the one that is named."""
    wanted = ""
    if isinstance(rounds, str | Path):
        file, _, wanted = str(rounds).partition("::")
        rounds = load(Path(file))
    of_one: dict[str, list[Result]] = {}
    for result in rounds:
        if wanted in ("", result.identity.name, result.scenario.name):
            of_one.setdefault(result.identity.name, []).append(result)
    if not of_one:
        raise UsageError(f"there is no round in {name} to compare")
    return list(of_one.values())


def _in_both(
    before: StoredRounds, old: str, new: Sequence[tuple[Identity, str]], name: str
) -> tuple[list[Result], int]:
    """The stored rounds of the scenario that the new version has, too, and which of those in `new` it is.

    Two that have nothing in common but their name, or what they send, are taken for the same if there is no other one.
    """
    found = _by_scenario(before, old)
    pairs = [(one, k) for k, (wanted, _) in enumerate(new) for one in found if one[0].identity.name == wanted.name]
    if not pairs and len(found) == len(new) == 1:
        [[first, *_]], [(wanted, title)] = found, new
        pairs = [(found[0], 0)] if first.scenario.name == title or first.identity.plan == wanted.plan else []
    if not pairs:
        known, asked = (
            ", ".join(names) for names in ([one[0].identity.name for one in found], [one.name for one, _ in new])
        )
        raise UsageError(f"{old} has rounds of {known}, and {name} of {asked}: two scenarios are not compared")
    if len(pairs) > 1:
        names = ", ".join(f"{old}::{one[0].scenario.name}" for one, _ in pairs)
        raise UsageError(f"{old} and {name} share {len(pairs)} scenarios, and one is compared; name it: {names}")
    return pairs[0]


def _as_before(new: Scenario, old: Result) -> tuple[Scenario, list[str]]:
    """The scenario with the settings of a stored result, and which of its own those take the place of.

    What cannot be set so, such as phases or a think time that a function draws, stays, and is another load.
    """
    wanted = old.identity.plan
    if identity(new).plan == wanted:
        return new, []
    changed: list[str] = []
    scenario = new
    if not (old.scenario.phases or new.phases):
        for name in _SETTINGS:
            then, now = getattr(old.scenario, name), getattr(describe(scenario), name)
            if then != now:
                try:
                    scenario = scenario.replace(**_setting(name, then))
                except UsageError:
                    continue
                changed.append(f"{name.replace('_', ' ')} {_shown(then)}, not {_shown(now)}")
    # limits decide nothing here, and are a part of the plan
    limits = [one.threshold for one in old.thresholds if not one.implied]
    return (scenario if identity(scenario).plan == wanted else scenario.replace(thresholds=limits)), changed


def _setting(name: str, value: Any) -> Any:
    if name == "think_time":
        least, to, most = value.partition(" to ")
        return {name: (least, most) if to else least or 0}
    return {name: value}


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value in (None, "") else str(value)
