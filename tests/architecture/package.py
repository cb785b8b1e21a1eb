"""The files of the package, parsed once and only when a test asks: each process that collects tests imports this."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import loadkit

PACKAGE = Path(loadkit.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """A file as messages name it."""
    return path.relative_to(PACKAGE.parent).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """What is in a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All that is in a file, one after the other."""
    return list(ast.walk(tree(path)))
