"""The history of runs as text and as CSV: a row a run, and when a figure had another level."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.comparison.comparison import show_figure
from loadkit.judge.history.series import changes
from loadkit.judge.instants import instant
from loadkit.judge.times import PERCENTILES
from loadkit.plan.units import SECOND, show_count, three_digits
from loadkit.report.escape import cell_text
from loadkit.report.layout import display_width
from loadkit.report.sparkline import sparkline
from loadkit.report.table import Cell, Column, Table
from loadkit.report.text_table import STYLES, text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.judge.history.kept_run import KeptRun
    from loadkit.judge.history.series import ChangePoint, Series
    from loadkit.report.layout import Layout

NAMES: Final = {"error_rate": "errors", "server_cpu": "server CPU"}
INFORMS: Final = (
    "A change point says that a figure had another level from that run on, not why: the machine changes, too. "
    "Whether a version is slower is for loadkit compare to decide."
)

_SPREAD: Final = 0.1
"""Figures that differ by no more than this share are drawn low: noise is no mountain."""
_MOST_BARS: Final = 40
_HASH: Final = 7
_OF_CSV: Final = ("throughput", "error_rate", "mean", *(one.name for one in PERCENTILES), "max", "server_cpu")


def history_report(series: Sequence[Series], metrics: Sequence[Metric], *, last: int, layout: Layout) -> str:
    """Each series with its last runs, without a newline at the end; no line is wider than the layout."""
    found = [(one, [changes(one, metric) for metric in metrics]) for one in series]
    parts = [lines for one, points in found for lines in _series(layout, one, metrics, points, last)]
    if any(of_metric for _, points in found for of_metric in points):
        parts.append(layout.wrap(INFORMS))
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _series(
    layout: Layout, series: Series, metrics: Sequence[Metric], points: Sequence[Sequence[ChangePoint]], last: int
) -> list[list[str]]:
    runs = series.runs[-last:]
    return [
        [_headline(layout, series), *(line for text in about(series, len(runs)) for line in _wrapped(layout, text))],
        text_table(layout, _over_time(layout, runs, metrics)),
        text_table(layout, runs_table(runs, metrics, points, ascii_only=layout.ascii)),
        _change_points(layout, points),
    ]


def _headline(layout: Layout, series: Series) -> str:
    rule = "=" if layout.ascii else "━"
    name = layout.ellipsize(layout.escape(series.name), layout.width - 8)
    return layout.style(f"{rule * 2} {name} {rule * (layout.width - display_width(name) - 4)}", "bold")


def _wrapped(layout: Layout, text: str) -> list[str]:
    return layout.wrap(layout.escape(text), first="  ", margin="  ")


def about(series: Series, shown: int) -> list[str]:
    """What the runs of a series have in common, and how many of them are shown."""
    newest = series.runs[-1]
    machine = newest.fingerprint
    cpus = f"{machine.cpus:g} CPU{'s' * (machine.cpus != 1)}"
    machines = f"{machine.machines:,} machines" if machine.machines > 1 else ""
    count = len(series.runs)
    runs = show_count(count, "run") if shown == count else f"the last {shown:,} of {count:,} runs"
    where = f", against {newest.host}" if newest.host else ""
    return [
        f"{runs} of series {series.key}: {newest.load}{where}",
        ", ".join(
            filter(
                None,
                [machines, machine.processor, cpus, machine.system, machine.python, f"loadkit {machine.loadkit}"],
            )
        ),
    ]


def _over_time(layout: Layout, runs: Sequence[KeptRun], metrics: Sequence[Metric]) -> Table:
    """A row a figure, with a small chart of it."""
    known = [(metric, [value for run in runs if (value := value_of(run, metric)) is not None]) for metric in metrics]
    return Table(
        caption="over time",
        head="figure",
        names=list(map(title_of, metrics)),
        columns=[
            Column("over time", [Cell(_sparkline(layout, runs, metric)) for metric in metrics]),
            Column("lowest", [Cell(show_value(metric, min(values, default=None))) for metric, values in known], 1),
            Column("highest", [Cell(show_value(metric, max(values, default=None))) for metric, values in known], 1),
        ],
    )


def value_of(run: KeptRun, metric: Metric) -> float | None:
    """A figure of a run; None where it is not known, or is not that of the load that was asked for."""
    return run.figure(metric) if run.is_sound else None


def _sparkline(layout: Layout, runs: Sequence[KeptRun], metric: Metric) -> str:
    values = [value_of(run, metric) for run in runs[-_MOST_BARS:]]
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low = min(known)
    high = max(*known, low * (1 + _SPREAD)) or 1.0
    return sparkline(values, low, high, ascii=layout.ascii)


def title_of(metric: Metric) -> str:
    """A figure as tables call it."""
    name = NAMES.get(metric.name, metric.name)
    return f"{metric.label}: {name}" if metric.label else name


def show_value(metric: Metric, value: float | None) -> str:
    """A figure as a person reads it; a dash where it is not known."""
    return show_figure(metric.name, value)


def runs_table(
    runs: Sequence[KeptRun],
    metrics: Sequence[Metric],
    points: Sequence[Sequence[ChangePoint]],
    *,
    ascii_only: bool = False,
) -> Table:
    """A row a run, the newest last; a figure that had another level from a run on has a mark there."""
    up, down = "^v" if ascii_only else "▲▼"
    columns = [
        Column("revision", list(map(_revision, runs)), 1),
        Column("branch", [Cell(run.revision.branch or "-") for run in runs], 3),
    ]
    for metric, of_metric in zip(metrics, points, strict=True):
        first = {id(one.first): one for one in of_metric}
        cells = [_cell(run, metric, first.get(id(run)), up, down) for run in runs]
        columns.append(Column(title_of(metric), cells))
    columns.append(Column("outcome", list(map(_outcome, runs)), 2))
    return Table(caption="Runs", head="run", names=[show_when(run) for run in runs], columns=columns, words=2)


def _cell(run: KeptRun, metric: Metric, change: ChangePoint | None, up: str, down: str) -> Cell:
    value = value_of(run, metric)
    text = show_value(metric, value)
    if change is None:
        return Cell(text, value)
    return Cell(f"{up if change.after > change.before else down} {text}", value, "bad" if change.is_worse else "good")


def _revision(run: KeptRun) -> Cell:
    return Cell(show_revision(run))


def show_revision(run: KeptRun) -> str:
    """The revision, as `git describe --always --dirty` has it; a dash where it is not known."""
    return f"{run.revision.commit[:_HASH]}{'-dirty' * run.revision.is_dirty}" if run.revision.commit else "-"


def _outcome(run: KeptRun) -> Cell:
    if run.validity == "invalid":
        return Cell("invalid", tone="doubt")
    return Cell(run.outcome.replace("-", " "), tone="" if run.outcome == "passed" else "bad")


def show_when(run: KeptRun) -> str:
    """When a run began, to the second, in UTC."""
    return f"{datetime.fromtimestamp(instant(run.time) / SECOND, UTC):%Y-%m-%d %H:%M:%S}"


def _change_points(layout: Layout, points: Sequence[Sequence[ChangePoint]]) -> list[str]:
    lines = []
    for one in in_order(points):
        first, *others = layout.wrap(layout.escape(describe_change_point(one)), first="  ", margin="    ")
        lines += [layout.style(first, STYLES["bad" if one.is_worse else "good"]), *others]
    return [layout.style("change points", "bold"), *lines] if lines else []


def in_order(points: Sequence[Sequence[ChangePoint]]) -> list[ChangePoint]:
    """The change points of several figures, the earliest first."""
    return sorted((one for of_metric in points for one in of_metric), key=lambda one: instant(one.first.time))


def describe_change_point(change: ChangePoint) -> str:
    """A change in words: `p50 +10.2 % from 9f8e7d6 of 2026-05-12 10:15:03 on: 10 ms, then 11 ms in 4 runs`."""
    before, after = (show_value(change.metric, level) for level in (change.before, change.after))
    since = f"{show_revision(change.first)} of {show_when(change.first)}".removeprefix("- of ")
    step = f"{title_of(change.metric)} {describe_step(change)}"
    return f"{step} from {since} on: {before}, then {after} in {show_count(change.count, 'run')}"


def describe_step(change: ChangePoint) -> str:
    """By how much the level changed: `+10.2 %`, of an error rate `+1.5 points`."""
    difference = change.after - change.before
    if change.metric.is_share:
        return f"{'-' * (difference < 0)}{'+' * (difference > 0)}{three_digits(abs(difference) * 100)} points"
    return f"{difference / change.before:+,.1%}".replace("%", " %") if change.before else "from nothing"


def history_csv(series: Series, metrics: Sequence[Metric]) -> str:
    """The sound runs of a series as CSV: `time`, `commit` and `branch`, and a column a figure in its plain unit.

    Without `metrics` it has those of everything that are known of each run, so that no cell is empty.
    """
    runs = [run for run in series.runs if run.is_sound]
    chosen = metrics or [one for one in map(Metric, _OF_CSV) if all(run.figure(one) is not None for run in runs)]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = [f"{one.label}: {one.name}" if one.label else one.name for one in chosen]
    rows.writerow(map(cell_text, ["time", "commit", "branch", *names]))
    for run in runs:
        words = [run.time, run.revision.commit, run.revision.branch]
        rows.writerow([*map(cell_text, words), *(run.figure(one) for one in chosen)])
    return text.getvalue()
