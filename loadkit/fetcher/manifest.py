"""The account of a fetch, a JSON line for each URL that was settled, written when it was.

A line is written after the file it tells of is in place, with one call, and a line that was cut by a kill is cut off
before the next run writes on. The last line of a key counts. Nothing of it is kept in memory but digests.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec

from loadkit.fetcher.filenames import FAILED, GENERATED, FilePath
from loadkit.fetcher.folder import OutputFolder, write_all
from loadkit.fetcher.seen import DigestSet, digest_of
from loadkit.plan.errors import UsageError, reason_of

FILE: Final = "manifest.jsonl"
LOCK: Final = "manifest.lock"
BLOCK: Final = 1 << 20
DEEPEST: Final = 20
"""Folders within each other that a name of ours may have."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class ManifestLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One settled URL. `error` is None for a good one; `file` is relative to the folder.

    A line that does not have values such as we write is not read.
    """

    url: str
    position: Count = 0
    file: str | None = None
    status: Count | None = None
    bytes: Count | None = None
    """Of the file, after decoding."""
    sha256: str | None = None
    attempts: int = 0
    started: float = 0.0
    """Seconds since 1970, of the first attempt."""
    seconds: float = 0.0
    """From the instant its last attempt was due to the last byte of the reply."""
    error: str | None = None
    kind: str | None = None
    method: str = "GET"
    final_url: str | None = None
    """Where redirects led."""
    offset: Count | None = None
    """Where its line begins in the file that replies are appended to."""
    key: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})?$")] = ""
    """Sixteen hexadecimal digits by which the next run knows the request; secrets in `url` are masked."""


_FOLDERS = re.compile(rf"(?:{FAILED})?/?(?:\d{{4,}})?")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ManifestLine).decode


class Manifest:
    """The open file; as long as it is open, other runs are locked out.

    The lock is a file that only those can open who may write the manifest: whoever may read one can lock it.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / FILE
        self.lock = threading.Lock()
        """Held while a line is written; whoever writes more than the line holds it for both."""
        self.began_at = 0
        """Where this run's lines begin."""
        self._handle = opened(self.path, os.O_RDWR | os.O_APPEND)
        try:
            self._lock = _locked(root, self._handle)
            self._size = _without_torn_end(self._handle)
        except BaseException:
            os.close(self._handle)
            raise

    def begin(self) -> None:
        """From here on the lines are of this run."""
        self.began_at = self._size

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever settled here."""
        return not self._size

    @property
    def size(self) -> int:
        """Bytes of whole lines."""
        return self._size

    def append(self, line: ManifestLine) -> None:
        """Write a line; raises `OSError`, and then no part of it is there."""
        with self.lock:
            self.write(line)

    def write(self, line: ManifestLine) -> None:
        """The same for whoever holds the lock."""
        data = _encode(line) + b"\n"
        if self._handle < 0:
            # whoever is late must not write into a file that has got its number since
            raise OSError(errno.EBADF, "the manifest is closed")
        try:
            write_all(self._handle, data)
        except OSError:
            os.ftruncate(self._handle, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        """Bring it to the disk and let others in."""
        with self.lock:
            handle, self._handle = self._handle, -1
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
                with contextlib.suppress(OSError):
                    self.path.with_name(LOCK).unlink()
                os.close(self._lock)

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[ManifestLine]:
        """The lines between two offsets; what cannot be read is left out, for it proves nothing."""
        end = self._size if end is None else end
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end and (data := file.readline()):
                start += len(data)
                try:
                    yield _decode(data)
                except (msgspec.DecodeError, RecursionError):
                    continue


def opened(path: Path, flags: int, mode: int = 0o666) -> int:
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


def _locked(root: Path, manifest: int) -> int:
    """The lock of a folder, held as long as it is open; `UsageError` if another run has it."""
    path = root / LOCK
    writers = os.fstat(manifest).st_mode & 0o222
    while True:
        handle = opened(path, os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_there(path, handle):
                with contextlib.suppress(OSError):  # it is of another user, who lets us write
                    os.fchmod(handle, writers | writers << 1)
                return handle
        except BlockingIOError:
            os.close(handle)
            raise UsageError(f"another run is writing into {root}; wait for it, or fetch into another folder") from None
        except BaseException:
            os.close(handle)
            raise
        # it was taken away by the run that ended just now
        os.close(handle)


def _is_still_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _without_torn_end(handle: int) -> int:
    """Cut off a last line that a kill left without its end; the size that remains."""
    size = end = os.fstat(handle).st_size
    while end:
        begin = max(0, end - BLOCK)
        newline = os.pread(handle, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    if end != size:
        os.ftruncate(handle, end)
    return end


class PreviousRuns:
    """What earlier runs into this folder have proved: 16-64 bytes for each URL."""

    def __init__(self, *, duplicates: bool = False) -> None:
        self._duplicates = duplicates
        self.complete = DigestSet()
        self.refused = DigestSet()
        """Lines that were no URLs, and are in the manifest as such."""
        self.files = DigestSet()
        """Names that the manifest knows."""
        self.spoiled: dict[int, str] = {}
        """Files that are not what the manifest says of them, by `entry_key`."""
        self.failed: dict[int, str] = {}
        """Bodies of failed statuses, by `entry_key`."""
        self.appended = 0
        """Bytes of the appended file that are accounted for."""
        self.orphans: dict[str, str] = {}
        """Files of our names that no line tells of, by their names without extension."""

    def entry_key(self, key: int, position: int) -> int:
        """The digest of an entry of the list: where each copy of a URL is fetched, its position belongs to it."""
        return digest_of(f"{key:016x} {position}") if self._duplicates else key


def read_previous_runs(
    manifest: Manifest, output: OutputFolder, *, verify: bool, appended: Path | None, duplicates: bool = False
) -> PreviousRuns:
    """Hold every line against the disk: a file counts when it has its size, and with `verify` its content."""
    found = PreviousRuns(duplicates=duplicates)
    size = appended.stat().st_size if appended and appended.exists() else 0
    reader = appended.open("rb") if appended and size and verify else None
    try:
        for line in manifest.lines():
            key = found.entry_key(int(line.key, 16) if line.key else digest_of(line.url), line.position)
            if line.offset is not None:
                end = line.offset + (line.bytes or 0)
                if end <= size and (reader is None or _same_part(reader.fileno(), line)):
                    found.complete.add(key)
                    found.appended = max(found.appended, end)
            else:
                _take(found, line, key, output, verify=verify)
    finally:
        if reader:
            reader.close()
    return found


def _take(found: PreviousRuns, line: ManifestLine, key: int, output: OutputFolder, *, verify: bool) -> None:
    if line.file is None:
        if line.kind == "refused":
            found.refused.add(int(line.key, 16))
        return
    found.files.add(digest_of(line.file))
    if line.error is not None:
        found.failed[key] = line.file
    elif _is_whole(line, output, verify=verify):
        found.complete.add(key)
        found.spoiled.pop(key, None)
        found.failed.pop(key, None)
    else:
        found.spoiled[key] = line.file


def parse_path(file: str) -> FilePath:
    """A name out of the manifest; it leads nowhere but into the folder, whoever wrote it."""
    folder, _, name = file.rpartition("/")
    if ".." in file.split("/") or file.startswith("/") or "\0" in file or file.count("/") > DEEPEST:
        return FilePath(FAILED, "")
    return FilePath(folder, name)


def may_be_removed(file: str) -> bool:
    """Whether a name is one that we gave: a manifest may be anybody's, and name whatever is in the folder."""
    place = parse_path(file)
    return bool(_FOLDERS.fullmatch(place.folder) and GENERATED.fullmatch(place.name))


def _is_whole(line: ManifestLine, output: OutputFolder, *, verify: bool) -> bool:
    assert line.file is not None
    place = parse_path(line.file)
    if output.size(place) != line.bytes:
        return False
    return not verify or output.hash(place) == line.sha256


def _same_part(handle: int, line: ManifestLine) -> bool:
    assert line.offset is not None
    data = os.pread(handle, line.bytes or 0, line.offset)
    return hashlib.sha256(data.removesuffix(b"\n")).hexdigest() == line.sha256
