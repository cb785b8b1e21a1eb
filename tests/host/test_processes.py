"""What processes use, as the system tells: CPU of a whole tree, memory, and processes that are gone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from loadkit.host.processes import TreeUsage, tree, tree_usage
from loadkit.plan.units import SECOND
from loadkit.server.usage import ServerUsage, used_between

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# a parent that holds 50 MB, and a child of it that has used 0.1 s of CPU; both tell when they are there, then wait
FAMILY = """
import subprocess, sys, time
held = b"x" * 50_000_000
child = subprocess.Popen([sys.executable, "-c", '''
import time
while time.process_time() < 0.1: pass
print("ready", flush=True)
input()
'''], stdin=sys.stdin)
child.wait()
print("waited for", flush=True)
input()
"""


def test_a_tree_is_counted_with_its_children_also_when_they_have_ended():
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdin
        assert one.stdout
        try:
            assert one.stdout.readline() == "ready\n"
            assert len(tree([one.pid])) == 2
            alive = tree_usage([one.pid])
            one.stdin.write("\n")
            one.stdin.flush()
            assert one.stdout.readline() == "waited for\n"
            assert tree([one.pid]) == [one.pid]
            after = tree_usage([one.pid])
        finally:
            one.kill()
    assert alive is not None
    assert after is not None
    assert alive.cpu_seconds >= 0.1
    # of children that were waited for the system tells hundredths of a second
    assert after.cpu_seconds >= alive.cpu_seconds - 0.02
    assert alive.memory > after.memory > 50_000_000


def test_of_a_process_that_is_gone_nothing_is_known():
    with subprocess.Popen([sys.executable, "-c", ""]) as one:
        one.wait()

    assert tree_usage([one.pid]) is None


def test_cpu_between_notes_is_taken_as_even_and_memory_is_the_most():
    noted = [
        (second * SECOND, TreeUsage(cpu_seconds=cpu, memory=memory))
        for second, cpu, memory in ((0, 10.0, 5), (2, 12.0, 9), (4, 18.0, 7))
    ]

    found = used_between(noted, 1 * SECOND, 3 * SECOND)

    assert found is not None
    assert (found.cpu_seconds, found.peak_memory) == (15.0 - 11.0, 9)


def test_without_a_server_of_ours_nothing_is_told():
    usage = ServerUsage([], lambda: 0, None)
    usage.note()

    assert usage.watch is None
    assert usage.between(0, 1) is None
