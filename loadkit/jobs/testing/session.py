"""What one pytest session has measured: kept, stored, and handed on by the workers of pytest-xdist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from loadkit.jobs.testing.baseline import Baseline, Machine, baseline_file, read_baseline, saved
from loadkit.jobs.testing.runs import Run, file_name, properties
from loadkit.judge.result import Result
from loadkit.plan.endpoint import positive_seconds
from loadkit.plan.errors import OutputError, UsageError
from loadkit.report.json import check_writable, dump, write_text

RUNS = pytest.StashKey[list[Run]]()
"""Of a test: its runs so far."""


class LoadSession:
    """What was asked of this session on the command line and in its settings, and what it has measured.

    Raises `pytest.UsageError` when it is made, before anything runs, for what cannot be followed.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.runs: list[Run] = []
        self.current: list[Run] = []
        """Of the test that runs now."""
        self.faults: list[str] = []
        """What could not be written."""
        self.duration: float | None = None
        self.json: Path | None = None
        self.save: str = config.getoption("load_save") or ""
        self.compare: str = config.getoption("load_compare") or ""
        self.baseline: Baseline | None = None
        try:
            self._read_settings()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    def _read_settings(self) -> None:
        option, setting = self.config.getoption, self.config.getini
        if said := option("load_duration") or setting("load_duration"):
            self.duration = positive_seconds(said, what="--load-duration")
        if said := option("load_json"):
            self.json = self.config.invocation_params.dir / said
        elif said := setting("load_json"):
            self.json = self.config.rootpath / said
        if self.json:
            _make(self.json)
        if self.compare:
            self.baseline = read_baseline(self.folder, self.compare)
        if self.save:
            baseline_file(self.folder, self.save)

    @property
    def folder(self) -> Path:
        """Where baselines are."""
        return self.config.rootpath / str(self.config.getini("load_baselines"))

    @property
    def is_worker(self) -> bool:
        """This is a process of pytest-xdist, and another one tells what was found."""
        return hasattr(self.config, "workerinput")

    @property
    def lock(self) -> Path | None:
        """What the workers of pytest-xdist share, so that only one of them loads; None on another machine."""
        given = getattr(self.config, "workerinput", {}).get("loadkit_shared")
        return Path(given) / "load.lock" if given and Path(given).is_dir() else None

    def found(self, item: pytest.Item, result: Result) -> None:
        """Keep what a test has measured."""
        runs = item.stash.setdefault(RUNS, [])
        run = Run(test=_node_id(item), number=len(runs) + 1, result=result)
        runs.append(run)
        item.user_properties.extend(properties(run))
        self.keep(run)

    def keep(self, run: Run) -> None:
        """Keep a run of this process or of a worker; store it unless somebody else does."""
        self.runs.append(run)
        if self.json and not self.is_worker:
            self._write(self.json / file_name(run), lambda: dump([run.result]))

    def finish(self) -> None:
        """Save the baseline, if one is asked for. What was interrupted is not in it."""
        whole = [run for run in self.runs if run.result.outcome != "interrupted"]
        if not self.save or not whole or self.is_worker:
            return
        file = baseline_file(self.folder, self.save)
        try:
            before = read_baseline(self.folder, self.save) if file.exists() else Baseline()
        except UsageError as error:
            self.faults.append(f"{error}; nothing was saved")
            return
        self._write(file, lambda: saved(before, whole, Machine.here()))

    def _write(self, path: Path, text: Callable[[], str]) -> None:
        """A fault is told at the end, and costs nothing that was measured."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text())
        except OutputError as error:
            self.faults.append(str(error))
        except OSError as error:
            self.faults.append(f"cannot write {path}: {(error.strerror or str(error)).lower()}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {(error.strerror or str(error)).lower()}") from None
    check_writable(folder / "result.json")


def _node_id(item: pytest.Item) -> str:
    """Without the group that pytest-xdist writes behind it."""
    mark = item.get_closest_marker("xdist_group")
    return item.nodeid.removesuffix(f"@{mark.args[0]}") if mark and mark.args else item.nodeid
