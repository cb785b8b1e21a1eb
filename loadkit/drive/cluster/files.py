"""The files that a scenario needs on another machine: its own, the modules beside it, and the data that it names."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadkit.plan.errors import UsageError, reason_of

LARGEST: Final = 64 << 20
"""Bytes of all files together: each goes through the scheduler to each machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What is laid on a machine, as it lies here."""

    files: Mapping[str, bytes]
    """By their paths below a folder."""
    folder: str
    """The working directory, below the same."""
    source: str
    """How the scenario is named from there."""


def upload_for(target: str, others: Sequence[Path] = ()) -> Upload:
    """The files of `file.py::name`, and others where they are named by relative paths.

    Raises `UsageError` for what cannot be read, or is too much.
    """
    here = Path.cwd()
    found = {here / path for path in others if not path.is_absolute() and (here / path).is_file()}
    name, separator, scenario = target.partition("::")
    if "://" in target:
        source = target
    else:
        file = Path(name).resolve()
        source = f"{os.path.relpath(file, here)}{separator}{scenario}"
        _find(file, here, found)
    paths = sorted(found)
    top = Path(os.path.commonpath([here, *(path.parent for path in paths)]))
    files, left = {}, LARGEST
    for path in paths:
        try:
            left -= path.stat().st_size
            if left < 0:
                raise UsageError(
                    f"{path} and the other files that {name} names are more than {LARGEST >> 20} MB; lay them on each "
                    "machine, and name them by an absolute path"
                )
            files[path.relative_to(top).as_posix()] = path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read {path}: {reason_of(error)}") from None
    return Upload(files=files, folder=here.relative_to(top).as_posix(), source=source)


def _find(file: Path, here: Path, found: set[Path]) -> None:
    """A file, and those that it names: modules beside it, and data beside it or in the working directory."""
    if file in found:
        return
    found.add(file)
    try:
        tree = ast.parse(file.read_bytes() if file.suffix == ".py" else b"")
    except (SyntaxError, ValueError):  # a file beside it that is only called like what it imports
        return
    for node in ast.walk(tree):
        for path in _modules(node, file.parent):
            _find(path, here, found)
        found.update(_data(node, [file.parent, here]))


def _modules(node: ast.AST, folder: Path) -> Iterator[Path]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names]
    for name in names:
        first = folder / name.partition(".")[0]
        yield from (path for path in (first.with_suffix(".py"), *first.glob("**/*.py")) if path.is_file())


def _data(node: ast.AST, folders: list[Path]) -> Iterator[Path]:
    """What a text in the file names: a file, or a folder with all that is in it; what is hidden is left out."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < 256):
        return
    relative = Path(node.value)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or "\0" in node.value:
        return
    for folder in folders:
        path = folder / relative
        for one in path.rglob("*") if path.is_dir() else [path]:
            below = one.relative_to(folder).parts
            if one.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in below):
                yield one
