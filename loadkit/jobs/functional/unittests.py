"""Methods of `unittest.TestCase`: which of them threads can run, and what `unittest` says of skips and failures."""

from __future__ import annotations

import inspect
import unittest

import pytest
from _pytest.skipping import Xfail
from _pytest.unittest import TestCaseFunction


def is_unittest(item: pytest.Item) -> bool:
    """True for a method of a `TestCase`."""
    return isinstance(item, TestCaseFunction)


def runs_itself(item: pytest.Function) -> bool:
    """True if its class has a way of its own to run a test, as those of Django's and asyncio's tests have."""
    base, found = unittest.TestCase, item.cls
    is_plain = found is not None and found.run is base.run and found.__call__ is base.__call__
    return not is_plain or inspect.iscoroutinefunction(item.function)


def unittest_skip(item: pytest.Item) -> str | None:
    """Why a decorator of `unittest` skips it; None where none does."""
    if not isinstance(item, TestCaseFunction):
        return None
    marked = next((one for one in (item.cls, item.function) if getattr(one, "__unittest_skip__", False)), None)
    return None if marked is None else str(getattr(marked, "__unittest_skip_why__", "")) or "skipped"


def unittest_expected_failure(item: pytest.Item) -> Xfail | None:
    """What `@unittest.expectedFailure` says as a mark of pytest."""
    function = item.function if isinstance(item, TestCaseFunction) else None
    is_expected = getattr(function, "__unittest_expecting_failure__", False)
    return Xfail(reason="", run=True, strict=True, raises=None) if is_expected else None
