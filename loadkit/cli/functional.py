"""`loadkit run tests/test_shop.py::test_buy`: functional tests under load, which is pytest's to run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loadkit.plan.errors import UsageError

_OPTIONS: Final = {
    "threads": "--load-threads",
    "processes": "--load-processes",
    "rate": "--load-rate",
    "duration": "--load-for",
    "iterations": "--load-iterations",
    "phase": "--load-phase",
    "warmup": "--load-warmup",
    "threshold": "--load-threshold",
    "html": "--load-html",
    "markdown": "--load-markdown",
    "csv": "--load-csv",
    "hlog": "--load-hlog",
    "prometheus": "--load-prometheus",
    "junit": "--junitxml",
    "history": "--load-history",
}
"""What of `loadkit run` pytest knows under another name."""

_TEST_FILE: Final = re.compile(r"test_.*\.py|.*_test\.py")


def are_tests(targets: Sequence[str]) -> bool:
    """True if all of them are files of tests, or tests in these, and not scenarios that such a file may hold."""
    return all(map(_is_test, targets))


def _is_test(target: str) -> bool:
    name, _, inside = target.partition("::")
    file = Path(name)
    if not _TEST_FILE.fullmatch(file.name) or not file.is_file():
        return False
    return inside.lower().startswith("test") if inside else b"Scenario" not in file.read_bytes()


def run_tests(targets: Sequence[str], given: Mapping[str, Any]) -> int:
    """Run them as `pytest --load-threads` does; the exit code is pytest's, which means the same.

    Raises `UsageError` for an option that only scenarios have.
    """
    import pytest

    values = {name: value for name, value in given.items() if name != "targets"}
    return int(pytest.main([*targets, *_words(values)]))


def _words(given: dict[str, Any]) -> Iterator[str]:
    if given.keys().isdisjoint({"threads", "rate", "phase", "processes"}):
        given["threads"] = 10
    for name, value in given.items():
        if name == "quiet":
            yield "-q"
        elif name not in _OPTIONS:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is for scenarios; tests under load take {', '.join(_known())}")
        else:
            for one in value if isinstance(value, list) else [value]:
                yield f"{_OPTIONS[name]}={one}"


def _known() -> list[str]:
    return [f"--{name}" for name in _OPTIONS]
