"""Completed bodies: put in place under their names, then entered in the manifest; in this order."""

from __future__ import annotations

import hashlib
import os
from codecs import BOM_UTF8, getincrementaldecoder
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.fetcher.folder import NameTaken, open_regular_file, write_all
from loadkit.fetcher.manifest import ManifestLine, digest_of, may_be_removed
from loadkit.plan.errors import UsageError, reason_of
from loadkit.plan.redact import redact_url
from loadkit.plan.units import SECOND
from loadkit.wire.base import BrokenExchange, Failure

if TYPE_CHECKING:
    from mmap import mmap
    from pathlib import Path
    from threading import Lock

    from loadkit.fetcher.body import Body
    from loadkit.fetcher.folder import OutputFolder
    from loadkit.fetcher.manifest import Manifest, PreviousRuns
    from loadkit.fetcher.task import Task


class Store:
    """Where one thread puts bodies, and the manifest it shares with the others."""

    def __init__(
        self,
        output: OutputFolder,
        manifest: Manifest,
        previous: PreviousRuns,
        jsonl: JsonLinesFile | None,
        one_large_body: Lock,
        *,
        has_template: bool,
    ) -> None:
        self.output = output
        self._manifest = manifest
        self._previous = previous
        self._jsonl = jsonl
        self._one_large_body = one_large_body
        self._has_template = has_template

    def save(self, task: Task, body: Body, arrived: int) -> ManifestLine:
        """Save a good reply, and enter it. Raises `BrokenExchange` for its content, and `OSError` for the disk."""
        line = line_of(task, arrived)
        if self._jsonl:
            self._append(task, body, line, self._jsonl)
        else:
            self._save_file(task, body, line)
        return line

    def enter_failure(
        self, task: Task, failure: Failure, now: int, body: Body | None = None, *, sha256: str = ""
    ) -> ManifestLine:
        """Enter a URL that has failed for good, with the body that was kept of it; raises `OSError`."""
        line = line_of(task, now)
        line.status = task.status or None
        line.error, line.kind = failure.message, failure.kind
        if body and sha256:
            line.file, line.sha256, line.bytes = body.decision.path, sha256, body.size
        self._manifest.append(line)
        if line.file:
            self._remove_older(task, line.file)
        return line

    def keep_failed(self, task: Task, body: Body) -> str:
        """Put the body of a failed status in place; its SHA-256. Raises as `save` does."""
        path = body.decision.path
        assert path is not None
        sha256 = body.save()
        self.output.commit(path, tag_of(task) if self._has_template else "")
        return sha256

    def _save_file(self, task: Task, body: Body, line: ManifestLine) -> None:
        file = body.decision.path
        assert file is not None
        sha256 = body.save()
        previous = self._previous
        if not self._has_template:
            self.output.commit(file)
        elif file in previous.stale.get(previous.entry_key(task.request.key, task.request.position), ()):
            self.output.commit(file, tag_of(task))
        else:
            try:
                self.output.commit_new(file, tag_of(task))
            except NameTaken:
                # a file that no line names and that has just this content: a kill came before its line
                if digest_of(file) in previous.files or not self.output.holds(file, body.size, sha256):
                    raise
                body.discard()
        line.file, line.bytes, line.sha256 = file, body.size, sha256
        self._manifest.append(line)
        self._remove_older(task, file)

    def _append(self, task: Task, body: Body, line: ManifestLine, jsonl: JsonLinesFile) -> None:
        with self._one_large_body if body.is_large else nullcontext():
            content = compact_json(body.content())
            line.sha256 = hashlib.sha256(content).hexdigest()
            line.file, line.bytes = jsonl.path.name, len(content) + 1
            with self._manifest.lock:
                line.offset = jsonl.write(content)
                self._manifest.write(line)
        self._remove_older(task, "")

    def _remove_older(self, task: Task, file: str) -> None:
        """Remove what earlier runs left of this URL under other names."""
        previous = self._previous
        if not (previous.stale or previous.orphans):
            return
        key = previous.entry_key(task.request.key, task.request.position)
        stale = previous.stale.pop(key, [])
        stem = file.rpartition("/")[2].rpartition(".")[0]
        if stem in previous.orphans:
            stale.append(previous.orphans.pop(stem))
        for old in stale:
            if old != file and may_be_removed(old):
                self.output.remove(old)


def tag_of(task: Task) -> str:
    """What tells the part file apart from that of another task; names from a template need not be unique."""
    request = task.request
    return f".{request.position}-{request.key:016x}"


def line_of(task: Task, arrived: int) -> ManifestLine:
    """The line of a task that has ended; `arrived` is the instant of its last byte."""
    request, url = task.request, task.url
    return ManifestLine(
        url=_redacted(request.url.text),
        position=request.position,
        status=task.status,
        attempts=task.attempts,
        started=task.started,
        seconds=(arrived - task.due) / SECOND,
        method=request.method,
        final_url=None if url is request.url else _redacted(url.text),
        key=f"{request.key:016x}",
    )


def _redacted(url: str) -> str:
    """A URL as it is written into the manifest: whole, with what is secret in its query masked."""
    return redact_url(url) if "?" in url else url


BLOCK: Final = 1 << 20


class JsonLinesFile:
    """JSON replies in one file, a line each, in the order in which they arrived.

    It is written under the lock of the manifest, which holds where each line begins.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Continue after `size` bytes; what follows them is not in the manifest, as after a kill, and is cut off."""
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
        """Append a line and return its offset; raises `OSError`, and then no part of the line is there."""
        begin = self._size
        try:
            # a large line by itself: appending the newline to it would copy it
            for part in (line, b"\n") if len(line) > BLOCK else (line + b"\n",):
                write_all(self._handle, part)
        except OSError:
            os.ftruncate(self._handle, begin)
            os.lseek(self._handle, begin, os.SEEK_SET)
            raise
        self._size += len(line) + 1
        return begin

    def close(self) -> None:
        """Flush it to the disk and close it."""
        try:
            os.fsync(self._handle)
        finally:
            os.close(self._handle)


def _check_rest(path: Path, handle: int, size: int) -> None:
    """Refuse to cut off more than a kill leaves: one line, or the beginning of one, that is not in the manifest."""
    end = os.fstat(handle).st_size
    blocks = (os.pread(handle, BLOCK, start) for start in range(size, end, BLOCK))
    if sum(block.count(b"\n") for block in blocks) > 1:
        raise UsageError(
            f"the manifest tells of the first {size:,} bytes of {path}, which has {end:,}; append to another file, or "
            f"cut off the rest: truncate -s {size} {path}"
        )


def compact_json(content: bytes | mmap) -> bytes:
    """JSON on one line without blanks; raises `BrokenExchange` for what is no JSON."""
    whole = memoryview(content)
    try:
        text = whole[len(BOM_UTF8) :] if bytes(whole[: len(BOM_UTF8)]) == BOM_UTF8 else whole
        _check_utf8(text)
        msgspec.json.decode(text, type=msgspec.Raw)
        return msgspec.json.format(text, indent=-1)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise BrokenExchange(Failure("check", f"the reply is no JSON, so no line: {error}")) from None


def _check_utf8(text: memoryview) -> None:
    """Raise `UnicodeDecodeError` for what is not UTF-8; in blocks, for decoded text takes up to four times as much."""
    decode = getincrementaldecoder("utf-8")().decode
    for start in range(0, len(text), BLOCK):
        decode(text[start : start + BLOCK])
    decode(b"", final=True)
