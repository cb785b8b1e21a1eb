"""Many JSON replies in one file, a line each, in the order in which they came."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from loadkit.jobs.fetch.folder import write_all
from loadkit.plan.errors import UsageError
from loadkit.wire.base import BrokenExchange, Failure


class Appended:
    """The file, and how long it is. Written to by whoever holds the manifest's lock: the two belong together."""

    def __init__(self, path: Path, size: int) -> None:
        """Continue after `size` bytes: what is behind them was not in the manifest when a run was killed."""
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._handle = os.open(path, flags, 0o666)
            os.ftruncate(self._handle, size)
            os.lseek(self._handle, size, os.SEEK_SET)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None
        self._size = size

    def write(self, data: bytes) -> int:
        """Append it; where it begins. Raises `OSError`, and then no part of it is there."""
        begin = self._size
        try:
            write_all(self._handle, data)
        except OSError:
            os.ftruncate(self._handle, begin)
            os.lseek(self._handle, begin, os.SEEK_SET)
            raise
        self._size += len(data)
        return begin

    def close(self) -> None:
        """Bring it to the disk."""
        try:
            os.fsync(self._handle)
        finally:
            os.close(self._handle)


def compact(content: bytes) -> bytes:
    """JSON without blanks between its parts, on one line; raises `BrokenExchange` for what is no JSON."""
    try:
        text = content.decode("utf-8-sig")
        msgspec.json.decode(text, type=msgspec.Raw)
        return msgspec.json.format(text, indent=-1).encode()
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise BrokenExchange(Failure("check", f"the reply is no JSON, so no line: {error}")) from None
