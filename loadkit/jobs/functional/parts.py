"""Tests under load in several processes: what each of them is told, what it runs, and what it tells of each test.

Each is a pytest session of its own that collects the same tests and runs a part of the load, one of the workers of
`drive.processes`. To plugins and fixtures it is a worker of pytest-xdist, which many of them know: `worker_id`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from loadkit.drive.failures import failure_of_journey
from loadkit.jobs.functional.outcomes import Case, Outcome
from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario, Source

if TYPE_CHECKING:
    from loadkit.drive.processes.protocol import Assignment
    from loadkit.drive.stats import Driven
    from loadkit.jobs.functional.values import SharedValues

RUNNER: Final = __name__

ADVICE: Final = (
    "each process makes fixtures of a wider scope for itself, so that ports, files and databases of theirs need names "
    "of their own, by the fixture worker_id of pytest-xdist or os.environ['PYTEST_XDIST_WORKER']: gw0, gw1, …"
)

_TOLD: Final = "session.json"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What each process is told of the session that it belongs to, in a file."""

    arguments: list[str]
    """Of the command line."""
    tests: list[str]
    """Which of the tests that it collects are run, in this order."""
    server: str | None
    """What is in the place of the fixture `load_server`, so that there is one server and not one a process."""
    known: dict[str, Any]
    """What plugins look for in a worker of pytest-xdist."""


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What a process has to tell beside its figures, in a file."""

    tests: dict[str, Outcome] = {}
    teardown: str = ""
    """Why the tear-down of what its threads share failed, and in which process."""


# -- of the session that has the whole run


def with_parts(scenario: Scenario, config: pytest.Config, tests: Sequence[str]) -> tuple[Scenario, Path]:
    """The scenario as worker processes find it: by a file in a folder, in which they leave what they report."""
    folder: Path = config._tmp_path_factory.mktemp("load-processes")  # type: ignore[attr-defined]
    known = {"mainargv": [*config.invocation_params.args], "testrunuid": uuid.uuid4().hex}
    if (seed := config.getoption("randomly_seed", None)) is not None:
        known["randomly_seed"] = seed
    without = ["--no-cov"] * config.pluginmanager.hasplugin("_cov")
    told = Told(
        arguments=[*map(str, config.invocation_params.args), "--verbosity=-2", *without],
        tests=[*tests],
        server=scenario.base_url,
        known=known,
    )
    file = folder / _TOLD
    file.write_bytes(msgspec.json.encode(told))
    source = Source(target=str(file), scenario=scenario, runner=RUNNER)
    return scenario.replace(source=source), folder


def reported(folder: Path) -> dict[int, Reported]:
    """What each process has reported, by its number from 0; one that was lost has not."""
    found = {int(file.stem): file for file in folder.glob("[0-9]*.json")}
    return {number: msgspec.json.decode(found[number].read_bytes(), type=Reported) for number in sorted(found)}


def count_reported(cases: Sequence[Case], reports: Mapping[int, Reported]) -> None:
    """Count for each test what came of it in the processes."""
    for process, told in reports.items():
        for case in cases:
            if found := told.tests.get(case.item.nodeid):
                case.add(process, found)


def advice_to_part(case: Case) -> list[str]:
    """A line for a test that failed always in some processes, and never in others."""
    failed = {process for process, one in case.by_process.items() if one.runs and one.failed == one.runs}
    others = [one for process, one in case.by_process.items() if process not in failed and one.runs]
    if not failed or not others or any(one.failed for one in others):
        return []
    numbers = ", ".join(str(process + 1) for process in sorted(failed))
    return [f"all runs in process {numbers} of {len(case.by_process)} failed, and none in the others: {ADVICE}"]


# -- of each process


def run_part(
    assignment: Assignment, run: Callable[[Scenario], Driven], staying_heard: Callable[[], AbstractContextManager[None]]
) -> Driven:
    """Run a session of pytest with a part of the load; raises `UsageError` for what keeps it from that."""
    file, part = Path(assignment.source), assignment.part
    told = msgspec.json.decode(file.read_bytes(), type=Told)
    name = f"gw{part.process}"
    os.environ |= {"PYTEST_XDIST_WORKER": name, "PYTEST_XDIST_WORKER_COUNT": f"{part.processes}"}
    session = PartOfSession(
        told=told,
        name=f"process {part.process + 1} of {part.processes}",
        known={**told.known, "workerid": name, "workercount": part.processes, "loadkit_part": part.process},
        file=file.parent / f"{part.process}.json",
        changes=assignment.changes,
        run=run,
        staying_heard=staying_heard,
    )
    server = ["--load-base-url", told.server] if told.server else []
    with session.after_run:
        code = pytest.main([*told.arguments, *server, f"--basetemp={file.parent / name}"], plugins=[session])
    if session.driven is None:
        raise UsageError(session.fault or f"{session.name}: pytest ended with exit code {int(code)} before the load")
    return session.driven


PART: Final = pytest.StashKey["PartOfSession"]()
"""Of the configuration of a process with a part of the load."""


@dataclass(kw_only=True)
class PartOfSession:
    """A plugin of the session of such a process."""

    told: Told
    name: str
    """Which process it is: `process 2 of 4`."""
    known: dict[str, Any]
    file: Path
    changes: Mapping[str, Any]
    """Fields of the scenario that are other ones than those of the options."""
    run: Callable[[Scenario], Driven]
    staying_heard: Callable[[], AbstractContextManager[None]]
    driven: Driven | None = None
    after_run: ExitStack = field(default_factory=ExitStack, init=False)
    """Closed when the session of pytest has ended."""
    fault: str = field(default="", init=False)
    """Why it cannot run its part."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Make it a worker to all plugins."""
        config.workerinput = self.known  # type: ignore[attr-defined]
        config.stash[PART] = self

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Leave the tests that are run, in the order of the whole run."""
        if session.testsfailed:
            return  # a file that cannot be imported here, which pytest shows
        found = {item.nodeid: item for item in items}
        missing = [name for name in self.told.tests if name not in found]
        if missing:
            self.fault = (
                f"{self.name} collected {len(found):,} tests, and not {missing[0]}: all processes have to collect the "
                "same tests, with parameters in one order (a set has none) and the same names"
            )
        items[:] = [found[name] for name in self.told.tests if name in found]

    def fail_set_up(self, error: BaseException) -> None:
        """No test can run here, for what its threads share could not be made."""
        first, *lines = failure_of_journey(error).message.splitlines()
        places = [line for line in lines if line.startswith("in ")]
        self.fault = f"{self.name}: {', '.join([first, *places])}; {ADVICE}"

    def report(self, cases: Sequence[Case], shared: SharedValues) -> None:
        """Report what came of each test, and tear down."""
        self.after_run.enter_context(self.staying_heard())
        tests = {case.item.nodeid: case.outcome() for case in cases}
        why = ""
        try:
            shared.close()
        except BaseException as error:  # noqa: BLE001 - it is the user's
            why = f"in {self.name}: {failure_of_journey(error).message}"
        self.file.write_bytes(msgspec.json.encode(Reported(tests=tests, teardown=why)))
