"""What parts of a run did adds up to what the whole did, however it was split."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.drive.rows.feed import RowUse
from loadkit.drive.stats import IN_FLIGHT_STEPS, THREADS, RunStats
from loadkit.host.usage import Usage
from tests.machines import machine

IN_NO_ORDER = ("active", "cpu_by_process", "faults", "lost", "silent", "stuck")

instants = st.integers(0, 2**40)
texts = st.lists(st.sampled_from(["", "shop.py:12 in buy", "process 2 of 3 was killed by SIGKILL", "é"]), max_size=2)
maybe = st.none() | st.integers(1, 2**20)
uses = st.builds(
    Usage,
    seconds=st.sampled_from([0.0, 1.0, 2.5]),
    cpu_user=st.floats(0, 100),
    cpu_system=st.floats(0, 100),
    capacity=st.sampled_from([0.5, 1.0]),
    cpus_busy=st.none() | st.floats(0, 1),
    stolen=st.floats(0, 1),
    swapped=st.integers(0, 2**40),
    descriptors=maybe,
    descriptor_limit=maybe,
    ports=maybe,
    port_range=maybe,
)


@st.composite
def run_stats(draw: st.DrawFn, names: tuple[str, ...] = ("users.csv", "terms.csv")) -> RunStats:
    """Any that a run or a worker process may have."""
    rows = [
        RowUse(name=name, used=draw(st.integers(0, 99)), rows=draw(st.integers(0, 99)), is_spent=draw(st.booleans()))
        for name in names
    ]
    return RunStats(
        measured_from=draw(instants),
        stopped_at=draw(instants),
        interrupted=draw(st.booleans()),
        unreachable=draw(st.booleans()),
        fault=draw(st.sampled_from(["", "think_time raised KeyError", "users.csv, line 7: 2 columns"])),
        is_dry=draw(st.booleans()),
        rows=tuple(rows),
        unstamped=draw(st.integers(0, 2**40)),
        cpu_time=draw(instants),
        cpu_by_process=tuple(draw(st.lists(st.floats(0, 1e6), max_size=2))),
        threads=draw(st.integers(0, 5000)),
        engines=draw(st.dictionaries(st.sampled_from([THREADS, "exchange loop in C"]), st.integers(1, 5000))),
        was_short=draw(st.booleans()),
        in_flight=draw(st.none() | st.integers(0, 2**30).map(lambda steps: steps / IN_FLIGHT_STEPS)),
        stuck=tuple(dict.fromkeys(draw(texts))),
        faults=tuple(draw(texts)),
        use=draw(uses),
        active=tuple(draw(st.lists(st.tuples(instants, instants, instants), max_size=2))),
        lost=tuple(draw(texts)),
        silent=tuple(draw(texts)),
        worker_memory=draw(st.integers(0, 2**40)),
    )


def figures(stats: RunStats) -> dict[str, Any]:
    """All fields, where those that are in no order are counted."""
    found = msgspec.structs.asdict(stats)
    return {name: Counter(value) if name in IN_NO_ORDER else value for name, value in found.items()}


@given(parts=st.lists(run_stats(), min_size=1, max_size=6), data=st.data())
def test_any_split_merged_in_any_order_is_the_whole(parts: list[RunStats], data: st.DataObject):
    whole = RunStats.merge(parts)

    shuffled = data.draw(st.permutations(parts))
    cuts = sorted({0, len(parts), *data.draw(st.lists(st.integers(0, len(parts)), max_size=4))})
    merged = RunStats.merge([RunStats.merge(shuffled[start:end]) for start, end in pairwise(cuts)])

    assert figures(merged) == figures(whole)


@given(stats=run_stats())
def test_a_part_alone_is_the_whole(stats: RunStats):
    assert RunStats.merge([stats]) == stats


@pytest.mark.parametrize(
    ("engines", "engine"),
    [
        ({}, ""),  # nobody was carried, or an earlier loadkit does not say
        ({THREADS: 16}, "threads"),
        ({"exchange loop in C": 1}, "exchange loop in C, 1 loop"),
        ({THREADS: 3, "exchange loop in Python": 2}, "exchange loop in Python, 2 loops, and 3 threads"),
    ],
)
def test_the_engine_is_named_with_how_many_loops_there_were(engines: dict[str, int], engine: str):
    assert RunStats(measured_from=0, stopped_at=0, engines=engines).engine == engine


@given(stats=run_stats(), by=st.integers(-(2**40), 2**40))
def test_another_clock_changes_instants_and_no_spans(stats: RunStats, by: int):
    there = stats.shifted(by)

    assert there.stopped_at - there.measured_from == stats.stopped_at - stats.measured_from
    assert [came - there.measured_from for came, _, _ in there.active] == [
        came - stats.measured_from for came, _, _ in stats.active
    ]
    assert there.shifted(-by) == stats


@given(stats=run_stats())
def test_it_is_the_same_after_it_went_to_another_process(stats: RunStats):
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stats), type=RunStats) == stats


USED_UP = RowUse(name="users.csv", used=3, rows=3, is_spent=True)
LEFT = RowUse(name="users.csv", used=2)


@pytest.mark.parametrize(
    ("parts", "halted", "is_fault"),
    [
        ([{}, {}], "", False),
        # nobody found that they had ended, for time was up
        ([{"rows": (USED_UP,)}, {"rows": (LEFT,)}], "", False),
        (
            [{"rows": (USED_UP,), "is_dry": True}, {"rows": (LEFT,)}],
            "users.csv has 3 rows and each was used once",
            False,
        ),
        ([{"rows": (USED_UP,), "is_dry": True}, {"rows": (LEFT,), "fault": "it broke"}], "it broke", True),
    ],
    ids=["nothing", "rows that were just enough", "rows that ended", "a fault beside rows that ended"],
)
def test_why_a_run_could_not_go_on(parts: list[dict[str, Any]], halted: str, is_fault: bool):
    whole = RunStats.merge([RunStats(measured_from=0, stopped_at=1, **fields) for fields in parts])

    assert (whole.halted, whole.is_fault) == (halted, is_fault)


@pytest.mark.parametrize(
    ("field", "values", "merged"),
    [
        ("unreachable", (True, False), False),
        ("interrupted", (True, False), True),
        ("was_short", (False, True), True),
        ("in_flight", (1.5, 2.25), 3.75),
        # of a part that did not look it is not known how many it had under way
        ("in_flight", (1.5, None), None),
        ("threads", (3, 4), 7),
        ("measured_from", (5, 3), 3),
        ("stopped_at", (5, 9), 9),
        ("stuck", (("a.py:1 in b",), ("a.py:1 in b",)), ("a.py:1 in b",)),
        ("faults", (("it fell",), ("it fell",)), ("it fell", "it fell")),
        ("machines", ((machine(1),), (machine(2),)), (machine(1), machine(2))),
    ],
)
def test_each_field_adds_up_in_its_way(field: str, values: tuple[Any, Any], merged: Any):
    parts = [RunStats(**{"measured_from": 0, "stopped_at": 0, field: value}) for value in values]

    assert getattr(RunStats.merge(parts), field) == merged
