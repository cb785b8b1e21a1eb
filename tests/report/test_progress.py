"""Progress is shown where somebody looks, and never in the way of a run."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest

from loadkit.drive.progress import Snapshot
from loadkit.report.progress import log_line, run_status, watcher


def snapshot(elapsed: float, stage: str = "running", *, failures: int = 0, name: str = "browse") -> Snapshot:
    measured = elapsed >= 1
    return Snapshot(
        name=name,
        stage=stage,
        elapsed=elapsed,
        planned=30.0,
        iterations=None,
        threads=16,
        in_flight=16,
        requests=int(elapsed * 1000),
        failures=failures,
        rate=1002.4 if measured else None,
        p99=0.0123 if measured else None,
    )


def shown(stream: TextIO, snapshots: Sequence[Snapshot], *, quiet: bool = False) -> None:
    with watcher(stream, quiet=quiet) as watch:
        for each in snapshots:
            watch(each)


def line_of(snapshot: Snapshot) -> str:
    return log_line(run_status(snapshot))


def on_a_terminal(columns: int, snapshots: Sequence[Snapshot]) -> str:
    """What a real terminal of so many columns is sent."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with io.TextIOWrapper(io.FileIO(theirs, "w"), encoding="utf-8") as stream:
        shown(stream, snapshots)
    return everything(ours)


def everything(descriptor: int) -> str:
    """What is left to read on a terminal whose other side is closed: then it ends, with an error on Linux."""
    parts = []
    with io.FileIO(descriptor) as reading, suppress(OSError):
        while part := reading.read(4096):
            parts.append(part)
    return b"".join(parts).decode()


@pytest.fixture(autouse=True)
def _a_plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


WHOLE_RUN = [
    snapshot(0.0, "starting"),
    *(snapshot(k / 4) for k in range(47)),
    snapshot(12.1, "draining", failures=3),
]


def test_a_log_has_a_line_every_five_seconds_and_one_at_the_end_of_a_stage(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as log:
        shown(log, WHOLE_RUN)
        log.seek(0)
        assert log.read() == (
            "[0.0 s of 30s] browse, starting: 0 requests, 0 failed\n"
            "[5.0 s of 30s] browse, running: 5,000 requests, 0 failed, 1,002/s, p99 12.3 ms\n"
            "[10.0 s of 30s] browse, running: 10,000 requests, 0 failed, 1,002/s, p99 12.3 ms\n"
            "[11.5 s of 30s] browse, running: 11,500 requests, 0 failed, 1,002/s, p99 12.3 ms\n"
            "[12.1 s of 30s] browse, draining: 12,100 requests, 3 failed, 1,002/s, p99 12.3 ms\n"
        )


def test_of_journeys_it_is_they_who_are_iterations() -> None:
    assert line_of(replace(snapshot(2.0), journeys=400, iterations=1000)) == (
        "[2.0 s of 30s] browse, running: "
        "400 journeys of 1,000 iterations, 2,000 requests, 0 failed, 1,002/s, p99 12.3 ms"
    )


def test_a_run_by_iterations_says_how_many() -> None:
    log = io.StringIO()
    counted = Snapshot(
        name="browse",
        stage="running",
        elapsed=2.0,
        planned=None,
        iterations=1000,
        threads=1,
        in_flight=1,
        requests=400,
        failures=0,
        rate=None,
        p99=None,
    )
    shown(log, [counted])
    assert log.getvalue() == "[2.0 s] browse, running: 400 requests of 1,000 iterations, 0 failed\n"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        # the less important goes first
        (30, "browse  ━━━━╸━━━━━━━  12s/30s"),
        (40, "browse  12s/30s  12,400 requests"),
        (60, "browse  12s/30s  12,400 requests  312 failed  1,002/s"),
        (80, "browse  ━━━━╸━━━━━━  12s/30s  12,400 requests  312 failed  1,002/s  p99 12.3 ms"),
    ],
)
def test_a_terminal_has_one_line_that_fits(columns: int, line: str) -> None:
    written = on_a_terminal(columns, [snapshot(0.5), snapshot(12.4, failures=312)])
    assert line in [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).strip() for text in written.split("\r")]
    assert written.count("\n") == 1  # at the end, and taken back


