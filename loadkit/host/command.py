"""How a module of this package is run by a process of its own, with the interpreter and the package of this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import loadkit


def module_command(module: str, *words: str, python: str = sys.executable) -> list[str]:
    """The command that runs a module; `-P` keeps the working directory off its path."""
    return [python, "-P", "-m", module, *words]


def module_environment() -> dict[str, str]:
    """Our environment, with the folder this loadkit was imported from: a checkout need not be on the child's path."""
    folders = [str(Path(loadkit.__path__[0]).parent), os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
