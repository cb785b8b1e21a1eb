"""A line a request into a file, while a run is under way: no thread of the load waits for the disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from loadkit.measure.samples import SampleBuffer
from loadkit.plan.errors import UsageError, reason_of
from loadkit.report.files import open_anew
from loadkit.report.samples import FORMS, sample_lines

if TYPE_CHECKING:
    from loadkit.wire.base import Clock

EVERY: Final = 0.1
"""Seconds between two looks at what has come."""

PATIENCE: Final = 10.0
"""Seconds that the disk has, after a run, to take what is left."""


class SampleFile:
    """A file of samples, written from the first run on; `UsageError` where it cannot be, before anything is sent."""

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        if path.suffix not in FORMS:
            raise UsageError(f"--samples takes a file that ends in {' or '.join(FORMS)}, not {str(path)!r}")
        self.path = path
        self._patience = patience
        self._form = FORMS[path.suffix]
        self._written = 0
        self._reason = ""
        """Why the file takes no more."""
        self._is_held = False
        """A thread that waits for the disk may still write to it."""
        self._file = open_anew(path)
        self._writing = threading.Lock()
        self._write(self._form.head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_held:
            os.close(self._file)

    @contextmanager
    def during(self, scenario: str, clock: Clock) -> Iterator[SampleBuffer]:
        """What is put into this buffer while the block runs is written."""
        buffer, ended = SampleBuffer(clock), threading.Event()
        thread = threading.Thread(target=self._write_all, args=(scenario, buffer, ended), daemon=True)
        thread.start()
        try:
            yield buffer
        finally:
            ended.set()
            thread.join(self._patience)
            if thread.is_alive():
                self._is_held = True
                self._reason = self._reason or f"the disk took nothing for {self._patience:g} s"

    def missing(self, requests: int) -> str:
        """A sentence on what is not in it of so many that were measured; empty where all is."""
        lacks = requests - self._written
        if not lacks:
            return ""
        why = self._reason or "the disk did not keep up"
        return f"{self.path} lacks {lacks:,} of {requests:,} requests: {why}"

    def _write_all(self, scenario: str, buffer: SampleBuffer, ended: threading.Event) -> None:
        is_last = False
        while not is_last:
            is_last = ended.wait(EVERY)
            for some in buffer.take()[0]:
                for lines in sample_lines(self._form, scenario, some):
                    self._write(lines)

    def _write(self, text: str) -> None:
        """Write lines, as long as the file takes them; it ends with the last one that was whole."""
        content = memoryview(text.encode())
        gone = 0
        with self._writing:  # runs at the same time share the file
            if self._reason:
                return
            try:
                while gone < len(content):
                    gone += os.write(self._file, content[gone:])
            except OSError as error:
                self._reason = reason_of(error)
            self._written += bytes(content[:gone]).count(b"\n") if text != self._form.head else 0
