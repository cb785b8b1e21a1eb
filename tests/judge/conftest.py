"""What tests of the judge share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture
def unwatched() -> Iterator[None]:
    """Tests may be run under coverage, which is itself a caveat."""
    tracer, profiler = sys.gettrace(), sys.getprofile()
    sys.settrace(None)
    sys.setprofile(None)
    yield
    sys.settrace(tracer)
    sys.setprofile(profiler)


@pytest.fixture(scope="session")
def stats() -> ModuleType:
    """The statistics of scipy; imported for the first who asks, not in each process that collects, for 1 s of CPU."""
    from scipy import stats

    return stats
