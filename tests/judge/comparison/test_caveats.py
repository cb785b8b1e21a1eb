"""What is said of the machine on which versions were compared."""

from __future__ import annotations

import math

import pytest

from loadkit.host.power import Power
from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.comparison.caveats import of_changes, of_comparison, of_rounds
from loadkit.judge.comparison.changes import Change
from loadkit.judge.result import Result
from loadkit.judge.validity import Caveat
from tests.results import result, row, times

STEADY = Power(governors=("performance",), frequency=3e9)


def on(cpus: int, *codes: str) -> Result:
    caveats = [Caveat(code, "") for code in codes]
    return result([], row("total", times()), environment={"allowed_cpus": cpus}, caveats=caveats)


SAID = [
    ("nothing known", Power(), Power(), None, {}),
    ("steady", STEADY, STEADY, on(8, "same-host"), {}),
    ("a battery", STEADY, Power(on_battery=True), None, {"on-battery": "doubt"}),
    ("slower by little", STEADY, Power(frequency=2.8e9), None, {}),
    ("slower", STEADY, Power(frequency=2.2e9), None, {"frequency-changed": "doubt"}),
    ("faster", Power(frequency=2.2e9), STEADY, None, {"frequency-changed": "doubt"}),
    ("known at the end only", Power(), STEADY, None, {}),
    ("a governor", STEADY, Power(governors=("powersave",), frequency=3e9), None, {"frequency-changes": "note"}),
    ("2 CPUs for all", STEADY, STEADY, on(2, "same-host"), {"shared-cpus": "note"}),
    ("2 CPUs for loadkit", STEADY, STEADY, on(2), {}),
]


@pytest.mark.parametrize(("start", "end", "last", "expected"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_what_is_said_of_the_machine(start: Power, end: Power, last: Result | None, expected: dict[str, str]):
    assert {one.code: one.level for one in of_comparison(start, end, last)} == expected


def test_a_caveat_of_rounds_is_said_once_and_with_its_version_where_only_that_has_it():
    steal, moved = Caveat("steal", "the hypervisor gave 9 % away"), Caveat("redirects", "GET / leads to /login")
    found = of_rounds({("new", "redirects"): moved, ("old", "steal"): steal, ("new", "steal"): steal})

    assert [one.message for one in found] == ["the new version: GET / leads to /login", steal.message]


def test_frequencies_are_named():
    (found,) = of_comparison(STEADY, Power(frequency=2.2e9), None)

    assert found.message.startswith("the CPUs ran at 3.0 GHz at the start and at 2.2 GHz at the end")


def p50(label: str | None, low: float, high: float) -> Change:
    return Change(
        metric=Metric("p50", label),
        before=0.01,
        after=0.01,
        change=0.0,
        low=low,
        high=high,
        tolerance=0.05,
        verdict="cannot tell",
        blocks=8,
        decides=True,
        order_effect=0.0,
    )


FAST, SLOW = p50("GET /", -0.01, 0.01), p50("GET /search", -0.02, 0.03)


@pytest.mark.parametrize(
    ("whole", "endpoints", "is_said"),
    [
        (p50(None, -0.44, 0.002), (FAST, SLOW), True),
        (p50(None, -0.03, 0.04), (FAST, SLOW), False),
        (p50(None, -0.44, 0.002), (SLOW,), False),  # one endpoint is everything
        (p50(None, -0.44, 0.002), (FAST, p50("GET /b", -0.3, 0.3)), False),  # it is an endpoint that is unsteady
        (p50(None, -math.inf, math.inf), (p50("GET /", -math.inf, math.inf), SLOW), False),
    ],
)
def test_a_median_that_jumps_between_those_of_endpoints_is_no_reason_to_believe_a_change(
    whole: Change, endpoints: tuple[Change, ...], is_said: bool
):
    found = list(of_changes([whole, *endpoints]))

    assert [one.code for one in found] == ["mixed-median"] * is_said
    assert all("--tolerance 'GET /: p50=5%'" in one.message for one in found)
