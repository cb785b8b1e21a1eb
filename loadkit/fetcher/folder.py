"""The output folder: files are written as `name.part` and renamed when complete; links are never followed.

Everything is opened relative to a folder that is open already, so that no path is looked up twice, and a link that
somebody puts in the place of a folder is not followed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from loadkit.fetcher.filenames import GENERATED
from loadkit.plan.errors import UsageError, reason_of

BLOCK: Final = 1 << 20
PART: Final = ".part"
FOLDERS_OPEN: Final = 4
"""Subfolders that a thread keeps open."""
DEEPEST: Final = 20
"""Nested folders that a path in a manifest, which anybody may have written, may have."""
MOST_ORPHANS: Final = 10_000

_PARTS = re.compile(rf"(?:{GENERATED.pattern}|.*\.\d+-[0-9a-f]{{16}})\.part")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SCRATCH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class NameTaken(OSError):
    """There is another file of that name already."""


class OutputFolder:
    """The folder, for one thread: it keeps a few subfolders open. Paths are those below the folder."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict[str, int] = OrderedDict()

    def close(self) -> None:
        """Close all subfolders."""
        for handle in (*self._open.values(), self._root):
            os.close(handle)
        self._open.clear()

    def create(self, path: str) -> int:
        """Create a file; raises `OSError`."""
        folder, name = self._at(path)
        return os.open(name, _NEW, 0o666, dir_fd=folder)

    def create_unnamed(self, path: str) -> int:
        """Create a file without a name, to be written and read again; raises `OSError`."""
        name = path.rpartition("/")[2]
        handle = os.open(name, _SCRATCH, 0o600, dir_fd=self._root)
        os.unlink(name, dir_fd=self._root)
        return handle

    def write(self, path: str, content: bytes | memoryview) -> None:
        """Create a file with this content; raises `OSError`."""
        handle = self.create(path)
        try:
            if content:
                write_all(handle, content)
        finally:
            os.close(handle)

    def rename(self, path: str, target: str) -> None:
        """Rename a file within its folder, replacing one of an earlier run."""
        folder, name = self._at(path)
        os.rename(name, target.rpartition("/")[2], src_dir_fd=folder, dst_dir_fd=folder)

    def rename_new(self, path: str, target: str) -> None:
        """The same; raises `NameTaken` if there is a file of that name."""
        folder, name = self._at(path)
        try:
            os.link(name, target.rpartition("/")[2], src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise NameTaken(f"there is a file {target} already") from None
        os.unlink(name, dir_fd=folder)

    def remove(self, path: str) -> None:
        """Remove a file, if there is one."""
        with contextlib.suppress(OSError):
            folder, name = self._at(path, make=False)
            os.unlink(name, dir_fd=folder)

    def holds(self, path: str, size: int | None, sha256: str | None = None) -> bool:
        """True if there is a file of this size at the path, and with this content. None is outside the folder."""
        if ".." in path.split("/") or path.startswith("/") or path.count("/") > DEEPEST:
            return False
        try:
            folder, name = self._at(path, make=False)
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                return False
            if sha256 is None:
                return True
            with os.fdopen(os.open(name, _OLD, dir_fd=folder), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except (OSError, ValueError):
            return False

    def _at(self, path: str, *, make: bool = True) -> tuple[int, str]:
        """The descriptor of the folder of a path, and the name in it."""
        folder, _, name = path.rpartition("/")
        return self._folder(folder, make=make) if folder else self._root, name

    def _folder(self, folder: str, *, make: bool) -> int:
        known = self._open.get(folder)
        if known is not None:
            self._open.move_to_end(folder)
            return known
        within, name = self._at(folder, make=make)
        try:
            found = os.open(name, _FOLDER, dir_fd=within)
        except FileNotFoundError:
            if not make:
                raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=within)
            found = os.open(name, _FOLDER, dir_fd=within)
        self._open[folder] = found
        if len(self._open) > FOLDERS_OPEN:
            # the parent of the one just opened is among the newest
            os.close(self._open.popitem(last=False)[1])
        return found


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write all of it; if the disk takes a part only, writing the rest raises `OSError`."""
    went = os.write(handle, data)
    if went < len(data):
        view = memoryview(data)[went:]
        while view:
            view = view[os.write(handle, view) :]


def clean_up(root: Path, is_known: Callable[[str], bool]) -> dict[str, str]:
    """Remove the part files that a killed run left behind; links are neither followed nor removed.

    Returns the files with generated names that the manifest does not know, by their stems: the kill came between the
    file and its line. They are replaced when their URL is fetched again.
    """
    orphans: dict[str, str] = {}
    for path, name in _files(root):
        if _PARTS.fullmatch(name):
            (root / path).unlink(missing_ok=True)
        elif len(orphans) < MOST_ORPHANS and GENERATED.fullmatch(name) and not is_known(path):
            orphans[name.rpartition(".")[0]] = path
    return orphans


def _files(root: Path, within: str = "") -> Iterator[tuple[str, str]]:
    with os.scandir(root / within) as entries:
        for entry in entries:
            path = f"{within}/{entry.name}" if within else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _files(root, path)
            elif entry.is_file(follow_symlinks=False):
                yield path, entry.name


def open_regular_file(path: Path, flags: int, mode: int = 0o666) -> int:
    """Open a regular file with one name, created if needed; raises `UsageError` for a link of either kind."""
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason_of(error)}") from None
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return handle
    os.close(handle)
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"cannot write {path}: it is no plain file")
    raise UsageError(f"cannot write {path}: it is a hard link, and has another name elsewhere; put a copy in its place")


class LinesFile:
    """A file that lines are appended to, each of them whole or not at all."""

    def __init__(self, path: Path) -> None:
        """Open or create it; raises `UsageError` as `open_regular_file` does."""
        self.path = path
        self.handle = open_regular_file(path, os.O_RDWR | os.O_APPEND)
        self.size = os.fstat(self.handle).st_size

    def cut(self, size: int) -> None:
        """Cut off what follows `size` bytes; raises `OSError`."""
        if size != self.size:
            os.ftruncate(self.handle, size)
            self.size = size

    def append(self, line: bytes) -> int:
        """Append a line and return its offset; raises `OSError`, and then no part of the line is there."""
        if self.handle < 0:
            # a late thread must not write into another file that was given the descriptor
            raise OSError(errno.EBADF, f"{self.path.name} is closed")
        try:
            if len(line) <= BLOCK:
                write_all(self.handle, line + b"\n")
            else:  # without a copy of it
                write_all(self.handle, line)
                write_all(self.handle, b"\n")
        except OSError:
            os.ftruncate(self.handle, self.size)
            raise
        begin = self.size
        self.size += len(line) + 1
        return begin

    def close(self) -> None:
        """Flush it to the disk and close it."""
        handle, self.handle = self.handle, -1
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
