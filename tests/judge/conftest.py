"""What tests of the judge share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

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
