"""The text of a comparison, to the letter."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from loadkit.judge.comparison.blocks import Block, Metric, Round, Version
from loadkit.judge.comparison.changes import Change
from loadkit.judge.comparison.comparison import Comparison, RoundFigures, comparison
from loadkit.judge.comparison.procedure import Conclusion
from loadkit.judge.validity import Caveat
from loadkit.report.comparison import comparison_report
from loadkit.report.layout import Layout, display_width
from tests.report.comparisons import ERRORS, SEARCH, SLOWER, TAIL, THROUGHPUT, change, found


def test_what_is_worse_is_said_first_and_shown_with_its_interval():
    report = comparison_report(
        found("worse", SLOWER, ERRORS, THROUGHPUT, confirming=4, shown=[TAIL, SEARCH]), Layout(width=110)
    )

    assert (
        f"{report}\n"
        == """\
━━ tree against main (1a2b3c4) ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  12 blocks of 4 rounds in turns, and 4 to confirm; 1m12s in all

WORSE: p50 +11.8 % (+7.4 to +16.0), tolerance 5 %

figure         before    after              change (interval)                             verdict
  p50           10 ms  11.2 ms        +11.8 % (+7.4 to +16.0)  ──────────┼───━━●━━──        worse
  error rate      0 %   0.02 %  +0.02 points (-0.01 to +0.04)  ──────────●━─────────     no worse
  throughput  1,784/s  1,701/s          -4.7 % (-9.0 to -1.0)  ──────━━●━┼──────────  cannot tell

also measured       before  after      change (interval)                             verdict
  p99                47 ms  46 ms    -2.0 % (-20.0 to ?)  ━━━━━━━━━●┼─────────?  cannot tell
  GET /search: p50   12 ms  12 ms  +0.0 % (-1.0 to +1.0)  ──────────●──────────     no worse

  - the working tree has 1 file that is not committed, and is measured as it is
