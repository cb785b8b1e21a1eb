"""Results as one HTML page that needs nothing else: no network, no other file, and no script for what it says.

Everything that comes from a result is text to the page. Jinja escapes what each template is given, and before that
`visible` turns what is no plain character into an escape; nothing in here marks such text as safe. The page's policy
forbids whatever it does not bring along: its style and its script are allowed by their hashes, and nothing else is
loaded, run, sent or framed. Names never become identifiers, attributes that do something, style or script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadkit.judge.result import Result
from loadkit.measure.slowest import MOST
from loadkit.report import tables
from loadkit.report.all_results import results_table
from loadkit.report.charts.distribution import distribution_charts
from loadkit.report.charts.timeline import endpoint_charts, timeline_charts
from loadkit.report.escape import visible
from loadkit.report.failures import failure_reasons
from loadkit.report.figures import (
    BRIEF,
    all_journeys,
    histogram_of,
    show_share,
    show_throughput,
    show_time,
)
from loadkit.report.headline import (
    CAVEAT_TONES,
    TONES,
    describe_outcome,
    describe_run,
    describe_target,
    describe_times,
    is_believable,
)
from loadkit.report.layout import Layout
from loadkit.report.overview import setup_tables, totals

if TYPE_CHECKING:
    import jinja2

PAGE: Final = Path(__file__).parent / "page"

LONGEST_NAME: Final = 240
LONGEST_LINE: Final = 1_000

MAX_FAILURES: Final = 50

# wide enough never to wrap: the browser does that
_LAYOUT: Final = Layout(width=LONGEST_LINE)


class HeadFigure(NamedTuple):
    """A headline figure with an optional note."""

    name: str
    value: str
    note: str = ""
    tone: str = ""


def html_report(results: Sequence[Result], titles: Sequence[str] | None = None) -> str:
    """One page of all results, in this order; the same results make the same page.

    `titles` are the headings of the results; by default those of the results themselves.
    """
    names = titles or [result.title for result in results]
    return render(
        "page.html",
        views=[_view(result, name) for result, name in zip(results, names, strict=True)],
        overview=results_table(results, names),
        tones=TONES,
        caveat_tones=CAVEAT_TONES,
    )


def _view(result: Result, title: str) -> dict[str, Any]:
    """What the template shows of a result."""
    word, rest, tone = describe_outcome(result)
    reasons = failure_reasons(result)
    shown = (
        tables.endpoints(result, for_page=True),
        *tables.timings(result, for_page=True),
        tables.phases(result, for_page=True),
        tables.percentiles(result.total),
        tables.times(result, for_page=True),
        tables.slowest(result, MOST),
        tables.statuses(result.total),
    )
    return {
        "title": title,
        "about": _about(result, title),
        "word": word,
        "outcome": rest.lstrip(": "),
        "tone": tone,
        "validity": result.validity if is_believable(result) else "",
        "doubts": sum(reason.level != "note" for reason in result.caveats),
        "bottleneck": result.bottleneck.sentence,
        "figures": _figures(result),
        "thresholds": tables.thresholds(result.thresholds),
        "caveats": result.caveats,
        "failures": reasons[:MAX_FAILURES],
        "more_failures": max(0, len(reasons) - MAX_FAILURES),
        "charts": [*timeline_charts(result), *distribution_charts(result.total), *endpoint_charts(result)],
        "tables": [table for table in shown if table],
        "intervals": tables.intervals(result),
        "facts": [totals(result), *setup_tables(result)],
        "definition": describe_times(result),
    }


def _about(result: Result, title: str) -> list[str]:
    """The lines below the heading: scenario, load, target and time."""
    scenario = result.scenario
    lines = (
        f"Scenario {scenario.name}" if title not in (result.title, scenario.name) else "",
        scenario.description.strip(),
        describe_run(result),
        describe_target(scenario),
    )
    return [line for line in lines if line]


def _figures(result: Result) -> list[HeadFigure]:
    timed = all_journeys(result)
    total = timed or result.total
    times, failed = total.response_time, sum(total.failures.values())
    share = show_share(total.error_rate) if total.requests else "-"
    shown = [
        HeadFigure("throughput", show_throughput(total.throughput), "journeys" if timed else "good replies"),
        HeadFigure("errors", share, f"{failed:,} of {total.requests:,}", "bad" if failed else ""),
    ]
    found = None if timed else histogram_of(times)
    for one in BRIEF:
        note = f"95 %: {tables.confidence_cell(found, one.percent).text}" if found else ""
        shown.append(HeadFigure(f"{one.name} response time", show_time(one.of(times)), note))
    return shown


# -- the template


def render(template: str, **values: Any) -> str:
    """A page from one of the templates, with the style, the script and the policy of all pages."""
    style, script = _read("style.css"), _read("script.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template(template).render(**values, policy=policy, style=style, script=script)


@cache
def _environment() -> jinja2.Environment:
    """The environment of the page's templates; it escapes all that they write."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        finalize=_visible,
        loader=jinja2.FileSystemLoader(PAGE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["name"] = lambda text: _LAYOUT.ellipsize(visible(text), LONGEST_NAME)
    environment.filters["line"] = lambda text: _LAYOUT.ellipsize(visible(text), LONGEST_LINE)
    environment.filters["place"] = lambda number: f"{number:.5g}"
    return environment


def _visible(value: Any) -> Any:
    """A text without controls, overrides and lone surrogates, before it is escaped; any other value as it is."""
    return visible(value) if type(value) is str else value


@cache
def _read(name: str) -> Any:
    """The style or script of the page, which is not escaped."""
    from markupsafe import Markup

    return Markup((PAGE / name).read_text(encoding="utf-8"))  # noqa: S704 - a file of this package


def _hash(text: str) -> str:
    """The hash of a text, as a Content-Security-Policy has it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
