"""The account of a fetch, a JSON line for each URL that was settled, written when it was.

A line is written after the file it tells of is in place, with one call, and a line that was cut by a kill is cut off
before the next run writes on. The last line of a key counts. Nothing of it is kept in memory but digests.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec

from loadkit.fetcher.folder import open_regular_file, write_all
from loadkit.plan.errors import UsageError

FILE: Final = "manifest.jsonl"
LOCK: Final = "manifest.lock"
BLOCK: Final = 1 << 20

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


@dataclass(frozen=True, slots=True)
class FetchReply:
    """One URL that was settled: `error` is None and `file` is where its body is, or `error` says why it failed.

    `file` is a path, None where there is no body; `seconds` is its response time. What is secret in `url` is masked.
    """

    url: str
    status: int | None
    file: Path | None
    bytes: int | None
    seconds: float
    error: str | None
    attempts: int = 0
    position: int = 0
    sha256: str | None = None
    final_url: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it was fetched."""
        return self.error is None


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
        self._handle = open_regular_file(self.path, os.O_RDWR | os.O_APPEND)
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


def _locked(root: Path, manifest: int) -> int:
    """The lock of a folder, held as long as it is open; `UsageError` if another run has it."""
    path = root / LOCK
    writers = os.fstat(manifest).st_mode & 0o222
    while True:
        handle = open_regular_file(path, os.O_RDWR, 0o600)
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
