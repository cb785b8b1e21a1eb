"""What loadkit keeps in a project: `.loadkit/` with a folder for each purpose, which git does not see."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeAlias

from loadkit.judge.identity import project_of

FOLDER: Final = ".loadkit"
Purpose: TypeAlias = Literal["baselines", "calibration", "history", "worktrees"]


def current_project() -> Path:
    """The root of the project that the current folder is in, or that folder."""
    return project_of(Path.cwd()) or Path.cwd()


def kept_folder(top: Path, purpose: Purpose) -> Path:
    """The folder for this purpose in the project at `top`, made with what leads to it.

    Raises `OSError` where it cannot be made.
    """
    within = top / FOLDER
    within.mkdir(exist_ok=True)
    ignore = within / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    folder = within / purpose
    folder.mkdir(exist_ok=True)
    return folder
