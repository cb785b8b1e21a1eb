"""Load tests on several workers of pytest-xdist, as seen by the process that directs them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from loadkit.jobs.testing.session import LoadSession


class Controller:
    """Lends the workers a lock, and takes what they found; without load tests it imports nothing."""

    def __init__(self, config: pytest.Config, session_of: Callable[[pytest.Config], LoadSession]) -> None:
        self._config = config
        self._session_of = session_of
        self._shared: Path | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where the lock is, and how tests are distributed."""
        node.workerinput["loadkit_dist"] = self._config.getoption("dist")
        if self._shared is None:
            self._shared = Path(tempfile.mkdtemp(prefix="loadkit-"))
        node.workerinput["loadkit_shared"] = os.fspath(self._shared)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the runs that a worker's report carries."""
        # the names are reporting.CARRIED and OF_TEST, which a session without load tests does not import
        if values := getattr(report, "loadkit", None):
            from loadkit.jobs.testing.runs import unpacked

            for run in unpacked(values):
                self._session_of(self._config).keep(run)
        if test := getattr(report, "loadkit_test", None):
            from loadkit.jobs.testing.reporting import is_failure

            if is_failure(report):
                self._session_of(self._config).failed.add(test)

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self) -> None:
        """Take what workers left that a Ctrl-C kept from making reports."""
        if self._shared and any(self._shared.glob("*.json")):
            self._session_of(self._config).take_left_behind(self._shared)

    def pytest_unconfigure(self) -> None:
        """Leave no folder behind, and no result in it: without a terminal there was no summary."""
        self.pytest_terminal_summary()
        if self._shared:
            shutil.rmtree(self._shared, ignore_errors=True)
