"""Questions to a tool: is it there, which version is it, how many requests did it count?"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.cost.client import Load
from benchmarks.process import Failed, available_cores, run


def found_on_path(tool: str) -> Callable[[Path], str]:
    return lambda _folder: "" if shutil.which(tool) else f"{tool} is not on the PATH"


def complaint(command: Sequence[str | Path], folder: Path) -> str:
    """What a command that fails says, or nothing."""
    if not shutil.which(command[0]):
        return f"{command[0]} is not on the PATH"
    try:
        run(command, core=available_cores()[1], limit=60, folder=folder)
    except Failed as failure:
        return f"{Path(command[0]).name} fails: {failure}"
    return ""


def number_after(pattern: str) -> Callable[[Load, str], int]:
    """The count a tool prints; 0 when it prints none."""

    def claimed(_load: Load, output: str) -> int:
        found = re.search(pattern, output, re.MULTILINE)
        return int(found[1]) if found else 0

    return claimed


def says(command: list[str], pattern: str) -> Callable[[], str]:
    """The version a tool prints about itself; some do so on stderr, and with an exit code of 1."""

    def version() -> str:
        said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
        found = re.search(pattern, said.stdout + said.stderr)
        return found[1] if found else "?"

    return version


def python_package(name: str) -> Callable[[], str]:
    def version() -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "from the checkout"

    return version
