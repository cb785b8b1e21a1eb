"""Progress is shown where somebody looks, and never in the way of a run."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest

from loadkit.drive.progress import EndpointProgress, Snapshot
from loadkit.report.progress import watcher


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
        recent=3 if measured else 0,
    )


def shown(stream: TextIO, snapshots: Sequence[Snapshot], *, quiet: bool = False) -> None:
    with watcher(stream, quiet=quiet) as watch:
        for each in snapshots:
            watch(each)


def on_a_terminal(columns: int, snapshots: Sequence[Snapshot], *, lines: int = 24) -> str:
    """What a real terminal of so many columns and lines is sent."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
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
            "[5.0 s of 30s] browse, running: 5,000 requests, 0 failed, 1,002/s, p99 12.3 ms in 3 s\n"
            "[10.0 s of 30s] browse, running: 10,000 requests, 0 failed, 1,002/s, p99 12.3 ms in 3 s\n"
            "[11.5 s of 30s] browse, running: 11,500 requests, 0 failed, 1,002/s, p99 12.3 ms in 3 s\n"
            "[12.1 s of 30s] browse, draining: 12,100 requests, 3 failed, 1,002/s, p99 12.3 ms in 3 s\n"
        )


ITERATIONS = replace(snapshot(2.0), iterations=1000)
OPEN = replace(snapshot(7.0, "rush", name="b"), asked_rate=1250.0, in_flight=31)
RAMP = replace(snapshot(7.0, "ramp 1"), asked_threads=11.6)


@pytest.mark.parametrize(
    ("of_run", "line"),
    [
        # of journeys it is they who are iterations
        (
            replace(ITERATIONS, journeys=400, p99=None),
            (
                "[2.0 s of 30s at most] browse, running: 400 journeys of 1,000 iterations, 2,000 requests, 0 failed, "
                "1,002/s"
            ),
        ),
        (
            replace(ITERATIONS, planned=None, rate=None, p99=None),
            "[2.0 s] browse, running: 2,000 requests of 1,000 iterations, 0 failed",
        ),
        # what the plan asks for stands beside what is done
        (
            OPEN,
            "[7.0 s of 30s] b, rush: 7,000 requests, 0 failed, 1,002/s of 1,250/s, p99 12.3 ms in 3 s, 31 under way",
        ),
        (RAMP, "[7.0 s of 30s] browse, ramp 1: 7,000 requests, 0 failed, 1,002/s, p99 12.3 ms in 3 s, 12 threads"),
        (
            replace(RAMP, asked_threads=1.3),
            "[7.0 s of 30s] browse, ramp 1: 7,000 requests, 0 failed, 1,002/s, p99 12.3 ms in 3 s, 1 thread",
        ),
        # a name commands nothing
        (
            snapshot(0.0, name="\x1b[2J::error::x\n"),
            r"[0.0 s of 30s] \x1b[2J::error::x\n, running: 0 requests, 0 failed",
        ),
        (snapshot(0.0, name="##vso[x]"), r"[0.0 s of 30s] \x23#vso[x], running: 0 requests, 0 failed"),
        (snapshot(0.0, name="[red]tea[/red]"), "[0.0 s of 30s] [red]tea[/red], running: 0 requests, 0 failed"),
    ],
)
def test_a_line_of_a_log(of_run: Snapshot, line: str) -> None:
    log = io.StringIO()
    shown(log, [of_run])
    assert log.getvalue() == f"{line}\n"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        # the less important goes first
        (30, "browse  ━━━━╸━━━━━━━  12s/30s"),
        (40, "browse  12s/30s   12,400 requests"),
        (60, "browse  12s/30s   12,400 requests    312 failed   1,002/s"),
        (80, "browse  12s/30s   12,400 requests    312 failed   1,002/s  p99 12.3 ms in 3 s"),
        (100, "browse  ━━━━━━━━╺━━━━━━━━━━━  12s/30s   12,400 requests    312 failed   1,002/s  p99 12.3 ms in 3 s"),
    ],
)
def test_a_terminal_has_one_line_that_fits(columns: int, line: str) -> None:
    written = on_a_terminal(columns, [snapshot(0.5), snapshot(12.4, failures=312)])
    assert line in [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).strip() for text in written.split("\r")]
    assert written.count("\n") == 1  # at the end, and taken back


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_nothing_on_the_line_jumps(columns: int) -> None:
    one = replace(snapshot(1.0), requests=1, rate=7.0, p99=0.000999)
    many = replace(snapshot(29.9, failures=4321), requests=999_999, rate=33_333.0, p99=59.9)
    written = on_a_terminal(columns, [snapshot(0.1), one, many])
    drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text) for text in written.split("\r")]
    drawn = [line for line in drawn if "failed" in line]
    assert len({line.index("/30s") for line in drawn}) == 1
    assert len({line.index(" request") for line in drawn}) == 1
    assert len({line.index(" failed") for line in drawn}) == 1
    assert len({line.index(" p99") for line in drawn[1:]}) == 1
    assert len({len(line.rstrip()) for line in drawn[1:]}) == 1


ROWS = [
    EndpointProgress(name="GET /", requests=9_300, failures=0, rate=750.0, p99=0.0041),
    EndpointProgress(name="POST /orders", requests=3_100, failures=12, rate=None, p99=None),
]


@pytest.mark.parametrize(("lines", "rows"), [(24, 0), (39, 0), (40, 3), (60, 3)])
def test_a_tall_terminal_has_a_row_for_each_endpoint(lines: int, rows: int) -> None:
    written = on_a_terminal(80, [replace(snapshot(12.4), endpoints=lambda: ROWS)], lines=lines)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.replace("\x1b[1A", "\n")).replace("\r", "").splitlines()
    assert (
        shown[1 : 1 + rows]
        == [
            "endpoint         requests  failed       /s  p99 in 3 s",
            "  GET /             9,300       0      750      4.1 ms",
            "  POST /orders      3,100      12        -           -",
        ][:rows]
    )
    assert any(line.startswith("endpoint ") for line in shown) is bool(rows)


def test_who_has_interrupted_is_told_how_to_end_it_at_once() -> None:
    written = on_a_terminal(120, [replace(snapshot(12.4, "draining"), is_interrupted=True)])
    assert "  stopping, Ctrl-C again ends it at once  12s/30s   12,400 requests" in written


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
        "[1.0 s of 30s] browse, running: 1,000 requests, 0 failed, 1,002/s, p99 12.3 ms in 3 s\r\n"
    )


def test_quiet_is_quiet() -> None:
    log = io.StringIO()
    shown(log, WHOLE_RUN, quiet=True)
    assert not log.getvalue()


def test_a_stream_that_takes_nothing_does_not_fail_the_run(tmp_path: Path) -> None:
    closed = (tmp_path / "log").open("w")
    closed.close()
    reading, nobody_reads = os.pipe()
    os.close(reading)
    for stream in (
        closed,
        *(io.TextIOWrapper(io.FileIO(to, "w"), write_through=True) for to in (nobody_reads, "/dev/full")),
    ):
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


def test_a_stream_without_the_characters_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    shown(stream, [snapshot(0.0, name="tée")])
    assert raw.getvalue() == b"[0.0 s of 30s] t\\xe9e, running: 0 requests, 0 failed\n"
