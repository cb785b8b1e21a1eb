"""The environment of a revision: what the `prepare` command of its scenario sets up before its server is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from loadkit.plan.errors import Interrupted, UsageError
from loadkit.server.child_process import child_process
from loadkit.server.serving import Served

WITHIN: Final = 600.0
"""Seconds that a command may take."""


def prepare(command: str, server: Served, copy: Path, stops: Callable[[], int], within: float = WITHIN) -> bool:
    """Run a command line for the shell where a server of a copy of the project starts; True if it installed something.

    A virtual environment of the copy's own comes first on its PATH. Raises `UsageError` with the end of its output
    where the command fails or takes too long, and `Interrupted` where `stops` tells that the user asked to stop.
    """
    venv = copy / ".venv"
    environment = dict(server.environment or os.environ)
    _run([sys.executable, "-m", "venv", str(venv)], f"python -m venv {venv}", copy, environment, stops, WITHIN)
    before = _installed(venv)
    _run(["/bin/sh", "-c", command], command, server.cwd, _within(venv, environment), stops, within)
    return _installed(venv) != before


def in_environment(server: Served, copy: Path) -> Served:
    """A server as it is started in the virtual environment of a copy of its project."""
    venv = copy / ".venv"
    python = str(venv / "bin" / "python")
    app = server.app if isinstance(server.app, str) else tuple(_program(word, venv) for word in server.app)
    import_path = tuple(_import_path(server.import_path, python))
    environment = _within(venv, server.environment or os.environ)
    return replace(server, app=app, import_path=import_path, environment=environment, python=python)


def _within(venv: Path, environment: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join((str(venv / "bin"), environment.get("PATH", os.defpath)))
    return {**environment, "VIRTUAL_ENV": str(venv), "PATH": path}


def _run(
    words: Sequence[str],
    shown: str,
    folder: Path,
    environment: Mapping[str, str],
    stops: Callable[[], int],
    within: float,
) -> None:
    with child_process(words, environment=environment, cwd=folder) as child:
        child.await_ready(lambda: "" if child.exit_code is not None or stops() else "it runs", within)
        if stops():
            raise Interrupted(f"interrupted while prepare {shown!r} ran")
        if child.exit_code:
            raise UsageError(f"prepare {shown!r} {child.describe_exit()}{child.tail()}")
        if child.exit_code is None:
            raise UsageError(f"prepare {shown!r} took more than {within:g} s{child.tail()}")


def _installed(venv: Path) -> set[str]:
    return {one.name for one in venv.glob("lib/python*/site-packages/*")}


def _program(word: str, venv: Path) -> str:
    """A program of our environment as that of the other one, where it has it."""
    other = venv / "bin" / Path(word).name
    return str(other) if Path(word).parent == Path(sys.prefix, "bin") and other.exists() else word


def _import_path(ours: Sequence[str], python: str) -> list[str]:
    """Where an application is looked for: folders of the project, what was installed for it, then what we have.

    The last has what serves the application, which is to be the same for both versions.
    """
    words = [python, "-I", "-c", "import json, sys; print(json.dumps(sys.path))"]
    theirs = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    packages = [folder for folder in ours if folder.endswith("-packages")]
    return [*(folder for folder in ours if folder not in packages), *theirs, *packages]
