"""Which runs were made by the same kind of machine and programs."""

from __future__ import annotations

import msgspec
import pytest

from loadkit.judge.environment import Environment
from loadkit.judge.fingerprint import fingerprint
from tests.machines import machine

MADE_BY = Environment(
    loadkit="0.1.0",
    python="CPython 3.11.2",
    system="Linux 6.1",
    machine="x86_64",
    cpu_count=8,
    transport="sockets",
    clock="kernel",
    cpu_seconds=1.5,
    peak_memory=50_000_000,
    host="runner-1",
    processor="EPYC",
    allowed_cpus=4,
    cpu_capacity=1.5,
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "runner-2"),  # a runner of CI has another name each time
        ("cpu_seconds", 3.0),
        ("peak_memory", 1),
        ("clock", "own"),
        ("engine", "threads"),  # as of stored runs that did not say
    ],
)
def test_what_a_run_used_or_was_called_makes_no_difference(field: str, value: object) -> None:
    one, other = fingerprint(MADE_BY), fingerprint(msgspec.structs.replace(MADE_BY, **{field: value}))
    assert one == other
    assert one.key == other.key
    assert not one.differences(other)


@pytest.mark.parametrize(
    ("field", "value", "difference"),
    [
        ("processor", "Xeon", "processor EPYC, was Xeon"),
        ("processor", "", "processor EPYC, was not known"),
        ("cpu_capacity", 2.0, "cpus 1.5, was 2"),
        ("cpu_capacity", 0, "cpus 1.5, was 4"),  # of a stored run that did not know of limits
        ("system", "Linux 6.2", "system Linux 6.1, was Linux 6.2"),
        ("python", "CPython 3.12.1", "python CPython 3.11.2, was CPython 3.12.1"),
        ("loadkit", "0.2.0", "loadkit 0.1.0, was 0.2.0"),
        ("transport", "native", "engine sockets, was native"),
        ("extension", True, "engine sockets, was sockets in C"),
        ("engine", "exchange loop in C, 2 loops", "engine sockets, was exchange loop in C"),
    ],
)
def test_what_makes_figures_makes_a_difference(field: str, value: object, difference: str) -> None:
    now, before = fingerprint(MADE_BY), fingerprint(msgspec.structs.replace(MADE_BY, **{field: value}))
    assert now.key != before.key
    assert now.differences(before) == [difference]


def test_how_many_machines_shared_the_load_makes_a_difference() -> None:
    alone, several = fingerprint(MADE_BY), fingerprint(MADE_BY, [machine(1, 4), machine(2, 4)])
    assert several.differences(alone) == ["machines 4, was 1"]
    assert several.key != alone.key


def test_the_key_of_one_machine_is_that_under_which_earlier_runs_were_kept() -> None:
    assert fingerprint(MADE_BY).key == "dfdb6419f866"
