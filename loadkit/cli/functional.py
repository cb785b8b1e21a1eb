"""Functional tests under load, which are pytest's to run: `loadkit run tests/test_shop.py`, `limit` and `compare`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from loadkit.cli.console import check_file, write
from loadkit.cli.outputs import EXAMPLES
from loadkit.plan.errors import UsageError

_COMMON: Final = {
    "threshold": "--load-threshold",
    "base_url": "--load-base-url",
    "html": "--load-html",
    "markdown": "--load-markdown",
    "junit": "--junitxml",
}
"""What pytest knows under another name."""

OF_RUN: Final = {
    "threads": "--load-threads",
    "processes": "--load-processes",
    "rate": "--load-rate",
    "duration": "--load-for",
    "iterations": "--load-iterations",
    "phase": "--load-phase",
    "warmup": "--load-warmup",
    "repeat": "--load-repeat",
    "csv": "--load-csv",
    "hlog": "--load-hlog",
    "prometheus": "--load-prometheus",
    "otlp": "--load-otlp",
    "history": "--load-history",
    **_COMMON,
}
"""The same of `loadkit run`."""

OF_LIMIT: Final = {"by": "--load-limit", "budget": "--load-budget", **_COMMON}
"""The same of `loadkit limit`."""

OF_COMPARE: Final = {
    "against": "--load-against",
    "tolerance": "--load-tolerance",
    "budget": "--load-budget",
    "undecided": "--load-undecided",
    "prepare": "--override-ini=load_prepare",
    **_COMMON,
}
"""The same of `loadkit compare`."""

UNDECIDED: Final = 6

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


def run_tests(targets: Sequence[str], given: Mapping[str, Any], options: Mapping[str, str] = OF_RUN) -> int:
    """Run them as `pytest --load-threads` does; the exit code of a load is pytest's, which means the same.

    Raises `UsageError` for an option that only scenarios have.
    """
    import pytest

    for option, example in EXAMPLES.items():
        if str(given.get(option.removeprefix("--"))) == "-":
            raise UsageError(f"of tests {option} takes a file like {example}, not '-': stdout is pytest's")
    values = {name: value for name, value in given.items() if name not in ("targets", "target", "output")}
    words = [*targets, *_words(values, options)]
    output = Path(given["output"]) if "output" in given else None
    if output:
        check_file("--output", output)
    elif options is OF_RUN:
        return int(pytest.main(words))
    with TemporaryDirectory(prefix="loadkit-") as folder:
        code = int(pytest.main([*words, f"--load-json={folder}"]))
        files = [*Path(folder).glob("*.json")]
        if options is not OF_RUN and code == pytest.ExitCode.TESTS_FAILED:
            code = _found(files) or code
        if output:
            for file in files:
                code = write(output, file.read_text(encoding="utf-8")) or code
    return code


def _found(files: Sequence[Path]) -> int:
    """The exit code of the limit or the comparison in one of these files: 6 where none was found."""
    from loadkit.report.json import load_stored

    found = [load_stored(file) for file in files]
    return next((one.exit_code for one in found if not isinstance(one, list)), UNDECIDED)


def _words(given: Mapping[str, Any], options: Mapping[str, str]) -> Iterator[str]:
    if options is not OF_LIMIT and given.keys().isdisjoint({"threads", "rate", "phase", "processes"}):
        yield f"{OF_RUN['threads']}=10"
    if options is OF_LIMIT and "by" not in given:
        yield f"{options['by']}=rate"
    for name, value in given.items():
        if name == "quiet":
            yield "-q"
        elif name not in options:
            known = ", ".join(f"--{one.replace('_', '-')}" for one in [*options, "output"])
            raise UsageError(f"--{name.replace('_', '-')} is for scenarios; tests under load take {known}")
        else:
            for one in value if isinstance(value, list) else [value]:
                yield f"{options[name]}={one}"