def test_who_has_interrupted_is_told_how_to_end_it_at_once() -> None:
    written = on_a_terminal(120, [replace(snapshot(12.4, "draining"), is_interrupted=True)])
    assert "  stopping, Ctrl-C again ends it at once  12s/30s  12,400 requests" in written


def test_a_terminal_is_left_as_it_was_found() -> None:
    written = on_a_terminal(80, [snapshot(1.0)])
    hide, show, up, wipe = "\x1b[?25l", "\x1b[?25h", "\x1b[1A", "\x1b[2K"
    assert written.startswith(hide)
    assert written.endswith(f"\r\n{show}\r{up}{wipe}")


def test_a_terminal_is_left_as_it_was_found_when_the_run_raises() -> None:
    ours, theirs = os.openpty()
    stream = io.TextIOWrapper(io.FileIO(theirs, "w"), encoding="utf-8")
    with suppress(KeyboardInterrupt), watcher(stream) as watch:
        watch(snapshot(1.0))
        raise KeyboardInterrupt
    stream.close()
    assert everything(ours).endswith("\x1b[1A\x1b[2K")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*[39]\d", on_a_terminal(80, [snapshot(12.4, failures=312)]))


def test_a_dumb_terminal_gets_the_lines_of_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert on_a_terminal(80, [snapshot(1.0)]) == (
        "[1.0 s of 30s] browse, running: 1,000 requests, 0 failed, 1,002/s, p99 12.3 ms\r\n"
    )


def test_quiet_is_quiet() -> None:
    log = io.StringIO()
    shown(log, WHOLE_RUN, quiet=True)
    assert not log.getvalue()


def test_a_stream_that_was_closed_does_not_fail_the_run(tmp_path: Path) -> None:
    log = (tmp_path / "log").open("w")
    log.close()
    shown(log, WHOLE_RUN)


def test_a_reader_that_went_away_does_not_fail_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True)
    shown(stream, WHOLE_RUN)
    stream.close()


def test_a_full_disk_does_not_fail_the_run() -> None:
    stream = io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)
    shown(stream, WHOLE_RUN)
    stream.close()


def test_a_terminal_that_hangs_up_does_not_fail_the_run() -> None:
    ours, theirs = os.openpty()
    stream = io.TextIOWrapper(io.FileIO(theirs, "w"), write_through=True)
    with watcher(stream) as watch:
        watch(snapshot(1.0))
        os.close(ours)
        watch(snapshot(2.0))
    stream.close()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("\x1b[2J::error::x\n", r"[1.0 s of 30s] \x1b[2J::error::x\n, running: "),
        ("##vso[x]", r"[1.0 s of 30s] \x23#vso[x], running: "),
        ("[red]tea[/red]", "[1.0 s of 30s] [red]tea[/red], running: "),
    ],
)
def test_a_name_commands_nothing(name: str, line: str) -> None:
    log = io.StringIO()
    shown(log, [snapshot(1.0, name=name)])
    assert log.getvalue().startswith(line)


def test_a_stream_without_the_characters_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    shown(stream, [snapshot(0.0, name="tée")])
    assert raw.getvalue() == b"[0.0 s of 30s] t\\xe9e, running: 0 requests, 0 failed\n"


def test_rich_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, loadkit.report.text, loadkit.report.progress; print([one for one in sys.modules if 'rich' in one])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_the_plan_asks_for_stands_beside_what_is_done():
    opened = dataclasses.replace(snapshot(7.0, "rush"), asked_rate=1250.0, in_flight=31)
    ramping = dataclasses.replace(snapshot(7.0, "ramp 1"), asked_threads=11.6)

    assert line_of(opened).endswith("7,000 requests, 0 failed, 1,002/s of 1,250/s, 31 under way, p99 12.3 ms")
    assert line_of(ramping).startswith("[7.0 s of 30s] browse, ramp 1: ")
    assert line_of(ramping).endswith("0 failed, 1,002/s, 12 threads, p99 12.3 ms")
    assert ", 1 thread, " in line_of(dataclasses.replace(ramping, asked_threads=1.3))
