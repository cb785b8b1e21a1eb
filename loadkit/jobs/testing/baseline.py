"""Results kept under a name beside the machine they were measured on, to be shown beside later ones."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from loadkit.drive.machine import allowed_cpus
from loadkit.jobs.testing.runs import Run
from loadkit.judge.laws import broken
from loadkit.judge.result import Result
from loadkit.plan.errors import UsageError


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What figures depend on beside the code: compare only what was measured on the same."""

    host: str
    processor: str
    cpu_count: int
    memory: int
    """Bytes."""
    system: str
    python: str

    @classmethod
    def here(cls) -> Machine:
        """This one."""
        return cls(
            host=platform.node(),
            processor=_processor(),
            cpu_count=allowed_cpus(),
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
        )

    def difference(self, other: Machine) -> str:
        """What is another on the other, in words; nothing where both are the same."""
        mine, others = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        return ", ".join(
            f"{name.replace('_', ' ')} {others[name]} then, {mine[name]} now"
            for name in mine
            if mine[name] != others[name]
        )


class SavedTest(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one test, and the machine they ran on."""

    machine: Machine
    results: list[Result]


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What `--load-save NAME` keeps: by the tests' node ids."""

    version: Literal[1] = 1
    tests: dict[str, SavedTest] = {}


def baseline_file(folder: Path, name: str) -> Path:
    """Where a baseline is kept; `UsageError` for a name that is no plain one."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UsageError(f"a baseline has a name like 'main' or 'v1.2', not {name!r}")
    return folder / f"{name}.json"


def read_baseline(folder: Path, name: str) -> Baseline:
    """The baseline of that name; `UsageError` naming those there are, or the file that is none."""
    file = baseline_file(folder, name)
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Baseline)
    except FileNotFoundError:
        known = ", ".join(sorted(one.stem for one in folder.glob("*.json"))) or "none"
        raise UsageError(
            f"there is no baseline {name!r} in {folder} (there is {known}); save one with --load-save"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"{file} is no baseline of this loadkit: {error}") from None
    for result in (result for test in found.tests.values() for result in test.results):
        for sentence in broken(result):
            raise UsageError(f"{file} is not sound: {sentence}")
    return found


def saved(before: Baseline, runs: Sequence[Run], machine: Machine) -> str:
    """A baseline's text with these runs in it: tests that ran take the place of their old results, others stay."""
    tests = dict(before.tests)
    by_test: dict[str, list[Result]] = {}
    for run in runs:
        by_test.setdefault(run.test, []).append(run.result)
    tests |= {test: SavedTest(machine=machine, results=results) for test, results in by_test.items()}
    content = msgspec.json.encode(Baseline(tests=dict(sorted(tests.items()))))
    return msgspec.json.format(content, indent=1).decode() + "\n"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
