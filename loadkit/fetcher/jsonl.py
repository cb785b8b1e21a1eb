"""Many JSON replies in one file, a line each, in the order in which they came."""

from __future__ import annotations

import os
from codecs import BOM_UTF8, getincrementaldecoder
from mmap import mmap
from pathlib import Path
from typing import Final

import msgspec

from loadkit.fetcher.folder import write_all
from loadkit.fetcher.manifest import opened
from loadkit.plan.errors import UsageError, reason_of
from loadkit.wire.base import BrokenExchange, Failure

BLOCK: Final = 1 << 20


class JsonLinesFile:
    """The file, and how long it is. Written to by whoever holds the manifest's lock: the two belong together."""

    def __init__(self, path: Path, size: int) -> None:
        """Continue after `size` bytes: what is behind them was not in the manifest when a run was killed."""
        self.path = path
        self._handle = opened(path, os.O_RDWR)
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
