"""Results kept under a name beside the machine they were measured on, to be shown beside later ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from loadkit.jobs.testing.runs import Run, test_of
from loadkit.judge.environment import Environment
from loadkit.judge.result import Result
from loadkit.plan.errors import UsageError
from loadkit.report.json import dump, load

_MACHINE: Final = ("processor", "allowed_cpus", "memory", "system", "python")
"""What figures depend on beside the code. Not the host's name, which is another for each container of a CI."""


def difference(now: Environment, then: Environment) -> str:
    """What is another on the machine of `then`, in words; nothing where both are the same."""
    return ", ".join(
        f"{name.replace('_', ' ')} {getattr(then, name)} then, {getattr(now, name)} now"
        for name in _MACHINE
        if getattr(now, name) != getattr(then, name)
    )


def baseline_file(folder: Path, name: str) -> Path:
    """Where a baseline is kept; `UsageError` for a name that is no plain one."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UsageError(f"a baseline has a name like 'main' or 'v1.2', not {name!r}")
    return folder / f"{name}.json"


def read_baseline(folder: Path, name: str) -> dict[str, list[Result]]:
    """The rounds in the baseline of that name, by the titles of their runs; `UsageError` for what is none."""
    found: dict[str, list[Result]] = {}
    for result in load(baseline_file(folder, name)):
        found.setdefault(result.identity.name, []).append(result)
    return found


def no_baseline(folder: Path, name: str) -> str:
    """That there is none of that name, and which there are."""
    known = ", ".join(sorted(one.stem for one in folder.glob("*.json"))) or "none"
    return f"there is no baseline {name!r} in {folder} (there is {known}); save one with --load-save {name}"


def saved(before: Mapping[str, Sequence[Result]], runs: Sequence[Run]) -> str:
    """A baseline's text with these runs in it: tests that ran take the place of their old results, others stay."""
    ran = {run.test for run in runs}
    kept = [result for title, rounds in before.items() if test_of(title) not in ran for result in rounds]
    new = [result for run in runs for result in (run.result, *run.more)]
    return dump(sorted([*kept, *new], key=lambda result: result.identity.name))
