"""The summary of a job on GitHub, to which each step of it may append Markdown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from loadkit.plan.errors import OutputError
from loadkit.report.files import append_line

LARGEST: Final = 1 << 20
"""Bytes of the summary of a step: of a larger one GitHub shows nothing."""
_NAME: Final = "GITHUB_STEP_SUMMARY"


def summary_file() -> Path | None:
    """The file whose Markdown is shown as the summary, where there is one."""
    name = os.environ.get(_NAME)
    return Path(name) if name else None


def append_summary(text: str) -> str | None:
    """Append to the summary where there is one; why it cannot be done, if so, which is a warning."""
    path = summary_file()
    if path is None:
        return None
    try:
        size = path.stat().st_size if path.exists() else 0
        if size + len(text.encode()) > LARGEST:
            return f"the summary of the job has no room left in {path}: a step may have 1 MiB"
        append_line(path, text)
    except (OSError, OutputError) as error:
        return f"the summary of the job was not written: {error}"
    return None