"""
    )


def in_rounds(times: Sequence[tuple[Version, float]], blocks: int) -> Comparison:
    """A comparison of the p50 with these rounds in each block."""
    rounds = [
        RoundFigures(version=version, block=k, figures={"p50": time}) for k in range(blocks) for version, time in times
    ]
    return msgspec.structs.replace(found("worse", SLOWER), rounds=rounds)


LEVELS: list[tuple[str, list[tuple[Version, float]], int, bool, str]] = [
    ("those of one version after the other", [("old", 0.0100), ("new", 0.0120)], 3, False, "▁▁▁      | ███     "),
    ("in the order of time", [("old", 0.0100), ("old", 0.0120), ("new", 0.0110)], 1, False, "▁█       | ▅       "),
    ("many as the means of their groups", [("old", 0.0100), ("new", 0.0120)], 99, False, "▁▁▁▁▁▁▁▁ | ████████"),
    ("what is within the tolerance looks small", [("old", 0.0100), ("new", 0.0101)], 2, False, "▄▄       | ▅▅      "),
    ("in ASCII", [("old", 0.0100), ("old", 0.0120), ("new", 0.0110)], 1, True, ".@       | +       "),
]


@pytest.mark.parametrize(
    ("times", "blocks", "in_ascii", "strip"), [row[1:] for row in LEVELS], ids=[row[0] for row in LEVELS]
)
def test_the_rounds_of_both_versions_are_a_strip(
    times: Sequence[tuple[Version, float]], blocks: int, in_ascii: bool, strip: str
):
    report = comparison_report(in_rounds(times, blocks), Layout(width=140, ascii=in_ascii))

    assert f"  {strip}  " in next(line for line in report.splitlines() if line.startswith("  p50"))


def test_a_round_that_was_not_sound_is_not_in_the_strip():
    shown = in_rounds([("old", 0.0100), ("new", 0.0120)], 2)
    wrong = RoundFigures(version="old", block=2, figures={"p50": 0.5}, unsound="the machine was busy")
    shown = msgspec.structs.replace(shown, rounds=[*shown.rounds, wrong])

    assert "▁▁       | ██" in comparison_report(shown, Layout(width=140))


WIDTHS = [
    (140, ["before", "after", "change (interval)", "━●━", "▁"]),
    (100, ["before", "after", "change (interval)", "━●━"]),
    (80, ["before", "after", "change (interval)"]),
    (60, ["before", "after", "change (interval)"]),
]


@pytest.mark.parametrize(("width", "shown"), WIDTHS)
def test_on_a_narrow_terminal_the_strip_goes_first_then_the_bar(width: int, shown: list[str]):
    report = comparison_report(in_rounds([("old", 0.0100), ("new", 0.0120)], 4), Layout(width=width))
    marks = ["before", "after", "change (interval)", "━●━", "▁"]

    table = report.split("\n\n")[2]
    assert [mark for mark in marks if mark in table] == shown
    assert max(map(display_width, report.splitlines())) <= width


def test_of_long_names_of_versions_both_ends_of_each_are_shown():
    title = comparison_report(found("worse", SLOWER, new="n" * 99 + "-x"), Layout(width=60)).splitlines()[0]

    assert re.fullmatch("━━ n+…n+-x against main \\(1a2b3c4\\) ━+", title)


def test_of_very_many_figures_those_that_changed_are_shown():
    same = [replace(SEARCH, metric=Metric("p50", f"GET /{k}")) for k in range(60)]
    slow = replace(SLOWER, metric=Metric("p50", "GET /slow"), decides=False)

    report = comparison_report(found("no worse", ERRORS, shown=[*same, slow]), Layout(width=100))

    assert "GET /slow: p50" in report
    assert "GET /39" not in report
    assert "  21 more rows in the JSON" in report


FEW = [
    (change(Metric("p50"), 0.01, 0.03, (-math.inf, 2.0, math.inf), "cannot tell"), "too few rounds"),
    (change(Metric("p50"), 0.01, math.nan, (-math.inf, math.nan, math.inf), "cannot tell"), "-"),
]


@pytest.mark.parametrize(("few", "word"), FEW)
def test_of_a_figure_without_an_interval_the_reason_is_said(few: Change, word: str):
    report = comparison_report(found("worse", few, reason="three times slower or more in 2 blocks"), Layout(width=100))

    assert next(line for line in report.splitlines() if line.startswith("  p50")).endswith(f" {word}")


def test_where_nothing_is_tolerated_the_bar_shows_the_side_of_the_change():
    without = found("worse", replace(SLOWER, tolerance=0.0), replace(ERRORS, tolerance=0.0))

    slower, errors = (
        line
        for line in comparison_report(without, Layout(width=110)).splitlines()
        if line.startswith("  p50") or "points" in line
    )
    assert "──────────┼─────────●" in slower
    assert "━━━━━━━━━━┼━━━━━━━━━●" in errors


def test_in_ascii_and_in_60_columns_it_fits():
    report = comparison_report(
        found("worse", SLOWER, ERRORS, shown=[TAIL], new="n" * 200), Layout(width=60, ascii=True)
    )

    assert report.isascii()
    assert max(map(display_width, report.splitlines())) <= 60


VERDICTS: list[tuple[Comparison, str]] = [
    (found("no worse", ERRORS), "NO WORSE: no figure that decides is worse by more than is tolerated (error rate)"),
    (found("cannot tell", THROUGHPUT, reason="interrupted"), "CANNOT TELL: interrupted; undecided: throughput"),
    (found("worse", reason="the new version failed all requests"), "WORSE: the new version failed all requests"),
]


@pytest.mark.parametrize(("comparison", "line"), VERDICTS, ids=[row[1] for row in VERDICTS])
def test_the_verdict_is_a_line(comparison: Comparison, line: str):
    assert line in comparison_report(comparison, Layout(width=100)).splitlines()


def test_under_a_failing_assert_the_figures_that_decide_are_shown():
    assert repr(found("worse", SLOWER, ERRORS)) == (
        "<Comparison of tree with main (1a2b3c4): worse\n"
        "  <p50 worse: +11.8 % (+7.4 to +16.0)>\n"
        "  <error_rate no worse: +0.02 points (-0.01 to +0.04)>>"
    )


def test_a_figure_that_was_not_compared_is_named_with_those_that_were():
    with pytest.raises(KeyError, match=r"'p99' was not compared; there are \['p50'\]"):
        found("worse", SLOWER).p99  # noqa: B018 - it raises


def test_stored_rounds_say_first_what_keeps_them_from_being_judged():
    rounds = [Block((Round(version=version, figures={Metric("p50"): 0.01}),)) for version in ("old", "old", "new")]
    made = comparison(
        Conclusion(verdict="cannot tell", changes=(SLOWER,), blocks=tuple(rounds), reason="nothing is decided"),
        [],
        new="after.json",
        old="before.json",
        seconds=0,
        notes=["not in turns"],
        environment=None,
    )
    caveat = Caveat("other-machine", "after.json was measured on another machine: cpus 2, was 4", "grave")

    report = comparison_report(msgspec.structs.replace(made, in_turns=False, caveats=[caveat]), Layout(width=100))

    assert (
        f"{report}\n"
        == """\
━━ after.json against before.json ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  2 rounds before, 1 after

  ! after.json was measured on another machine: cpus 2, was 4

CANNOT TELL: nothing is decided

figure    before    after        change (interval)                         verdict
  p50      10 ms  11.2 ms  +11.8 % (+7.4 to +16.0)  ──────────┼───━━●━━──    worse

  - not in turns
"""
    )
