"""The limit of a server as text: the answer, why it stopped, and each level with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadkit.judge.limit.limit import describe_limit
from loadkit.judge.limit.scalability import describe_scalability
from loadkit.plan.units import show_rate, show_span
from loadkit.report.charts.levels import SHAPES, describe_level, limit_charts
from loadkit.report.comparison import conclusion, headline
from loadkit.report.figures import show_share, time_cell
from loadkit.report.progress import Status
from loadkit.report.table import Cell, Column, Table
from loadkit.report.tables import MAX_ROWS_OF_TEXT
from loadkit.report.text_chart import text_chart
from loadkit.report.text_table import text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.judge.limit.limit import LevelTrial, Limit, LimitLevel
    from loadkit.judge.limit.search import SearchMoment
    from loadkit.report.layout import Layout
    from loadkit.report.table import Tone

_TONES: Final[dict[int, Tone]] = {0: "good", 1: "bad"}
"""Of an exit code; of another one nothing is known for sure."""
_SHOWN: Final = ("p50", "p99")
"""Response times that each level has a column of, whatever is limited."""


def limit_report(limit: Limit, layout: Layout) -> str:
    """A limit as a person reads it, without a newline at the end; no line is wider than the layout."""
    parts = (
        headline(layout, title_of(limit), describe_trials(limit)),
        [
            *conclusion(layout, limit.ending.upper(), tone_of(limit), describe_limit(limit)),
            *(line for fact in facts_of(limit) for line in layout.wrap(layout.escape(fact), first="  ", margin="  ")),
        ],
        *(text_chart(layout, one) for one in limit_charts(limit)[:1]),
        *(text_table(layout, one) for one in level_tables(limit, MAX_ROWS_OF_TEXT)),
        [line for note in limit.notes for line in layout.wrap(layout.escape(note), first="  - ", margin="    ")],
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def tone_of(limit: Limit) -> Tone:
    """Whether it is what was asked for."""
    return _TONES.get(limit.exit_code, "doubt")


def title_of(limit: Limit) -> str:
    """What was searched, and for what."""
    return f"{limit.name}: {'the highest rate that holds' if limit.by == 'rate' else 'how many threads are enough'}"


def describe_trials(limit: Limit) -> str:
    """The thresholds, how many trials there were, and how long they took."""
    trials = sum(len(one.trials) for one in (*limit.levels, *limit.closed))
    return "; ".join([*limit.thresholds, f"{trials} trials in {show_span(round(limit.seconds))}"])


def facts_of(limit: Limit) -> list[str]:
    """What there is to say below the answer."""
    facts = [f"what gave way first: {limit.gave_way}"] if limit.gave_way else []
    if limit.scalability:
        facts.append(describe_scalability(limit.scalability))
    if limit.at_least is not None:
        kept = "is held" if limit.rate >= limit.at_least else "is not confirmed"
        facts.append(f"{show_rate(limit.at_least)}, which was asked for, {kept}")
    return facts


def level_tables(limit: Limit, most: int) -> list[Table]:
    """A row a rate, and a row a number of closed threads; of each table no more than so many."""
    tables = (
        _table(limit, "rate", limit.levels, most),
        _table(limit, "closed threads", limit.closed, most),
    )
    return [one for one in tables if one.names]


def _table(limit: Limit, head: str, levels: Sequence[LimitLevel], most: int) -> Table:
    shown, more = levels[:most], len(levels[most:])
    known = [describe_level(limit, one, is_rate=head == "rate") for one in shown]
    limited = [one for one in limit.limits if one.label is None and not one.limits_errors and one.metric not in _SHOWN]
    columns = [
        Column("good replies", [Cell(show_rate(one.throughput), one.throughput) for one in shown]),
        *(Column(one.metric, [time_cell(level.values.get(one.text)) for level in shown]) for one in limited),
        Column("p50", [time_cell(one.figures.get("p50")) for one in shown], drop_order=2),
        Column("p99", [time_cell(one.figures.get("p99")) for one in shown], drop_order=1),
        Column("errors", [errors_cell(one) for one in shown], drop_order=1),
        Column("trials", [Cell(str(len(one.trials)), len(one.trials)) for one in shown], drop_order=3),
        *([Column("known", [Cell(one, tone=SHAPES[one][1]) for one in known])] if any(known) else []),
    ]
    return Table(
        caption="Rates" if head == "rate" else "Closed threads",
        head=head,
        names=[show_rate(one.level) if head == "rate" else f"{one.level:g}" for one in shown],
        columns=columns,
        notes=[Cell(f"{more:,} more in the JSON")] if more else [],
    )


def errors_cell(one: LimitLevel | LevelTrial) -> Cell:
    """The share of failures."""
    share = one.figures.get("error_rate", 0.0)
    return Cell(show_share(share), share, tone="bad" if share else "")


def limit_progress(moment: SearchMoment) -> Status:
    """How far a search has come, for a line on stderr."""
    wanted = moment.next_trial
    level = f"threads: {wanted.level:g}" if wanted.is_closed else show_rate(wanted.level)
    stage = f"{level} ({wanted.reason})"
    known = [
        f"{show_rate(rate)} {what}"
        for rate, what in ((moment.confirmed, "confirmed"), (moment.holds, "holds"), (moment.fails, "does not"))
        if rate is not None
    ]
    left = show_span(max(0, round(moment.budget - moment.elapsed)))
    return Status(
        name="limit",
        stage=stage,
        elapsed=moment.elapsed,
        heading=f"[{show_span(round(moment.elapsed))}, {left} left] {stage}",
        lead=[stage],
        figures=[f"{left} left", *known],
        done=min(moment.elapsed, moment.budget),
        of=moment.budget,
        has_failures=False,
    )
