"""What one pytest session has measured: kept, stored, and handed on by the workers of pytest-xdist."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from loadkit.jobs.checkouts import Checkouts
from loadkit.jobs.history import keep, open_history
from loadkit.jobs.kept import kept_folder
from loadkit.jobs.testing.baseline import baseline_file, no_baseline, read_baseline, saved
from loadkit.jobs.testing.comparison_options import comparison_options
from loadkit.jobs.testing.options import DEFAULT_BASELINES
from loadkit.jobs.testing.runs import (
    FOUND,
    Found,
    Owner,
    Run,
    as_markdown,
    as_page,
    file_name,
    kind_of,
    packed,
    unpacked,
)
from loadkit.jobs.testing.session_options import SessionOptions
from loadkit.judge.caveats import doubted
from loadkit.judge.comparison.comparison import INTERRUPTED, Comparison
from loadkit.judge.history.kept_run import Revision
from loadkit.judge.result import Result
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import OutputError, UsageError, reason_of
from loadkit.plan.fields import parse_positive_seconds
from loadkit.report.files import check_writable, write_text
from loadkit.report.formats import documents
from loadkit.report.formats.junit import properties
from loadkit.report.json import Finding, document, dump
from loadkit.server.serving import running_servers
from loadkit.server.start import ServerProcess, ended_output

LEFT = ".interrupted.json"
"""How the files end in which workers leave a run that was interrupted."""

HISTORY = pytest.StashKey[tuple[Path, Revision]]()
"""Of the configuration: the folder of the history that is asked for, and what was checked out at the start."""

HANDED_ON = pytest.StashKey[int]()
"""Of a test: how many of these are in a report already."""

SHOWN = pytest.StashKey[int]()
"""Of a test: how many of these were shown below a failure already."""


@dataclasses.dataclass(slots=True)
class CurrentTest:
    """The test that runs now."""

    found: list[Run | Found] = dataclasses.field(default_factory=list)
    """What it has measured."""
    of_module: list[Run | Found] = dataclasses.field(default_factory=list)
    """What its module has measured for all of its tests."""
    printed: dict[ServerProcess, int] = dataclasses.field(default_factory=dict)
    """How much each server had printed when it began."""


class LoadSession:
    """What was asked of this session on the command line and in its settings, and what it has measured.

    Raises `pytest.UsageError` when it is made, before anything runs, for what cannot be followed.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options = SessionOptions(config)
        self.runs: list[Run] = []
        self.findings: list[Found] = []
        self.test = CurrentTest()
        self.unreported: list[Run | Found] = []
        """In no report of a test yet: a Ctrl-C leaves a test without one."""
        self.failed: set[str] = set()
        """Tests that did not pass, by node id."""
        self.kept: list[Run] = []
        """What has gone into the baseline."""
        self.checkouts = Checkouts()
        config.add_cleanup(self.checkouts.close)
        self.faults: list[str] = []
        """What could not be written."""
        self._holds_lock = False
        self.duration: float | None = None
        self.json_folder: Path | None = None
        self.baseline: dict[str, list[Result]] | None = None
        try:
            self._read_settings()
            self.comparing = comparison_options(config)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        except OSError as error:
            raise pytest.UsageError(f"cannot make the folder {self.options.folder}: {reason_of(error)}") from None

    def _read_settings(self) -> None:
        if given := self.config.getoption("load_duration") or self.config.getini("load_duration"):
            self.duration = parse_positive_seconds(given, what="--load-duration")
        self.options.check()
        self.json_folder = self.options.path("load_json")
        if self.json_folder:
            _make(self.json_folder, "result.json")
        for file in (self.options.html, self.options.markdown, *self.options.formats.values()):
            if file and not self.is_worker:
                _make(file.parent, file.name)
        history = self.options.path("load_history")
        if history and not self.is_worker:
            self.config.stash[HISTORY] = history, open_history(history)
        if self.options.compare and baseline_file(self.options.folder, self.options.compare).exists():
            self.baseline = read_baseline(self.options.folder, self.options.compare)
        elif self.options.is_judged_by_baseline and self.options.save != self.options.compare:
            raise UsageError(no_baseline(self.options.folder, self.options.compare))
        if self.options.save and not self.is_worker:
            file = baseline_file(self.options.folder, self.options.save)
            if self.config.getini("load_baselines") == DEFAULT_BASELINES:
                kept_folder(self.config.rootpath, "baselines")
            _make(file.parent, file.name)

    @property
    def is_worker(self) -> bool:
        """This is a process of pytest-xdist, and another one tells what was found."""
        return hasattr(self.config, "workerinput")

    @property
    def _shared(self) -> Path | None:
        """The folder that the workers share; None without workers, and on another machine."""
        given = getattr(self.config, "workerinput", {}).get("loadkit_shared")
        return Path(given) if given and Path(given).is_dir() else None

    @contextlib.contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Wait until no other worker of pytest-xdist loads, and keep them waiting; nothing where it is held already.

        The kernel lets go of the lock when its holder dies, however that happens.
        """
        if self._holds_lock or not self._shared:
            yield
            return
        import fcntl

        with (self._shared / "load.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._holds_lock = True
            try:
                yield
            finally:
                self._holds_lock = False

    def found(self, item: Owner, *results: Result) -> Result:
        """Keep what a test has measured in one round or several; the first with what pytest gives reason to doubt."""
        first, *more = [doubted(one, _doubts(self.config)) for one in results]
        run = Run(test=node_id(item), number=_next_number(item, Run.__name__), result=first)
        first, *more = [
            msgspec.structs.replace(one, identity=msgspec.structs.replace(one.identity, name=run.title))
            for one in (first, *more)
        ]
        self._keep_of(item, dataclasses.replace(run, result=first, more=tuple(more)))
        return first

    def concluded(self, item: Owner, finding: Finding) -> None:
        """Keep what a comparison, or a search for a limit, found for a test."""
        number = _next_number(item, type(finding).__name__)
        self._keep_of(item, Found(test=node_id(item), number=number, finding=finding))

    def _keep_of(self, item: Owner, one: Run | Found) -> None:
        item.stash.setdefault(FOUND, []).append(one)
        if isinstance(item, pytest.Item):
            _add_properties(item, one)
        self.unreported.append(one)
        self.keep(one)

    def look_at(self, item: pytest.Item) -> None:
        """Know what the module of a test has measured, which it may judge."""
        self.test.of_module = _of_module(item)
        for one in self.test.of_module:
            _add_properties(item, one)

    def start_again(self, item: pytest.Item) -> None:
        """A test that runs again begins anew: its last attempt is what counts."""
        ended_output.clear()
        self.test.printed = {one: one.printed for one in running_servers()}
        if item.stash.get(FOUND, None):
            item.stash[FOUND] = []
            item.stash[HANDED_ON] = item.stash[SHOWN] = 0
            item.user_properties[:] = [one for one in item.user_properties if not str(one[0]).startswith("load.")]

    def keep(self, one: Run | Found) -> None:
        """Keep what was found in this process or a worker; store it unless a worker does.

        The first of a test takes the place of what an earlier attempt at it has found.
        """
        if isinstance(one, Found):
            if one.number == 1:
                self.findings = [
                    other for other in self.findings if (other.test, kind_of(other)) != (one.test, kind_of(one))
                ]
            self.findings.append(one)
        else:
            if one.number == 1 and one.test in {other.test for other in self.runs}:
                self.runs = [other for other in self.runs if other.test != one.test]
                self.failed.discard(one.test)
            self.runs.append(one)
        if self.is_worker:
            self._hand_on(one)
        elif self.json_folder:
            text = dump([one.result, *one.more]) if isinstance(one, Run) else document(one.finding)
            self._write(self.json_folder / file_name(one), text)

    def _hand_on(self, one: Run | Found) -> None:
        """After a Ctrl-C no report of this test will reach the controller: leave it a file."""
        if is_interrupted(one) and self._shared:
            self._write(self._shared / f"{os.getpid()}{LEFT}", json.dumps(packed([one])))

    def take_left_behind(self, folder: Path) -> None:
        """Keep what workers that were interrupted have left in a folder."""
        for file in sorted(folder.glob(f"*{LEFT}")):
            for one in unpacked(json.loads(file.read_text(encoding="utf-8"))):
                if one not in self.runs and one not in self.findings:
                    self.unreported.append(one)
                    self.keep(one)
            file.unlink()
        self._write_pages()

    def finish(self) -> None:
        """Write the page, save the baseline and add to the history, as far as asked for and something was measured."""
        self._write_pages()
        self._save()
        self._keep_runs()

    def _write_pages(self) -> None:
        """One page of all that was found, and its Markdown, the interrupted ones too; again when more have come."""
        if self.is_worker or not (self.runs or self.findings):
            return
        if self.options.markdown:
            self._write(self.options.markdown, as_markdown(self.runs, self.findings))
        if self.options.html:
            self._write(self.options.html, as_page(self.runs, self.findings))
        results = [result for run in self.runs for result in (run.result, *run.more)]
        for name, path in self.options.formats.items() if results else ():
            for file, text in documents(name, path, results):
                self._write(file, text)

    def _save(self) -> None:
        """What failed, was interrupted or is invalid is in no baseline."""
        whole = [run for run in self.runs if not self.flaw(run)]
        if not self.options.save or not whole or self.is_worker:
            return
        file = baseline_file(self.options.folder, self.options.save)
        try:
            before = read_baseline(self.options.folder, self.options.save) if file.exists() else {}
        except UsageError as error:
            self.faults.append(f"{error}; nothing was saved")
            return
        self.kept = whole
        self._write(file, saved(before, whole))

    def _keep_runs(self) -> None:
        if HISTORY not in self.config.stash:
            return
        history, revision = self.config.stash[HISTORY]
        try:
            for run in self.runs:
                keep(history, run.result, revision)
        except OutputError as error:
            self.faults.append(str(error))

    def unjudged(self) -> str:
        """That the baseline by which tests are to be judged has none of those that ran; empty where it has one."""
        if self.is_worker or not self.options.is_judged_by_baseline or self.baseline is None or not self.runs:
            return ""
        if any(run.title in self.baseline for run in self.runs):
            return ""
        return (
            f"the baseline {self.options.compare!r} has none of the tests that ran, and judged nothing; it has "
            f"{', '.join(self.baseline) or 'none'}"
        )

    def flaw(self, run: Run) -> str:
        """Why a run is nothing to compare others with; nothing if it is."""
        result = run.result
        if result.outcome in ("interrupted", "server-lost", "not-applied"):
            return result.outcome.replace("-", " ")
        if result.validity == "invalid":
            return "invalid"
        if not (result.total.response_time.count or any(one.response_time.count for one in result.timings)):
            return "nothing came through"
        return "failed" if run.test in self.failed else ""

    def _write(self, path: Path, text: str) -> None:
        """A fault is told at the end, and costs nothing that was measured."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        except OutputError as error:
            self.faults.append(str(error))
        except OSError as error:
            self.faults.append(f"cannot write {path}: {reason_of(error)}")


