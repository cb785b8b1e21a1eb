"""What loadkit keeps in a project: `.loadkit/` with a folder for each purpose, which git does not see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = ".loadkit"
Purpose: TypeAlias = Literal["baselines", "calibration", "history", "worktrees"]


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
