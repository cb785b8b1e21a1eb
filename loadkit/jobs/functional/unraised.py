"""What Python can raise nowhere, of finalizers and of threads that tests start: a warning, as pytest has it.

Pytest itself keeps all of it until the call of a test is over, and under load there is no such instant.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

_PENDING: Final[dict[int, Warning]] = {}
"""The first of each thread that settings make an error, until it is raised; under `_ELSEWHERE` of threads of tests."""
_ELSEWHERE: Final = 0


@contextmanager
def warned_of_unraised() -> Iterator[None]:
    """Warn of it meanwhile, by the filters that there are."""
    before = sys.unraisablehook, threading.excepthook
    sys.unraisablehook, threading.excepthook = _warn_of_finalizer, _warn_of_thread
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = before
        _PENDING.clear()


def raise_of_this_thread() -> None:
    """Raise what had to be raised in this thread since the last time, if that is an error."""
    if error := _PENDING.pop(threading.get_ident(), None):
        raise error


def raise_the_rest() -> None:
    """Raise what belongs to no run of a test."""
    while _PENDING:
        raise _PENDING.popitem()[1]


def _warn_of_finalizer(unraisable: Any) -> None:
    text = f"{unraisable.err_msg or 'Exception ignored in'}: {unraisable.object!r}"
    _warn(pytest.PytestUnraisableExceptionWarning, text, unraisable.exc_value, threading.get_ident())


def _warn_of_thread(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread else "a thread"
    # which run has started it is not known
    _warn(pytest.PytestUnhandledThreadExceptionWarning, f"Exception in {name}", arguments.exc_value, _ELSEWHERE)


def _warn(kind: type[Warning], text: str, cause: BaseException | None, thread: int) -> None:
    try:
        warnings.warn(kind(f"{text}: {type(cause).__name__}: {cause}"), stacklevel=2)
    except Warning as error:
        # the place of the cause is the one to be shown
        error.__traceback__ = cause.__traceback__ if cause else None
        _PENDING.setdefault(thread, error)