def _doubts(config: pytest.Config) -> Iterator[Caveat]:
    others = int(getattr(config, "workerinput", {}).get("workercount", 1)) - 1
    if others:
        workers = f"{others} other worker{'s' * (others > 1)}"
        yield Caveat(
            code="neighbours",
            message=f"{workers} of pytest-xdist ran tests on the same CPUs meanwhile; for figures to compare, run "
            "load tests by themselves: -n 0 --load-only",
        )


def _make(folder: Path, file: str) -> None:
    """Make a folder in which that file can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {reason_of(error)}") from None
    check_writable(folder / file)


def _next_number(item: Owner, kind: str) -> int:
    return sum(kind_of(one) == kind for one in item.stash.get(FOUND, [])) + 1


def is_interrupted(one: Run | Found) -> bool:
    """True for what a Ctrl-C or a timeout of pytest's has cut short."""
    if isinstance(one, Run):
        return one.result.outcome == "interrupted"
    found = one.finding
    return found.reason == INTERRUPTED if isinstance(found, Comparison) else found.ending == "interrupted"


def _add_properties(item: pytest.Item, one: Run | Found) -> None:
    """For JUnit XML; what a test has measured itself goes before what its module has measured."""
    new = dict(properties(one.result if isinstance(one, Run) else one.finding, one.number))
    item.user_properties[:] = [*(pair for pair in item.user_properties if pair[0] not in new), *new.items()]


def found_of(item: pytest.Item) -> list[Run | Found]:
    """What a test has measured, after what its module has measured, if the test has that."""
    return [*_of_module(item), *item.stash.get(FOUND, [])]


def _of_module(item: pytest.Item) -> list[Run | Found]:
    if "module_load" not in getattr(item, "fixturenames", ()):
        return []
    return [one for node in item.listchain()[:-1] for one in node.stash.get(FOUND, [])]


def node_id(item: Owner) -> str:
    """Without the group that pytest-xdist writes behind it."""
    mark = item.get_closest_marker("xdist_group")
    return item.nodeid.removesuffix(f"@{mark.args[0]}") if mark and mark.args else item.nodeid
