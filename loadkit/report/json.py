"""The stored result: written whole or not at all, read with all its laws checked."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from loadkit.judge.result import VERSION, Result
from loadkit.plan.errors import OutputError, UsageError

SCHEMA_FILE = Path(__file__).with_name("result.schema.json")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside it, to the disk, then in its place.

    Raises `OutputError` naming the path and the reason.
    """
    try:
        if _is_special(path):
            path.write_text(text, encoding="utf-8")
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            _as_open_would(name)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def _is_special(path: Path) -> bool:
    """A pipe or device, such as /dev/stdout: written into, never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _as_open_would(name: str) -> None:
    """Give a file the permissions a plain open would have given it; mkstemp's are for secrets."""
    mask = os.umask(0)
    os.umask(mask)
    Path(name).chmod(0o666 & ~mask)


def check_writable(path: Path) -> None:
    """See, before anything is sent, that a file can be written there; `UsageError` if not."""
    if _is_special(path):
        return
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        Path(name).unlink()
        if path.is_dir():
            raise IsADirectoryError(0, "it is a directory")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None


def dump(results: list[Result]) -> str:
    """One result as an object, several as a list of objects."""
    content = msgspec.json.encode(results[0] if len(results) == 1 else results)
    return msgspec.json.format(content, indent=1).decode() + "\n"


def load(path: Path) -> list[Result]:
    """The results in a file.

    Raises `UsageError` naming the file and the place for one that is not a result of this version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    try:
        if content.lstrip().startswith(b"["):
            return msgspec.json.decode(content, type=list[Result])
        return [msgspec.json.decode(content, type=Result)]
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not a loadkit result of version {VERSION}: {error}") from None


def schema() -> dict[str, Any]:
    """The JSON Schema of a stored result."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Result)}
