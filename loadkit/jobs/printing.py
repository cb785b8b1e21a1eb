"""Keeps what the user's code prints out of stdout, which is the report's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO


@contextmanager
def printing_on_stderr() -> Iterator[None]:
    """What is printed meanwhile, or written to file descriptor 1, child processes included, goes to stderr."""
    _flush(sys.stdout)
    try:
        kept = os.dup(1)
    except OSError:  # it was closed
        kept = -1
    try:
        if kept >= 0:
            with suppress(OSError):
                os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        # what kept the stream itself, as a handler of logging does
        _flush(sys.__stdout__)
        if kept >= 0:
            os.dup2(kept, 1)
            os.close(kept)


def _flush(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError):
        if stream is not None:
            stream.flush()
