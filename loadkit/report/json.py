"""The stored result: written whole or not at all, read with all its laws checked."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadkit.judge.result import VERSION, Result, Stored
from loadkit.judge.validate import violations
from loadkit.plan.errors import OutputError, UsageError, reason_of
from loadkit.report.earlier import may_be_earlier, of_today
from loadkit.report.layout import LONGEST, Layout
from loadkit.report.version_1 import upgraded

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAYOUT: Final = Layout(width=LONGEST)
_REASON: Final = 300

SCHEMA_FILE = Path(__file__).with_name("result.schema.json")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside it, to the disk, then in its place.

    Raises `OutputError` naming the path and the reason.
    """
    try:
        # where a link points to: the file is replaced, and not the link
        target = _resolved(path)
        if _is_special(path):
            path.write_text(text, encoding="utf-8")
        else:
            _replace(target, text.encode())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, without waiting for the disk; it replaces a link, and not what that points to.

    Raises `OutputError` naming the path and the reason.
    """
    try:
        _replace(path, content, is_lasting=False)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error


def _resolved(path: Path) -> Path:
    """Where a path leads; `OSError` where another user may have put a link for us to follow.

    The rule of `fs.protected_symlinks` in Linux, which knows of the links only that the kernel follows.
    """
    with contextlib.suppress(RuntimeError):  # a loop, which the kernel names
        found = path.resolve()
        _check_links(path.absolute())
        return found
    path.stat()
    return path


def _check_links(path: Path) -> None:
    for part in (*reversed(path.parents), path):
        if part.is_symlink():
            if _is_unsafe(part.lstat(), part.parent.stat()):
                raise PermissionError(errno.EACCES, f"{part} is a link of another user in a folder for all")
            _check_links(part.parent.resolve() / part.readlink())


def _is_unsafe(link: os.stat_result, folder: os.stat_result) -> bool:
    is_for_all = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    return bool(is_for_all) and link.st_uid not in (os.geteuid(), folder.st_uid)


def _is_special(path: Path) -> bool:
    """A pipe or device, such as /dev/stdout: written into, never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _replace(path: Path, content: bytes, *, is_lasting: bool = True) -> None:
    handle, name = _beside(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if is_lasting:
                os.fsync(file.fileno())
        name.replace(path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> tuple[int, Path]:
    """A new file beside another one, with the permissions of that, or those that any new file has."""
    # not named after the file, whose name may be as long as a name can be
    name = path.with_name(f".loadkit-{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    handle = os.open(name, flags, 0o666 if mode is None else 0o600)
    if mode is not None:
        os.fchmod(handle, mode)
    return handle, name


def check_writable(path: Path) -> None:
    """See, before anything is sent, that a file can be written there; `UsageError` if not."""
    try:
        target = _resolved(path)
        if _is_special(path):
            return
        if path.is_dir():
            raise IsADirectoryError(0, "it is a directory")
        handle, name = _beside(target)
        os.close(handle)
        name.unlink()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason_of(error)}") from None


def dump(results: Sequence[Result]) -> str:
    """A document of results, one shape however many there are."""
    return msgspec.json.format(encoded(results), indent=1).decode() + "\n"


def encoded(results: Sequence[Result]) -> bytes:
    """The same document in one line."""
    return msgspec.json.encode(Stored(version=VERSION, results=list(results)))


def load(path: Path) -> list[Result]:
    """The results in a file.

    Raises `UsageError` naming the file and the place for one that holds no results, or unsound ones.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; name its files, like {path / '*.json'}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {reason_of(error)}") from None
    results = _decoded(content, path)
    if not results:
        raise UsageError(f"{path} holds no result")
    for result in results:
        for sentence in violations(result):
            raise UsageError(f"{path} is not a sound result: {sentence}")
    return results


class _Head(msgspec.Struct):
    version: int


def _decoded(content: bytes, path: Path) -> list[Result]:
    version = VERSION
    try:
        found = msgspec.json.decode(content, type=_Head | list[_Head])
        version = _version(found)
        if version == VERSION and may_be_earlier(content):
            return of_today(msgspec.json.decode(content)).results
        if version == VERSION:
            return msgspec.json.decode(content, type=Stored).results
        if version == 1:
            return upgraded(msgspec.json.decode(content))
    except (msgspec.DecodeError, RecursionError) as error:
        # which may quote a value of any length
        why = _LAYOUT.ellipsize(str(error), _REASON)
        raise UsageError(f"{path} is not a loadkit result of version {version}: {why}") from None
    raise UsageError(_another_version(path, version))


def _version(found: _Head | list[_Head]) -> int:
    """The version of a file; the first was an object or a list of them, each with its own."""
    if isinstance(found, _Head):
        return found.version
    return next((head.version for head in found if head.version != 1), 1)


def _another_version(path: Path, version: int) -> str:
    hint = "a newer loadkit wrote it; read it with that one" if version > VERSION else "measure again"
    return f"{path} is a result of version {version}, and this loadkit reads version {VERSION}; {hint}"


def schema() -> dict[str, Any]:
    """The JSON Schema of a file of results. `SCHEMA_FILE` is this, written down."""
    made = msgspec.json.schema(Stored)
    for part in made["$defs"].values():
        part["description"] = cleandoc(part["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "loadkit results", **made}
