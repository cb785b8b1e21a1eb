"""The history of runs: a folder with a file a month, and in it a line a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.jobs.kept import FOLDER, kept_folder
from loadkit.jobs.revisions import current_revision
from loadkit.judge.history.kept_run import KeptRun, kept_run
from loadkit.judge.instants import instant
from loadkit.judge.merge.sums import all_journeys
from loadkit.measure.encoding import to_json
from loadkit.plan.errors import UsageError, reason_of
from loadkit.report.files import append_line, check_writable
from loadkit.report.headline import describe_load

if TYPE_CHECKING:
    from loadkit.judge.history.kept_run import Revision
    from loadkit.judge.result import Result

DEFAULT: Final = Path(FOLDER) / "history"

HOW: Final = f"keep runs with loadkit run shop.py --history {DEFAULT}"

_REASON: Final = 200
"""Characters of a message of the decoder, which may quote what it has read."""

_ATTRIBUTES: Final = "*.jsonl merge=union\n"
"""Lines that two branches have appended are all kept by git, in any order."""


def open_history(folder: Path) -> Revision:
    """Make the folder, see before anything is sent that it can be written to, and return what is checked out now.

    Raises `UsageError` where it cannot be written to.
    """
    if str(folder) == "-":
        raise UsageError(f"--history takes a folder like {DEFAULT}, not '-'")
    try:
        if folder.parts[-2:] == DEFAULT.parts:
            folder.parent.parent.mkdir(parents=True, exist_ok=True)
            kept_folder(folder.parent.parent, "history")
        folder.mkdir(parents=True, exist_ok=True)
        attributes = folder / ".gitattributes"
        check_writable(attributes)
        if not attributes.exists():
            attributes.write_text(_ATTRIBUTES, encoding="utf-8")
        for file in folder.glob("*.jsonl"):
            file.open("ab").close()
    except OSError as error:
        raise UsageError(f"cannot write to the history in {folder}: {reason_of(error)}") from None
    return current_revision(Path.cwd())


def keep(folder: Path, result: Result, revision: Revision) -> None:
    """Add a run to the history; `OutputError` where it cannot be written."""
    run = kept_run(result, all_journeys(result) or result.total, revision, describe_load(result.scenario))
    append_line(folder / f"{run.time[:7]}.jsonl", to_json(run).decode())


def read_history(folder: Path) -> tuple[list[KeptRun], list[str]]:
    """The runs, and what of the history cannot be read, in words.

    What is there twice, as after a merge, is one run. Raises `UsageError` where there is no history.
    """
    runs: dict[bytes, KeptRun] = {}
    faults: list[str] = []
    for file in _files(folder):
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            faults.append(f"cannot read {file}: {reason_of(error)}")
            continue
        for number, line in enumerate(lines, 1):
            try:
                runs[line] = _decoded(line)
            except (msgspec.DecodeError, RecursionError, OverflowError, ValueError) as error:
                faults.append(f"cannot read line {number} of {file}: {str(error)[:_REASON]}")
    return list(runs.values()), faults


def _files(folder: Path) -> list[Path]:
    try:
        found = sorted(one for one in folder.iterdir() if one.suffix == ".jsonl")
    except OSError as error:
        raise UsageError(f"cannot read the history in {folder}: {reason_of(error)}; {HOW}") from None
    if not found:
        raise UsageError(f"there is no run in {folder}; {HOW}")
    return found


class _Head(msgspec.Struct):
    version: int


def _decoded(line: bytes) -> KeptRun:
    if (version := msgspec.json.decode(line, type=_Head).version) > 1:
        raise ValueError(f"a newer loadkit wrote it (version {version})")
    run = msgspec.json.decode(line, type=KeptRun)
    instant(run.time)
    return run
