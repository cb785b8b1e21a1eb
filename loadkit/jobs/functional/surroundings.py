"""What is changed of the process while tests run: what they print is not shown, and their warnings are filtered."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest
from _pytest.config import apply_warning_filters

from loadkit.jobs.functional.unraised import warned_of_unraised


@contextmanager
def captured_output(config: pytest.Config) -> Iterator[None]:
    """What tests print is not shown, as of tests that pass, unless pytest captures nothing (`-s`)."""
    if config.getoption("capture") == "no":
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nothing, redirect_stdout(nothing):
        yield


@contextmanager
def filtered_warnings(config: pytest.Config) -> Iterator[None]:
    """As the settings filter them, for all threads; none is kept, for there may be millions."""
    with warnings.catch_warnings():
        apply_warning_filters(config.getini("filterwarnings"), config.known_args_namespace.pythonwarnings or [])
        with warned_of_unraised():
            yield
