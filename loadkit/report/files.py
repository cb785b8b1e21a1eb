"""Files that are written whole or not at all, and through no link of other users."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from io import FileIO
from pathlib import Path

from loadkit.plan.errors import OutputError, UsageError, reason_of


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


def append_line(path: Path, line: str) -> None:
    """Append a line whole or not at all, whoever else appends to the file meanwhile.

    What an earlier writer left without an end, because it was killed, stays a line of its own. Raises `OutputError`
    naming the path and the reason.
    """
    import fcntl  # not on every system

    try:
        with _resolved(path).open("a+b", buffering=0) as file:
            # those of one file wait for each other, for one of them may have to take its own part back
            fcntl.flock(file, fcntl.LOCK_EX)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            is_open = file.read(1) not in (b"", b"\n")
            _append(file, f"{chr(10) * is_open}{line}\n".encode(), size)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error


def _append(file: FileIO, content: bytes, size: int) -> None:
    try:
        while content:
            content = content[file.write(content) :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(size)
        raise


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


def open_anew(path: Path) -> int:
    """The descriptor of a file that is empty now; `UsageError` where it cannot be written."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return os.open(_resolved(path), flags, 0o666)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason_of(error)}") from None


def check_writable(path: Path) -> None:
    """See, before anything is sent, that a file can be written there; `UsageError` if not."""
    try:
        target = _resolved(path)
        if _is_special(path):
            return
        if path.is_dir():
            raise IsADirectoryError(0, "it is a directory")
        # it would be replaced all the same, but whoever made it so means it
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        handle, name = _beside(target)
        os.close(handle)
        name.unlink()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason_of(error)}") from None
