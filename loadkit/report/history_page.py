"""The history of runs as one HTML page: a chart a figure, the change points, and a row a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadkit.judge.history.series import changes
from loadkit.report.charts.history import history_chart
from loadkit.report.history import (
    INFORMS,
    about,
    describe_change_point,
    describe_step,
    in_order,
    runs_table,
    show_revision,
    show_value,
    show_when,
    title_of,
    value_of,
)
from loadkit.report.render import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.judge.comparison.blocks import Metric
    from loadkit.judge.history.kept_run import KeptRun
    from loadkit.judge.history.series import ChangePoint, Series
    from loadkit.report.charts.svg import Chart


def history_page(series: Sequence[Series], metrics: Sequence[Metric], *, last: int) -> str:
    """One page of all series, the one whose last run is the newest first."""
    return render("history.html", views=[_view(one, metrics, last) for one in reversed(series)], informs=INFORMS)


def _view(series: Series, metrics: Sequence[Metric], last: int) -> dict[str, Any]:
    runs = series.runs[-last:]
    points = [changes(series, metric) for metric in metrics]
    charts = [_chart(runs, metric, of_metric) for metric, of_metric in zip(metrics, points, strict=True)]
    return {
        "title": series.name,
        "about": about(series, len(runs)),
        "changes": [{"text": describe_change_point(one), "is_worse": one.is_worse} for one in in_order(points)],
        "charts": [chart for chart in charts if chart],
        "runs": runs_table(runs, metrics, points),
    }


def _chart(runs: Sequence[KeptRun], metric: Metric, points: Sequence[ChangePoint]) -> Chart | None:
    begun = {id(one.first): one for one in points}
    values = [value_of(run, metric) for run in runs]
    shown = [f"{show_when(run)}, {show_revision(run)}" for run in runs]
    return history_chart(
        metric.name,
        title_of(metric),
        values,
        # a level that began with the first run that is shown has no other before it
        levels=[(k, describe_step(begun[id(run)])) for k, run in enumerate(runs) if k and id(run) in begun],
        days=[show_when(run)[5:10] for run in runs],
        texts=[f"{text}: {show_value(metric, value)}" for text, value in zip(shown, values, strict=True)],
    )
