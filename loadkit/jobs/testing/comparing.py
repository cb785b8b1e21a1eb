"""Two versions compared for a test, and what of it fails the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from loadkit.jobs.compare import compare, names_scenario
from loadkit.jobs.stored import compare_stored
from loadkit.jobs.testing.comparison_options import ComparisonOptions
from loadkit.jobs.testing.interruptible import run_interruptible
from loadkit.jobs.testing.runs import FOUND, Owner, Run
from loadkit.jobs.testing.target import Target, resolve_target
from loadkit.jobs.tolerances import tolerances_of
from loadkit.judge.comparison.comparison import Comparison
from loadkit.plan.scenario import Scenario
from loadkit.report.comparison import describe_verdict
from loadkit.report.escape import visible_text

if TYPE_CHECKING:
    from loadkit.jobs.testing.session import LoadSession

Tolerance: TypeAlias = str | float | Sequence[str] | Mapping[str, str | float]
"""`"10%"` of each figure that decides, `"p99=10%"`, several of them, or `{"p99": 0.1}`."""


def resolve_against(against: Target, changes: Mapping[str, Any], test: Owner) -> Scenario | str:
    """What was before: a scenario with the same fields changed as the new one; a URL or a revision as it is."""
    if isinstance(against, str) and not names_scenario(against):
        return against
    # another scenario says itself where it is answered
    server = None if isinstance(against, Scenario | str) else server_of(test)
    return resolve_target(against, changes, name=test.name, root=test.config.rootpath, server=server)


def server_of(test: Owner) -> str | None:
    """The server that a test takes as `load_server`."""
    found = getattr(test, "funcargs", {}).get("load_server")
    return found if isinstance(found, str) else None


def compare_for(
    test: Owner,
    session: LoadSession,
    scenario: Scenario,
    against: Scenario | str,
    *,
    tolerance: Tolerance | None = None,
    budget: Any = None,
) -> Comparison:
    """Compare a scenario with what was before, and keep what was found.

    Raises what `compare` does, and `KeyboardInterrupt` after a Ctrl-C, when what was found has been kept.
    """
    options = session.comparing
    if scenario.prepare is None:
        scenario = scenario.replace(prepare=options.prepare)
    tolerances = _tolerances(options, tolerance)
    with session.hold_lock():
        found, thrown = run_interruptible(
            lambda interrupts: compare(
                scenario,
                against=against,
                tolerances=tolerances,
                budget=options.budget if budget is None else budget,
                interrupts=interrupts,
                checkouts=session.checkouts,
            )
        )
    session.concluded(test, found)
    if thrown is not None:
        raise thrown
    return found


def worse_than_saved(test: Owner, session: LoadSession, tolerance: Tolerance | None = None) -> str:
    """Why the last run of a test fails it beside the rounds that the baseline has of it; nothing if it does not."""
    run = [one for one in test.stash[FOUND] if isinstance(one, Run)][-1]
    before = (session.baseline or {}).get(run.title)
    if not session.options.is_judged_by_baseline or not before:
        return ""
    found = compare_stored(
        before,
        [run.result, *run.more],
        tolerances=_tolerances(session.comparing, tolerance),
        old=f"the baseline {session.options.compare}",
        new="this run",
    )
    session.concluded(test, found)
    return why_failed(found, session.comparing)


def _tolerances(options: ComparisonOptions, tolerance: Tolerance | None) -> Mapping[str, float]:
    return {**options.tolerances, **(tolerances_of(_texts(tolerance)) if tolerance is not None else {})}


def _texts(tolerance: Tolerance) -> Sequence[str]:
    if isinstance(tolerance, Mapping):
        return [f"{name}={share}" for name, share in tolerance.items()]
    return [str(tolerance)] if isinstance(tolerance, str | float | int) else tolerance


def why_failed(found: Comparison, options: ComparisonOptions) -> str:
    """Why a comparison fails its test; nothing if it does not."""
    because = describe_verdict(found)
    if found.worse:
        return visible_text(f"worse than {found.old}: {because}")
    if found.verdict != "cannot tell" or options.is_undecided_passed or not found.exit_code:
        return ""
    return visible_text(
        f"it cannot be told whether it is worse than {found.old}: {because}; with --load-undecided pass this passes"
    )
