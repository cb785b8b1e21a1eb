"""What pytest is told of tests that ran under load: of each how often it failed and with what, as one item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
import pytest
from _pytest.runner import CallInfo

from loadkit.jobs.functional.cases import TestFunction
from loadkit.jobs.functional.outcomes import Case
from loadkit.jobs.functional.refused import MOST_NAMED
from loadkit.jobs.functional.scale import scale
from loadkit.jobs.functional.values import SharedValues
from loadkit.jobs.stored import compare_stored
from loadkit.jobs.testing.comparing import why_failed
from loadkit.jobs.testing.runs import Found
from loadkit.judge.caveats import NO_REQUESTS
from loadkit.judge.limit.limit import describe_limit
from loadkit.judge.rows import journeys_among
from loadkit.judge.validity import Caveat, ranked
from loadkit.measure.reasons import summed
from loadkit.plan.scenario import Scenario
from loadkit.plan.threshold import threshold
from loadkit.plan.units import show_count, show_seconds
from loadkit.report.escape import visible_text
from loadkit.report.formats.junit import figures, properties
from loadkit.report.limit import facts_of

if TYPE_CHECKING:
    from loadkit.jobs.functional.parts import Reported
    from loadkit.jobs.rounds import NotMeasurable
    from loadkit.jobs.testing.comparison_options import ComparisonOptions
    from loadkit.jobs.testing.runs import Run
    from loadkit.jobs.testing.session import LoadSession
    from loadkit.judge.comparison.comparison import Comparison
    from loadkit.judge.limit.limit import Limit
    from loadkit.judge.result import Result
    from loadkit.judge.rows import Timing
    from loadkit.judge.threshold_results import ThresholdResult

When: TypeAlias = Literal["setup", "call", "teardown"]
NOT_APPLIED: Final = ("worker-lost", "load-differs")
"""What fails all tests: their load was another one than was asked for."""
UNKNOWN_CLIENT: Final = "unknown-client"
MOST_REASONS: Final = 3
"""So many are shown of why a test failed."""

_PHASES: Final[tuple[When, ...]] = ("setup", "call", "teardown")


def write_scale(config: pytest.Config, scenario: Scenario, tests: int) -> None:
    """Say before the start how much is to be run: 500 tests may have been selected by mistake."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter and config.get_verbosity() >= 0:
        reporter.ensure_newline()
        reporter.write_line(scale(scenario, tests))


def write_doubts(config: pytest.Config, result: Result) -> None:
    """Say why figures are not to be believed, for which the table at the end has one word, and what is in no row."""
    shown = [one for one in result.caveats if one.level != "note" or one.code in (NO_REQUESTS, UNKNOWN_CLIENT)]
    write_notes(config, [f"{'-' if one.level == 'note' else '!'} {one.code}: {one.message}" for one in shown])


