"""The folder the bodies go into: written as `name.part`, put in place whole, no link followed, nothing outside.

Everything is opened relative to a folder that is open already, so no path is looked up twice and a link that somebody
puts in its place is not followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from codecs import BOM_UTF8, getincrementaldecoder
from collections import OrderedDict
from collections.abc import Callable, Iterator
from mmap import mmap
from pathlib import Path
from typing import Final

import msgspec

from loadkit.fetcher.filenames import GENERATED, FilePath
from loadkit.plan.errors import UsageError, reason_of
from loadkit.wire.base import BrokenExchange, Failure

PART: Final = ".part"
KEPT_OPEN: Final = 4

MOST_ORPHANS: Final = 10_000

_PARTS = re.compile(rf"(?:{GENERATED.pattern}|.*\.\d+-[0-9a-f]{{16}})\.part")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SCRATCH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class NameTaken(OSError):
    """There is a file of that name already, and it is not this one."""


class OutputFolder:
    """The folder as one thread writes to it; not shared, for it keeps a few subfolders open."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict[str, int] = OrderedDict()

    def close(self) -> None:
        """Close what is open."""
        for handle in (*self._open.values(), self._root):
            os.close(handle)
        self._open.clear()

    def create(self, place: FilePath, tag: str = "") -> int:
        """A new file beside the place, to be put there by `put`; raises `OSError`."""
        return os.open(f"{place.name}{tag}{PART}", _NEW, 0o666, dir_fd=self._at(place.folder))

    def scratch(self, place: FilePath) -> int:
        """A file without a name, to be written and read again; raises `OSError`."""
        name = f"{place.name}{PART}"
        handle = os.open(name, _SCRATCH, 0o600, dir_fd=self._root)
        os.unlink(name, dir_fd=self._root)
        return handle

    def fill(self, place: FilePath, tag: str, content: bytes | memoryview) -> None:
        """A new file beside the place with all of its content; raises `OSError`."""
        handle = os.open(f"{place.name}{tag}{PART}", _NEW, 0o666, dir_fd=self._at(place.folder))
        try:
            if content:
                write_all(handle, content)
        finally:
            os.close(handle)

    def put(self, place: FilePath, tag: str = "") -> None:
        """Rename the part to its name. Whatever had that name was ours and is replaced."""
        folder = self._at(place.folder)
        os.rename(f"{place.name}{tag}{PART}", place.name, src_dir_fd=folder, dst_dir_fd=folder)

    def put_new(self, place: FilePath, tag: str = "") -> None:
        """The same, but `NameTaken` if there is a file of that name."""
        folder, part = self._at(place.folder), f"{place.name}{tag}{PART}"
        try:
            os.link(part, place.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise NameTaken(f"there is a file {place} already") from None
        os.unlink(part, dir_fd=folder)

    def drop(self, place: FilePath, tag: str = "") -> None:
        """Remove the part, if it is there."""
        with contextlib.suppress(OSError):
            os.unlink(f"{place.name}{tag}{PART}", dir_fd=self._at(place.folder))

    def remove(self, place: FilePath) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(OSError):
            os.unlink(place.name, dir_fd=self._at(place.folder))

    def size(self, place: FilePath) -> int:
        """Its size in bytes, -1 if there is no such file."""
        try:
            found = os.stat(place.name, dir_fd=self._at(place.folder, make=False), follow_symlinks=False)
        except OSError:
            return -1
        return found.st_size if stat.S_ISREG(found.st_mode) else -1

    def open(self, place: FilePath) -> int:
        """A file to be read; raises `OSError`."""
        return os.open(place.name, _OLD, dir_fd=self._at(place.folder, make=False))

    def hash(self, place: FilePath) -> str:
        """The SHA-256 of a file, empty if it cannot be read."""
        try:
            handle = self.open(place)
        except OSError:
            return ""
        with os.fdopen(handle, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _at(self, folder: str, *, make: bool = True) -> int:
        if not folder:
            return self._root
        known = self._open.get(folder)
        if known is not None:
            self._open.move_to_end(folder)
            return known
        parent, _, name = folder.rpartition("/")
        within = self._at(parent, make=make)
        try:
            found = os.open(name, _FOLDER, dir_fd=within)
        except FileNotFoundError:
            if not make:
                raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=within)
            found = os.open(name, _FOLDER, dir_fd=within)
        self._open[folder] = found
        if len(self._open) > KEPT_OPEN:
            # the parent of the one just opened is among the newest
            os.close(self._open.popitem(last=False)[1])
        return found


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write everything; a disk that takes a part of it raises when asked for the rest."""
    went = os.write(handle, data)
    if went < len(data):
        view = memoryview(data)[went:]
        while view:
            view = view[os.write(handle, view) :]


def sweep(root: Path, is_known: Callable[[str], bool]) -> dict[str, str]:
    """Remove the parts that a run which was killed left behind.

    Tells which files of our names the manifest does not know, by their stems: the kill came between the file and its
    line. They are replaced when their URL is fetched again. Links are neither followed nor removed.
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


BLOCK: Final = 1 << 20


def open_regular_file(path: Path, flags: int, mode: int = 0o666) -> int:
    """A plain file of one name, made if need be: no link of either kind is written through. `UsageError` if not."""
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


class JsonLinesFile:
    """The file, and how long it is. Written to by whoever holds the manifest's lock: the two belong together."""

    def __init__(self, path: Path, size: int) -> None:
        """Continue after `size` bytes: what is behind them was not in the manifest when a run was killed."""
        self.path = path
        self._handle = open_regular_file(path, os.O_RDWR)
        try:
            _check_rest(path, self._handle, size)
            os.ftruncate(self._handle, size)
            os.lseek(self._handle, size, os.SEEK_SET)
        except OSError as error:
            os.close(self._handle)
            raise UsageError(f"cannot write {path}: {reason_of(error)}") from None
        except UsageError:
            os.close(self._handle)
            raise
        self._size = size

    def write(self, line: bytes) -> int:
        """Append a line; where it begins. Raises `OSError`, and then no part of it is there."""
        begin = self._size
        try:
            # a large one by itself, for joining it to its end takes another copy
            for part in (line, b"\n") if len(line) > BLOCK else (line + b"\n",):
                write_all(self._handle, part)
        except OSError:
            os.ftruncate(self._handle, begin)
            os.lseek(self._handle, begin, os.SEEK_SET)
            raise
        self._size += len(line) + 1
        return begin

    def close(self) -> None:
        """Bring it to the disk."""
        try:
            os.fsync(self._handle)
        finally:
            os.close(self._handle)


def _check_rest(path: Path, handle: int, size: int) -> None:
    """A kill leaves a line or the beginning of one that is not in the manifest; more than that is not cut off."""
    end = os.fstat(handle).st_size
    blocks = (os.pread(handle, BLOCK, start) for start in range(size, end, BLOCK))
    if sum(block.count(b"\n") for block in blocks) > 1:
        raise UsageError(
            f"the manifest tells of the first {size:,} bytes of {path}, which has {end:,}; append to another file, or "
            f"cut off the rest: truncate -s {size} {path}"
        )


def compact(content: bytes | mmap) -> bytes:
    """JSON without blanks between its parts, on one line; raises `BrokenExchange` for what is no JSON."""
    whole = memoryview(content)
    try:
        text = whole[len(BOM_UTF8) :] if bytes(whole[: len(BOM_UTF8)]) == BOM_UTF8 else whole
        _check_utf8(text)
        msgspec.json.decode(text, type=msgspec.Raw)
        return msgspec.json.format(text, indent=-1)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise BrokenExchange(Failure("check", f"the reply is no JSON, so no line: {error}")) from None


def _check_utf8(text: memoryview) -> None:
    """Raise `UnicodeDecodeError` for what is not; in blocks, for a text takes up to four times as much."""
    decode = getincrementaldecoder("utf-8")().decode
    for start in range(0, len(text), BLOCK):
        decode(text[start : start + BLOCK])
    decode(b"", final=True)
