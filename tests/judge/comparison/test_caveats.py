"""What is said of the machine on which versions were compared."""

from __future__ import annotations

import pytest

from loadkit.host.power import Power
from loadkit.judge.comparison.caveats import of_comparison, of_rounds
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