def write_notes(config: pytest.Config, lines: Sequence[str]) -> None:
    """Write lines before those of the tests, unless more or less than usual is asked for."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter and config.get_verbosity() == 0:
        for line in lines:
            reporter.ensure_newline()
            reporter.write_line(visible_text(line))


def in_words_of_tests(result: Result, tests: Sequence[TestFunction]) -> Result:
    """The same, with notes on what tests send and no row is of, in the place of that on journeys.

    What it advises are options of pytest.
    """
    known = [one for one in result.caveats if one.code != NO_REQUESTS]
    elsewhere = {test.name: [*dict.fromkeys(place for case in test.cases for place in case.unseen)] for test in tests}
    if places := [f"{name} ({few_names(found)})" for name, found in elsewhere.items() if found]:
        message = (
            f"connections were opened by a client that loadkit does not know within {few_names(places)}: what is sent "
            "there is timed with the test as a whole; a timer('search') gives it a row"
        )
        known.append(Caveat(UNKNOWN_CLIENT, message, "note"))
    timed = [one for one in journeys_among(result.timings) if one.count]
    if unseen := [one.name for one in timed if not one.endpoints and not elsewhere.get(one.name)]:
        message = (
            f"no request was seen within {few_names(unseen)}: if they send some, by a client that "
            "loadkit does not know, these are timed with their test as a whole; a timer('search') gives them a row"
        )
        known.append(Caveat(NO_REQUESTS, message, "note"))
    caveats = [msgspec.structs.replace(one, message=_of_pytest(one.message)) for one in ranked(known)]
    bottleneck = msgspec.structs.replace(result.bottleneck, sentence=_of_pytest(result.bottleneck.sentence))
    return msgspec.structs.replace(result, caveats=caveats, bottleneck=bottleneck)


def few_names(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def _of_pytest(sentence: str) -> str:
    return sentence.replace(" --processes", " --load-processes").replace("; --keep-going goes on trying", "")


def why_worse(session: LoadSession, run: Run) -> str:
    """Why its rounds are worse than those of the baseline by which they are judged; nothing if they are not."""
    before = (session.baseline or {}).get(run.title)
    if not session.options.is_judged_by_baseline or not before:
        return ""
    found = compare_stored(
        before,
        [run.result, *run.more],
        tolerances=session.comparing.tolerances,
        old=f"the baseline {session.options.compare}",
        new="this run",
    )
    session.keep(Found(test=run.test, number=1, finding=found))
    return why_failed(found, session.comparing)


def tell_test(
    test: TestFunction,
    others: Sequence[TestFunction],
    results: Sequence[Result],
    *,
    worse: str,
    advice: Callable[[Case], list[str]],
) -> None:
    """Tell what came of it in all rounds; its figures are those of the first."""
    names = {name for one in others for name in one.rows}
    result = results[0]
    held = [one for found in results for one in found.thresholds]
    own = [one for one in held if _label(one) in test.rows or _label(one) not in names]
    missed = [f"{one.threshold}: {one.shown}" for one in own if not one.passed and not one.implied]
    missed += [f"{one.code}: {one.message}" for found in results for one in found.caveats if one.code in NOT_APPLIED]
    missed += [worse] if worse else []
    is_limited = any(threshold(one.threshold).limits_errors and not one.implied for one in own)
    # of very many tests some share a row, whose figures say nothing of one of them
    timing = next((one for one in result.timings if one.name == test.name), None)
    for case in test.cases:
        if timing is not None:
            case.item.user_properties.extend(figures("load", timing))
        tell(case.item, "call", partial(_judge, case, timing, missed, advice(case), is_limited=is_limited))


def tell_limit(case: Case, found: Limit) -> None:
    """Tell what is held, which a test has not passed that holds none."""
    lines = [f"limit of {found.name}: {describe_limit(found)}", *facts_of(found)]
    case.item.user_properties.extend(properties(found))
    failing = partial(pytest.fail, visible_text("\n".join(lines)), pytrace=False)
    tell(case.item, "call", failing if found.exit_code else lambda: None)


def tell_comparison(case: Case, found: Comparison, asked: ComparisonOptions) -> None:
    """Tell which version is worse, which fails a test as asked."""
    why = why_failed(found, asked)
    lines = [why, *(visible_text(line) for line in _failed(case))]
    failing = partial(pytest.fail, "\n".join(lines), pytrace=False)
    tell(case.item, "call", failing if why else lambda: None)


def tell_unmeasured(case: Case, error: NotMeasurable) -> None:
    """Tell that one of the versions could not be measured."""
    tell(case.item, "call", partial(pytest.fail, visible_text(f"not compared: {error}"), pytrace=False))


def _label(one: ThresholdResult) -> str | None:
    return threshold(one.threshold).label


def _judge(
    case: Case, timing: Timing | None, missed: Sequence[str], advice: Sequence[str], *, is_limited: bool
) -> None:
    """Raise what pytest counts a test as, unless it passed."""
    held = case.held_at()
    if missed or held or (case.failed and not is_limited):
        failed = [*_failed(case), *advice] if case.failed else []
        never = [f"{len(held)} of {case.runs:,} runs never returned", *(f"  at {place}" for place in sorted({*held}))]
        pytest.fail("\n".join([*missed, *(never if held else []), *failed, *_times(timing)]), pytrace=False)
    if case.skipped:
        pytest.skip(case.skipped)
    if case.is_xfailed:
        pytest.xfail(case.expected_failure.reason if case.expected_failure else "")
    if not case.runs:
        pytest.fail("it was not reached; give it more time (--load-for), or select fewer tests (-k)", pytrace=False)
    if timing is not None and not timing.response_time.count:
        pytest.fail("no run of it came to its end; give it more time (--load-for)", pytrace=False)


def _failed(case: Case) -> Iterator[str]:
    """How many of its runs failed, and why: the most frequent reasons first, with their counts if there are several."""
    if not case.failed:
        return
    yield f"{case.failed:,} of {case.runs:,} runs failed"
    reasons = sorted(summed(case.reasons).items(), key=lambda item: (-item[1].count, item[1].first))
    if len(reasons) == 1:
        yield reasons[0][0].message
        return
    for failure, reason in reasons[:MOST_REASONS]:
        yield f"{reason.count:,} of them: {failure.message}"
    if more := sum(reason.count for _, reason in reasons[MOST_REASONS:]):
        yield f"{more:,} of them for {show_count(len(reasons) - MOST_REASONS, 'other reason')}"


def _times(timing: Timing | None) -> Iterator[str]:
    if timing is not None and timing.response_time.count:
        yield f"(p50 {show_seconds(timing.p50)}, p99 {show_seconds(timing.p99)})"


def tell_teardown(item: pytest.Item, shared: SharedValues, reports: Sequence[Reported]) -> None:
    """An error of a wider scope is one of the last test, as in pytest."""

    def close() -> None:
        shared.close()
        failed = [told.teardown for told in reports if told.teardown]
        if failed:
            pytest.fail("\n".join(failed), pytrace=False)

    report = _report(item, "teardown", close)
    if report.failed:
        item.ihook.pytest_runtest_logreport(report=report)


def tell(item: pytest.Item, when: When, raising: Callable[[], object]) -> None:
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for phase in _PHASES:
        found = _report(item, phase, raising if phase == when else lambda: None)
        item.ihook.pytest_runtest_logreport(report=found)
        if phase == when == "setup":
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _report(item: pytest.Item, when: When, raising: Callable[[], object]) -> pytest.TestReport:
    call = CallInfo.from_call(raising, when=when)
    found: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return found
