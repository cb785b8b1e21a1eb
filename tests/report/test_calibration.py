"""A calibration as text."""

from __future__ import annotations

import msgspec

from loadkit.judge.comparison.calibration import CalibratedFigure, Calibration
from loadkit.judge.environment import this_machine
from loadkit.judge.fingerprint import fingerprint
from loadkit.judge.identity import Identity
from loadkit.report.calibration import calibration_report
from loadkit.report.layout import Layout

MADE = Calibration(
    identity=Identity(name="shop.py::browse", plan="0123456789abcdef"),
    fingerprint=fingerprint(this_machine()),
    made_at="2026-01-01T00:00:00+00:00",
    seconds=180.0,
    blocks=60,
    figures=[
        CalibratedFigure(metric="mean", label=None, spread=0.5, blocks=60, tolerance=0.05),
        CalibratedFigure(
            metric="p50", label=None, spread=0.021, blocks=60, tolerance=0.05, smallest=0.063, decides=True
        ),
        CalibratedFigure(
            metric="error_rate", label="GET /", spread=0.0, blocks=60, tolerance=0.001, smallest=0.001, decides=False
        ),
    ],
)


def test_those_that_decide_come_first_each_with_the_change_that_is_seen():
    assert [line.rstrip() for line in calibration_report(MADE, "browse", Layout(width=80)).splitlines()] == [
        "━━ browse against itself ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━",
        "  60 sound blocks of 4 rounds in turns; 3m in all",
        "",
        "CALIBRATED: how small a change can be seen here in 3m",
        "",
        "figure               change seen   tolerance  blocks differ by  decides",
        "  p50                      6.3 %         5 %             2.1 %      yes",
        "  mean                         -         5 %              50 %       no",
        "  GET /: error rate   0.1 points  0.1 points          0 points       no",
    ]


def test_what_cannot_be_used_says_why():
    found = msgspec.structs.replace(MADE, fault="all requests failed", figures=[], blocks=0)
    assert calibration_report(found, "browse", Layout(width=80)).splitlines()[3] == (
        "NOT CALIBRATED: all requests failed"
    )
