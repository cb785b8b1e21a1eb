"""A stream that never fails the run: what cannot be written to a closed, full or gone stderr is let go."""

from __future__ import annotations

import os
import shutil
from typing import TextIO


class Unbreakable:
    """Enough of a text file for `print` and rich, over one that may break at any time.

    rich answers a broken pipe by turning stdout into /dev/null and leaving the program, and the report with it:
    it must never see one.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_broken = False
        self.encoding = getattr(stream, "encoding", None) or "ascii"

    def write(self, text: str) -> int:
        """Write what the encoding has, the rest as escapes."""
        shown = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        try:
            if not self._is_broken:
                self._stream.write(shown)
        except (OSError, ValueError):
            self._is_broken = True
        return len(text)

    def flush(self) -> None:
        """Send what was written, if there is still somebody."""
        try:
            if not self._is_broken:
                self._stream.flush()
        except (OSError, ValueError):
            self._is_broken = True

    def isatty(self) -> bool:
        """It is a terminal, and open."""
        try:
            return self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """The file descriptor, for who asks the terminal something."""
        return self._stream.fileno()

    def columns(self) -> int:
        """How wide the terminal is now: it may be resized during a run."""
        try:
            return os.get_terminal_size(self.fileno()).columns or 80
        except (OSError, ValueError):
            return shutil.get_terminal_size().columns
