"""The manifest of a folder: a JSON line for each URL that is done, written when it is done.

A line is written with one call after its file is in place. The next run cuts off a last line that a kill left
incomplete. Of the lines with one key the last one counts. Nothing but digests of it is kept in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec

from loadkit.fetcher.folder import BLOCK, LinesFile, open_regular_file
from loadkit.plan.errors import UsageError

FILE: Final = "manifest.jsonl"
LOCK: Final = "manifest.lock"
FIRST: Final = 4096
FULL: Final = 0.75
NAP: Final = 0.1
"""Seconds after which one that waits for a line looks again, so that signals are noticed."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class ManifestLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A URL that is done. `error` is None for a good one; `file` is relative to the folder.

    Lines with other kinds of values than are written here are not read.
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
    """From the instant the last attempt was due to the last byte of the reply."""
    error: str | None = None
    kind: str | None = None
    method: str = "GET"
    final_url: str | None = None
    """The URL that redirects led to."""
    offset: Count | None = None
    """Of its line in the file that replies are appended to."""
    key: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})?$")] = ""
    """Sixteen hexadecimal digits that identify the request for the next run; secrets in `url` are masked."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ManifestLine).decode


class Manifest:
    """The open manifest; as long as it is open, other runs into the folder are locked out.

    The lock is a file of its own, which only those can open who may write the manifest: everyone who may read a file
    can lock it.
    """

    def __init__(self, root: Path) -> None:
        self.lock = threading.RLock()
        """Held while a line is written, and the line of an appended reply with it."""
        self._has_line = threading.Condition(self.lock)
        self._waiting = 0
        """Threads that wait for a line."""
        self._file = LinesFile(root / FILE)
        self.path = self._file.path
        try:
            self._lock = _locked(root, self._file.handle)
            # another run may have ended just now
            self._file.size = os.fstat(self._file.handle).st_size
            self._file.cut(_end_of_lines(self._file))
        except BaseException:
            self._file.close()
            raise
        self._began_at = self._file.size
        self.was_empty = not self._began_at
        """True if nothing was fetched into the folder before this run."""

    def append(self, line: ManifestLine) -> None:
        """Write a line; raises `OSError`, and then no part of the line is there."""
        with self.lock:
            self._file.append(_encode(line))
            if self._waiting:
                self._has_line.notify_all()

    def close(self) -> None:
        """Flush it to the disk and release the lock."""
        with self.lock:
            try:
                self._file.close()
            finally:
                with contextlib.suppress(OSError):
                    self.path.with_name(LOCK).unlink()
                os.close(self._lock)
                self._has_line.notify_all()

    def follow(self) -> Iterator[ManifestLine]:
        """Yield the lines of this run as they are written, until the manifest is closed."""
        start, is_closed = self._began_at, False
        while not is_closed:
            with self.lock:
                if start == self._file.size and self._file.handle >= 0:
                    self._waiting += 1
                    self._has_line.wait(NAP)
                    self._waiting -= 1
                end, is_closed = self._file.size, self._file.handle < 0
            yield from self.lines(start, end)
            start = end

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[ManifestLine]:
        """Yield the lines between two offsets, without those that cannot be read."""
        end = self._file.size if end is None else end
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end and (data := file.readline()):
                start += len(data)
                try:
                    yield _decode(data)
                except (msgspec.DecodeError, RecursionError):
                    continue


def _locked(root: Path, manifest: int) -> int:
    """Open and lock the lock file of a folder; raises `UsageError` if another run has it."""
    path = root / LOCK
    writers = os.fstat(manifest).st_mode & 0o222
    while True:
        handle = open_regular_file(path, os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if not isinstance(error, BlockingIOError):
                raise
            raise UsageError(f"another run is writing into {root}; wait for it, or fetch into another folder") from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.lstat(), os.fstat(handle)):
                with contextlib.suppress(OSError):  # another user owns it and lets us write
                    os.fchmod(handle, writers | writers << 1)
                return handle
        # the run that held it has just ended and removed it
        os.close(handle)


def _end_of_lines(file: LinesFile) -> int:
    """The end of the last complete line; a kill leaves a part of another one behind it."""
    end = file.size
    while end:
        begin = max(0, end - BLOCK)
        newline = os.pread(file.handle, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


class DigestSet:
    """A set of 64-bit digests, by open addressing in one array.

    It takes 11-21 bytes for each digest, where a `set` of integers takes 75-85.
    Two different keys among a million share a digest with a probability of 3 in 100 million.
    """

    __slots__ = ("_count", "_mask", "_slots")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * FIRST))
        self._mask = FIRST - 1
        self._count = 0

    def __contains__(self, digest: int) -> bool:
        return bool(self._slots[self._slot_of(digest or 1)])

    def add(self, digest: int) -> bool:
        """Add a digest; True if it is new."""
        wanted = digest or 1  # 0 is an empty slot
        slot = self._slot_of(wanted)
        if self._slots[slot]:
            return False
        self._slots[slot] = wanted
        self._count += 1
        if self._count > FULL * self._mask:
            self._grow()
        return True

    def _slot_of(self, digest: int) -> int:
        slots, mask = self._slots, self._mask
        slot = digest & mask
        while (found := slots[slot]) and found != digest:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        before = self._slots
        self._slots = array("Q", bytes(16 * len(before)))
        self._mask = len(self._slots) - 1
        for digest in filter(None, before):
            self._slots[self._slot_of(digest)] = digest


def digest_of(text: str) -> int:
    """The 64-bit digest of a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
