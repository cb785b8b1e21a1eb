"""DigestSet: a set that takes little room."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from loadkit.fetcher.manifest import DigestSet, digest_of


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20)))
def test_it_does_what_a_set_does(values: list[int]):
    mine, theirs = DigestSet(), set[int]()
    for value in values:
        # an empty slot is 0, so 0 and 1 are one
        assert mine.add(value) == ((value or 1) not in theirs)
        theirs.add(value or 1)

    assert all(value in mine for value in values)


def test_it_grows_and_forgets_nothing():
    keys = [digest_of(f"http://h/{number}") for number in range(30_000)]
    tracemalloc.start()
    mine = DigestSet()
    assert all(mine.add(key) for key in keys)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size <= 22 * len(keys)
    assert not any(mine.add(key) for key in keys)
    assert digest_of("http://h/x") not in mine
