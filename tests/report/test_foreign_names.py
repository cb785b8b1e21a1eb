"""Names that others chose, in every output: each can be written, and commands neither a terminal nor a CI."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.history.series import Series, series_of
from loadkit.judge.result import Result
from loadkit.measure.samples import FailedSample, Samples
from loadkit.report.comparison import comparison_report
from loadkit.report.exchanges import exchange_lines
from loadkit.report.formats.csv import interval_lines, row_lines
from loadkit.report.formats.hdr import histogram_log, percentile_distribution
from loadkit.report.formats.junit import junit
from loadkit.report.formats.prometheus import prometheus
from loadkit.report.history import history_csv, history_report
from loadkit.report.history_page import history_page
from loadkit.report.html import html_report
from loadkit.report.json import Finding, document, dump
from loadkit.report.layout import Layout
from loadkit.report.limit import limit_report
from loadkit.report.markdown import markdown
from loadkit.report.once import once_report
from loadkit.report.samples import FORMS, sample_lines
from loadkit.report.text import text_report
from loadkit.wire.exchange_log import LoggedExchange
from tests.judge.history.kept import kept
from tests.report.comparisons import hostile_comparison
from tests.report.limits import hostile_limit
from tests.report.pages import HOSTILE, ODD, hostile
from tests.results import replace

LAYOUT = Layout(width=100)
METRICS = [Metric("throughput"), Metric("p50")]


def everything(name: str) -> list[Result | Finding]:
    # a threshold, in which a limit has its names, is no longer than 2,000 characters
    return [hostile(name), hostile_comparison(name), hostile_limit(name[:1900])]


def history(name: str) -> list[Series]:
    one = kept(0, name=name, load=name, revision=name)
    return series_of([replace(one, host=name, revision=replace(one.revision, branch=name))])


def samples(name: str, form: str) -> str:
    some = Samples(name, 0, failed=(FailedSample(10**9, 0, 3 * 10**9, 0, 0, name),))
    return "".join(sample_lines(FORMS[form], name, some))


def exchange(name: str) -> str:
    content = name.encode(errors="surrogatepass")
    head = b"HTTP/1.1 200 " + content + b"\r\nX-Name: " + content
    logged = LoggedExchange(
        method="GET",
        url=name,
        status=200,
        seconds=0.1,
        failure=name,
        request=head,
        head=head,
        body=content,
        is_cut=False,
    )
    return "\n".join(exchange_lines(1, logged))


LINES: dict[str, Callable[[str], str]] = {
    "--csv": lambda name: row_lines([hostile(name)]),
    "intervals of --csv": lambda name: interval_lines([hostile(name)]),
    "--hgrm": lambda name: percentile_distribution(hostile(name)),
    "--hlog": lambda name: histogram_log([hostile(name), hostile(name)]),
    "--prometheus": lambda name: prometheus([hostile(name)]),
    "--samples s.csv": lambda name: samples(name, ".csv"),
    "--samples s.jsonl": lambda name: samples(name, ".jsonl"),
    "history --csv": lambda name: history_csv(history(name)[0], [*METRICS, Metric("p50", label=name)]),
}
"""Outputs in which each line is something of its own."""
OUTPUTS = LINES | {
    "stdout": lambda name: text_report(hostile(name), LAYOUT, full=True),
    "stdout of --once": lambda name: once_report(hostile(name), LAYOUT),
    "stdout of compare": lambda name: comparison_report(hostile_comparison(name), LAYOUT),
    "stdout of limit": lambda name: limit_report(hostile_limit(name[:1900]), LAYOUT),
    "stdout of history": lambda name: history_report(history(name), METRICS, last=9, layout=LAYOUT),
    "--debug": exchange,
    "--html": lambda name: html_report(everything(name), errors={name: name}),
    "history --html": lambda name: history_page(history(name), METRICS, last=9),
    "--markdown": lambda name: markdown(everything(name)),
    "--junit": lambda name: junit(everything(name), errors={name: name}),
    "--output": lambda name: dump([hostile(name)]),
    "--output of limit": lambda name: document(hostile_limit(name)),
}
NAMES = {
    "a line break": "a\nb\r\nc\x85d\u2028e\x0bf",
    "quotes": "a\"b'c`d,e;f\tg\\",
    "a formula": "=cmd|' /C calc'!A0",
    "escapes": "\x1b[2J\x1b]0;title\x07\x9b31m\x7f",
    "right to left": "\u202eabc\u2066\u200f",
    "NUL": "a\x00b",
    "a surrogate": "a\ud800\udcffb",
    "10 kB": "a" + "x" * 10_000,
    "a command of a CI": "::error file=a::b\n::warning::c ##vso[task.complete]##[error]",
    "markup": "".join(HOSTILE),
    "all": ODD,
}
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f]")
COMMANDS = re.compile(r"^\s*(?:::[A-Za-z]|##\w*\[)", re.MULTILINE)


@pytest.mark.parametrize("made", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_text_wherever_it_is_written(name: str, made: Callable[[str], str]):
    text = made(name)

    text.encode()
    assert not UNSEEN.search(text)
    assert not COMMANDS.search(text)


@pytest.mark.parametrize("made", LINES.values(), ids=LINES)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_makes_no_line_of_its_own(name: str, made: Callable[[str], str]):
    assert len(made(name).splitlines()) == len(made("plain").splitlines())
