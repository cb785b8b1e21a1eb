"""Scenario files as modules of tests: each scenario is an item that passes when its thresholds hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback
from _pytest.fixtures import TopRequest

from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.loader import LoadedFile, read_file

if TYPE_CHECKING:
    from loadkit.jobs.testing.session import LoadSession
    from loadkit.plan.scenario import Scenario


class ScenarioFile(pytest.Module):
    """A scenario file, run as `loadkit run` does: under a name of its own, its asserts rewritten."""

    def __init__(self, *, session_of: Callable[[pytest.Config], LoadSession], has_tests: bool, **more: Any) -> None:
        super().__init__(**more)
        self._session_of = session_of
        self._has_tests = has_tests
        self._found: LoadedFile | None = None

    def _getobj(self) -> ModuleType:
        return self._file().module

    def _file(self) -> LoadedFile:
        if self._found is None:
            try:
                self._found = read_file(_short(self.path, self.config.invocation_params.dir))
            except UsageError as error:
                from loadkit.report.escape import visible_text

                raise self.CollectError(visible_text(str(error))) from None
        return self._found

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Its scenarios in the order they are written; if pytest itself took it for a module, its tests, too."""
        for scenario, line in self._file().scenarios:
            yield ScenarioItem.from_parent(
                self, name=scenario.name, scenario=scenario, line=line, session_of=self._session_of
            )
        if self._has_tests:
            yield from super().collect()


class ScenarioItem(pytest.Item):
    """A scenario as a test."""

    def __init__(
        self, *, scenario: Scenario, line: int, session_of: Callable[[pytest.Config], LoadSession], **more: Any
    ) -> None:
        super().__init__(**more)
        self._scenario = scenario
        self._line = line
        self._session_of = session_of
        # what a fixture asks for of the test that uses it, as doctests have it
        self.funcargs: dict[str, Any] = {}
        self._fixtureinfo = self.session._fixturemanager.getfixtureinfo(node=self, func=None, cls=None)

    def runtest(self) -> None:
        """Run it under load."""
        from loadkit.jobs.testing.comparing import compare_for, why_failed, worse_than_saved
        from loadkit.jobs.testing.fixture import check_applied, missed, unsound
        from loadkit.jobs.testing.interruptible import run_rounds, with_duration

        session = self._session_of(self.config)
        scenario = with_duration(self._aimed(session), session.duration)
        with session.hold_lock():
            results, thrown = run_rounds(scenario, session.options.rounds, session.options.otlp)
        result = session.found(self, *results)
        if thrown is not None:
            raise thrown
        if reason := unsound(result):
            raise _Missed(reason)
        check_applied(result, scenario)
        if not result.passed:
            raise _Missed(missed(result))
        if reason := worse_than_saved(self, session):
            raise _Missed(reason)
        if session.comparing.against is not None:
            found = compare_for(self, session, scenario, session.comparing.against)
            if reason := why_failed(found, session.comparing):
                raise _Missed(reason)

    def _aimed(self, session: LoadSession) -> Scenario:
        """The scenario at the server that the option names or the fixture `load_server` starts, below the same path."""
        scenario = self._scenario
        if session.options.base_url:
            return scenario.replace(base_url=session.options.base_url)
        if not self._has_server():
            return scenario
        server = str(TopRequest(self, _ispytest=True).getfixturevalue("load_server"))  # type: ignore[arg-type]
        path = urlsplit(scenario.base_url or "").path
        return scenario.replace(base_url=f"{server.rstrip('/')}{path}")

    def _has_server(self) -> bool:
        """True if the setting says what `load_server` starts, or the project has a fixture of that name."""
        found = self.session._fixturemanager.getfixturedefs("load_server", self) or ()
        own = [one for one in found if one.func.__module__ != "loadkit.pytest_plugin"]
        return bool(own or self.config.getini("load_server"))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What was missed or wrong, without a traceback of ours."""
        if not isinstance(excinfo.value, _Missed | LoadkitError | pytest.fail.Exception):
            return super().repr_failure(excinfo, style)
        from loadkit.report.escape import visible_text

        path, text = os.fspath(_short(self.path, self.config.invocation_params.dir)), visible_text(str(excinfo.value))
        shown = [f"E   {line}\n" for line in text.split("\n")]
        return ReprExceptionInfo(
            reprtraceback=ReprTraceback(
                [ReprEntryNative([*shown, f"\n{path}:{self._line}: {self.name}\n"])], None, "native"
            ),
            reprcrash=ReprFileLocation(path, self._line, text),
        )

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is written."""
        return self.path, self._line - 1, self.name


class _Missed(AssertionError):
    """A scenario that did not pass."""


def _short(path: Path, folder: Path) -> Path:
    """As a person would write it: from where pytest was started, if the file is below."""
    try:
        below = path.relative_to(folder)
    except ValueError:
        return path
    # the file is read under this name, and tests may have changed the directory
    return below if Path.cwd() == folder else path
