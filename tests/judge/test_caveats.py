"""Reasons to doubt, each with its figure and what to do."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from loadkit.judge.caveats import OF_FIGURES, caveats, of_figures
from loadkit.judge.result import Row
from loadkit.judge.summary import rows, times
from loadkit.measure.histogram import Histogram
from tests.judge.made import ENVIRONMENT, SCENARIO, Shot, recorded

replace = msgspec.structs.replace


def total(good: int, **changes: Any) -> Row:
    """A total of so many good replies of 1 ms, with changes."""
    made, _ = rows(recorded([]), duration=2.0, started=0)
    figures = times(Histogram.of([1_000_000] * good))
    return replace(made, requests=good, response_time=figures, statuses={200: good}, pickup=figures, **changes)


SOUND = total(20_000)


@pytest.fixture(autouse=True)
def no_tracing() -> Iterator[None]:
    """These tests may be run under coverage, which is itself a caveat."""
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name == "coverage"}
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)
    sys.modules.update(hidden)


def doubts(
    of: Row = SOUND, *, duration: float = 2.0, steps: Sequence[int] = (), stuck: Sequence[str] = (), **changes: Any
) -> list[tuple[str, str]]:
    """Code and message of each caveat."""
    environment = replace(ENVIRONMENT, **{name: value for name, value in changes.items() if name != "verify"})
    scenario = replace(SCENARIO, verify=changes.get("verify", True))
    found = caveats(of, scenario, environment, duration=duration, steps=steps, stuck=stuck)
    return [(caveat.code, caveat.message) for caveat in found]


def test_sound_figures_give_no_reason_to_doubt() -> None:
    assert doubts() == []


@pytest.mark.parametrize(
    ("good", "message"),
    [
        (1, "p99 of 1 replies rests on the slowest 1; send at least 1,000 requests to believe it"),
        (500, "p99 of 500 replies rests on the slowest 5; send at least 1,000 requests to believe it"),
        (999, "p99 of 999 replies rests on the slowest 10; send at least 1,000 requests to believe it"),
        (1000, "p99.9 of 1,000 replies rests on the slowest 1; send at least 10,000 requests to believe it"),
        (9999, "p99.9 of 9,999 replies rests on the slowest 10; send at least 10,000 requests to believe it"),
    ],
)
def test_a_percentile_of_few_replies_is_doubted(good: int, message: str) -> None:
    assert doubts(total(good)) == [("few-samples", message)]


def test_of_no_replies_nothing_rests_on_anything() -> None:
    assert doubts(total(0)) == []


@pytest.mark.parametrize(
    ("cpu_seconds", "said"),
    [
        (1.6, []),  # 80 % is allowed
        (
            1.7,
            [
                (
                    "generator-busy",
                    (
                        "loadkit itself used 85% of a CPU, and one interpreter has one: the server may be able to do "
                        "more (replies waited 1 ms in the median to be picked up, which is not in the service time)"
                    ),
                )
            ],
        ),
    ],
)
def test_a_busy_generator_may_be_what_was_measured(cpu_seconds: float, said: list[tuple[str, str]]) -> None:
    assert doubts(cpu_seconds=cpu_seconds) == said


def test_a_worker_that_was_lost_and_one_that_was_silent_are_named() -> None:
    found = caveats(
        SOUND,
        SCENARIO,
        ENVIRONMENT,
        duration=2.0,
        lost=["process 1 was killed"],
        silent=["process 2 was silent for 3 s"],
    )
    assert [(caveat.code, caveat.message) for caveat in found][:2] == [
        (
            "worker-lost",
            ("process 1 was killed; what it had told until then is counted, the rest of its load was not applied"),
        ),
        (
            "worker-silent",
            ("process 2 was silent for 3 s, stopped or starved of CPU; what it sent was late or missing meanwhile"),
        ),
    ]


def test_of_several_processes_the_busiest_counts() -> None:
    assert doubts(cpu_seconds=3.0, cpu_by_process=[1.5, 1.4]) == []
    ((code, message),) = doubts(cpu_seconds=1.9, cpu_by_process=[0.1, 1.7])
    assert (code, message.partition(",")[0]) == ("generator-busy", "loadkit itself used 85% of a CPU")


def test_a_run_of_no_time_was_not_busy() -> None:
    assert doubts(duration=0.0, cpu_seconds=5.0) == []


@pytest.mark.parametrize(
    ("drained", "codes"),
    [(0, []), (10_000, []), (10_001, ["too-short"])],  # up to half is not yet too much
)
def test_a_run_most_of_whose_replies_came_after_the_stop_was_too_short(drained: int, codes: list[str]) -> None:
    assert [code for code, _ in doubts(total(20_000, drained=drained))] == codes


def test_it_is_said_how_many_came_after_the_stop() -> None:
    assert doubts(total(20_000, drained=15_000)) == [
        (
            "too-short",
            "15,000 of 20,000 good replies came after the stop and are not in the throughput; run longer",
        )
    ]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            {"clock": "own"},
            "own-clock",
            (
                "arrivals were not stamped by the kernel but read by our own clock: with many threads, service times "
                "include the wait for the interpreter"
            ),
        ),
        ({"verify": False}, "insecure", "certificates were not verified (verify=False)"),
        (
            {"steps": [5_000_000]},
            "clock-step",
            "the wall clock was set once, by up to 5 ms; replies under way then were timed by our own clock",
        ),
        (
            {"steps": [5_000_000, -2_000_000_000]},
            "clock-step",
            "the wall clock was set 2 times, by up to 2 s; replies under way then were timed by our own clock",
        ),
        (
            {"stuck": ["shop.py:7 in buy"]},
            "stuck",
            "a thread did not end when it was told to; it was left behind at shop.py:7 in buy",
        ),
    ],
)
def test_what_happened_is_said_with_its_figure(changes: dict[str, Any], code: str, message: str) -> None:
    assert doubts(**changes) == [(code, message)]


def test_a_debugger_makes_everything_slower() -> None:
    sys.settrace(lambda *_: None)
    assert [code for code, _ in doubts()] == ["traced"]


def test_niquests_is_named_for_it_changes_requests_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("niquests")
    module.__spec__ = importlib.machinery.ModuleSpec("niquests", None)
    monkeypatch.setitem(sys.modules, "niquests", module)
    assert [code for code, _ in doubts()] == ["niquests"]


def test_those_that_rest_on_figures_alone_are_known_by_their_code() -> None:
    assert tuple(caveat.code for caveat in of_figures(total(500, drained=400))) == OF_FIGURES


def test_a_total_of_real_requests_is_doubted_alike() -> None:
    made, _ = rows(recorded([Shot()] * 3), duration=2.0, started=0)
    assert [caveat.code for caveat in of_figures(made)] == ["few-samples"]


@pytest.mark.parametrize(("throughput", "said"), [(51.0, True), (50.0, False)])
def test_a_target_of_other_people_is_named_when_it_is_loaded(throughput: float, said: bool) -> None:
    busy = total(20_000, throughput=throughput)
    found = caveats(busy, SCENARIO, ENVIRONMENT, duration=2.0, public=["shop.example"])
    messages = [caveat.message for caveat in found if caveat.code == "public-target"]
    expected = "shop.example is on the public internet: load it only if its owner has agreed"
    assert messages == ([expected] if said else [])
