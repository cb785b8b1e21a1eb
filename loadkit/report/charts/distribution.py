"""The distribution of times as charts: every percentile on an axis that widens the tail, and a histogram."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from typing import Final, NamedTuple

from loadkit.judge.rows import Row
from loadkit.judge.times import Times
from loadkit.measure.histogram import Histogram
from loadkit.plan.units import SECOND, three_digits
from loadkit.report.charts.svg import (
    Band,
    Chart,
    Color,
    Curve,
    Scale,
    Tick,
    bands,
    even,
    filled,
    line,
    logarithmic,
    steps,
    ticks,
    time_scale,
)
from loadkit.report.figures import BRIEF, histogram_of, show_share, show_time

BINS: Final = 60

_NINES: Final = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999, 99.99999)


class _Kind(NamedTuple):
    """A kind of time, its curve and its histogram."""

    name: str
    color: Color
    is_dashed: bool
    histogram: Histogram

    def curve(self, outline: str, area: str = "") -> Curve:
        return Curve(name=self.name, color=self.color, is_dashed=self.is_dashed, outline=outline, area=area)


def distribution_charts(total: Row) -> list[Chart]:
    """The percentile spectrum and the distribution of response and service times; nothing without two replies."""
    response, service = histogram_of(total.response_time), histogram_of(total.service_time)
    kinds = [
        *([_Kind("response time", "first", False, response)] if response else []),
        *([_Kind("service time", "second", True, service)] if service else []),
    ]
    known = [kind for kind in kinds if kind.histogram.count > 1]
    return [_spectrum(known), *_distribution(known)] if known else []


def version_charts(response_time: Mapping[str, Times], colors: Mapping[str, Color]) -> list[Chart]:
    """The same of the response times of two versions; nothing where neither has two replies."""
    found = {version: histogram_of(times) for version, times in response_time.items()}
    known = [
        _Kind(f"the {version} version", colors[version], version == "old", histogram)
        for version, histogram in found.items()
        if histogram and histogram.count > 1
    ]
    return [*_distribution(known), _spectrum(known)] if known else []


def _spectrum(known: Sequence[_Kind]) -> Chart:
    """The percentiles; each further nine has the same width, for the axis is -log(1 - share)."""
    most = max(kind.histogram.count for kind in known)
    across = Scale(1 / most, 1, is_log=True)
    low, high = _range(known)
    up, marks = time_scale(low, high)
    curves = [
        kind.curve(line((100 - across.place(rest), up.place(span)) for rest, span in _ranked(kind.histogram)))
        for kind in known
    ]
    shown = [nine for nine in _NINES if 1 - nine / 100 >= 1 / most]
    places = {nine: 100 - across.place(1 - nine / 100) for nine in shown}
    return Chart(
        title="Percentiles",
        description="; ".join(map(_described, known)),
        x_label="percentile, each nine as wide as the last",
        x_ticks=[Tick(place, f"p{nine:.10g}") for nine, place in places.items() if nine],
        y_ticks=ticks(up, marks, lambda span: show_time(span) if span else "0"),
        curves=curves,
        spots=_spots(known, places),
        note="logarithmic scale" if up.is_log else "",
    )


def _described(kind: _Kind) -> str:
    values = kind.histogram.percentiles([one.percent for one in BRIEF])
    shown = [f"{one.name} {show_time((value or 0) / SECOND)}" for one, value in zip(BRIEF, values, strict=True)]
    return f"{kind.name}: {', '.join(shown)}"


def _ranked(found: Histogram) -> Iterator[tuple[float, float]]:
    """The share of replies from each bucket on, and its time; as many points as a screen can show."""
    seen, last = 0, math.inf
    for low, high, count in found.buckets():
        rest = (found.count - seen) / found.count
        if rest < last * 0.985 or found.count - seen < 100:
            yield rest, max(low, found.min) / SECOND
            last = rest
        seen += count
        if seen == found.count:
            yield 1 / found.count, min(high, found.max) / SECOND


def _spots(known: Sequence[_Kind], places: dict[float, float]) -> list[Band]:
    """The values of each nine, shown around its place."""
    bounds = [0.0, *((before + after) / 2 for before, after in pairwise(sorted(places.values()))), 100.0]
    texts = [
        f"{f'p{nine:.10g}' if nine else 'min'}: "
        + ", ".join(f"{kind.name} {show_time(_at(kind.histogram, nine))}" for kind in known)
        for nine in places
    ]
    return bands(pairwise(bounds), texts)


def _at(found: Histogram, percent: float) -> float:
    return (found.percentile(percent) or 0) / SECOND if percent else found.min / SECOND


def _range(known: Sequence[_Kind]) -> tuple[float, float]:
    low = max(min(kind.histogram.min for kind in known) / SECOND, 1e-6)
    return low, max(low, *(kind.histogram.max / SECOND for kind in known))


def _distribution(known: Sequence[_Kind]) -> Iterator[Chart]:
    """A histogram in ranges that grow by a constant factor, in which humps and tail are both visible."""
    low, high = _range(known)
    if high < low * 1.05:
        return
    across, marks = logarithmic(low, high, most=5)
    edges = [low * (high / low) ** (k / BINS) for k in range(BINS)] + [high]
    places = list(pairwise(across.place(edge) for edge in edges))
    shares = [_shares(kind.histogram, edges) for kind in known]
    up, heights = even(max(map(max, shares)))
    yield Chart(
        title="Distribution",
        description=f"Most replies took about {', '.join(map(_most, known, shares, repeat(edges)))}.",
        x_label="time, logarithmic scale",
        x_ticks=ticks(across, marks, show_time),
        y_ticks=ticks(up, heights, lambda share: f"{three_digits(100 * share)} %"),
        curves=[_bars(kind, places, list(map(up.place, found))) for kind, found in zip(known, shares, strict=True)],
        spots=bands(places, _texts(known, edges, shares)),
        note="share of replies in each of 60 ranges",
    )


def _most(kind: _Kind, shares: Sequence[float], edges: Sequence[float]) -> str:
    return f"{show_time(edges[shares.index(max(shares))])} by {kind.name}"


def _bars(kind: _Kind, places: Sequence[tuple[float, float]], heights: Sequence[float]) -> Curve:
    pieces = [(start, end, height) for (start, end), height in zip(places, heights, strict=True)]
    return kind.curve(steps(pieces), "" if kind.is_dashed else filled(pieces))


def _texts(known: Sequence[_Kind], edges: Sequence[float], shares: Sequence[Sequence[float]]) -> Iterator[str]:
    """Each range and the shares of replies in it."""
    for (start, end), found in zip(pairwise(edges), zip(*shares, strict=True), strict=True):
        of_kinds = [f"{show_share(share)} by {kind.name}" for kind, share in zip(known, found, strict=True)]
        yield f"{show_time(start)} - {show_time(end)}: {', '.join(of_kinds)}"


def _shares(found: Histogram, edges: Sequence[float]) -> list[float]:
    """The share of replies in each range; a bucket that reaches over an edge is divided by how far."""
    shares = [0.0] * (len(edges) - 1)
    for low, high, count in found.buckets():
        start, end = max(low, found.min) / SECOND, (min(high, found.max) + 1) / SECOND
        k = min(max(bisect_right(edges, start) - 1, 0), len(shares) - 1)
        last = min(max(bisect_right(edges, end) - 1, k), len(shares) - 1)
        for at in range(k, last + 1):
            covered = (min(end, edges[at + 1]) if at < last else end) - (max(start, edges[at]) if at > k else start)
            shares[at] += count * covered / (end - start) / found.count
    return shares
