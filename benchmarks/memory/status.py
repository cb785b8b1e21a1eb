"""The last look at /proc/PID/status before a process ended."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000


@dataclass(slots=True)
class Memory:
    """What was seen last, in bytes, and the most threads seen at once."""

    peak: int = 0
    resident: int = 0
    threads: int = 0

    def look(self, pid: int) -> None:
        """A process that ends has no such lines any more: what was seen before stays."""
        with contextlib.suppress(OSError, KeyError):
            fields = _fields(Path(f"/proc/{pid}/status").read_text())
            peak, resident = (int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS"))
            self.peak, self.resident = peak, resident
            self.threads = max(self.threads, int(fields["Threads"]))


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}
