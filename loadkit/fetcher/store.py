"""Completed bodies: put in place under their names, then entered in the manifest; in this order."""

from __future__ import annotations

import hashlib
import os
import re
from codecs import BOM_UTF8, getincrementaldecoder
from contextlib import nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from loadkit.fetcher.filenames import FAILED, GENERATED
from loadkit.fetcher.folder import BLOCK, LinesFile, NameTaken, OutputFolder, clean_up
from loadkit.fetcher.manifest import DigestSet, Manifest, ManifestLine, digest_of
from loadkit.plan.errors import UsageError, reason_of
from loadkit.plan.redact import redact_url
from loadkit.plan.units import SECOND
from loadkit.wire.base import BrokenExchange, Failure

if TYPE_CHECKING:
    from mmap import mmap
    from pathlib import Path

    from loadkit.fetcher.body import Body
    from loadkit.fetcher.options import FetchOptions
    from loadkit.fetcher.task import Task


_REMOVABLE = re.compile(rf"(?:{FAILED}/)?(?:\d{{4,}}/)?{GENERATED.pattern}")


class Store:
    """The folder of a fetch, for all its threads: bodies are put in place, and then entered in the manifest."""

    def __init__(self, options: FetchOptions) -> None:
        """Make the folder, lock it, and see what is in it; raises `UsageError` if it cannot be written."""
        self._has_template = options.name is not None
        self._one_large_body = Lock()
        """Held while a body that is too large for memory is made into a line."""
        self._jsonl: LinesFile | None = None
        try:
            options.into.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {options.into}: {reason_of(error)}") from None
        self.manifest = Manifest(options.into)
        try:
            self.previous = read_previous_runs(self.manifest, options)
            if options.append is not None:
                self._jsonl = _open_appended(options.append, self.previous.appended)
        except BaseException:
            self.manifest.close()
            raise

    def close(self) -> None:
        """Flush all to the disk and release the folder; raises `OSError`."""
        try:
            if self._jsonl:
                self._jsonl.close()
        finally:
            self.manifest.close()

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
        self.manifest.append(line)
        if body and line.file:
            self._remove_older(task, line.file, body.output)
        return line

    def keep_failed(self, body: Body) -> str:
        """Put the body of a failed status in place; its SHA-256. Raises as `save` does."""
        assert body.decision.path is not None
        sha256 = body.save()
        body.output.rename(body.part, body.decision.path)
        return sha256

    def _save_file(self, task: Task, body: Body, line: ManifestLine) -> None:
        file, output, previous = body.decision.path, body.output, self.previous
        assert file is not None
        sha256 = body.save()
        if not self._has_template or file in previous.stale.get(self._entry_key(task), ()):
            output.rename(body.part, file)
        else:
            try:
                output.rename_new(body.part, file)
            except NameTaken:
                # a file that no line names and that has just this content: a kill came before its line
                if digest_of(file) in previous.files or not output.holds(file, body.size, sha256):
                    raise
                body.discard()
        line.file, line.bytes, line.sha256 = file, body.size, sha256
        self.manifest.append(line)
        self._remove_older(task, file, output)

    def _append(self, task: Task, body: Body, line: ManifestLine, jsonl: LinesFile) -> None:
        with self._one_large_body if body.is_large else nullcontext():
            content = compact_json(body.content())
            line.sha256 = hashlib.sha256(content).hexdigest()
            line.file, line.bytes = jsonl.path.name, len(content) + 1
            with self.manifest.lock:
                line.offset = jsonl.append(content)
                self.manifest.append(line)
        self._remove_older(task, "", body.output)

    def _remove_older(self, task: Task, file: str, output: OutputFolder) -> None:
        """Remove what earlier runs left of this URL under other names."""
        previous = self.previous
        if not (previous.stale or previous.orphans):
            return
        stale = previous.stale.pop(self._entry_key(task), [])
        stem = file.rpartition("/")[2].rpartition(".")[0]
        if stem in previous.orphans:
            stale.append(previous.orphans.pop(stem))
        for old in stale:
            # a manifest may be anybody's, and name any file in the folder
            if old != file and _REMOVABLE.fullmatch(old):
                output.remove(old)

    def _entry_key(self, task: Task) -> int:
        return self.previous.entry_key(task.request.key, task.request.position)


@dataclass(slots=True)
class PreviousRuns:
    """What earlier runs into the folder completed; it takes 16-64 bytes for each URL."""

    by_position: bool
    """True if each copy of a URL is fetched."""
    complete: DigestSet = field(default_factory=DigestSet)
    refused: DigestSet = field(default_factory=DigestSet)
    """Lines without a URL that are in the manifest."""
    files: DigestSet = field(default_factory=DigestSet)
    """Paths that are in the manifest."""
    stale: dict[int, list[str]] = field(default_factory=dict)
    """Bodies of failed statuses, and files that differ from their lines, by `entry_key`."""
    appended: int = 0
    """Bytes of the appended file that are in the manifest."""
    orphans: dict[str, str] = field(default_factory=dict)
    """Files with generated names that are in no line, by their names without extension."""

    def entry_key(self, key: int, position: int) -> int:
        """The digest that identifies an entry of the list, perhaps with its position."""
        return digest_of(f"{key:016x} {position}") if self.by_position else key


def read_previous_runs(manifest: Manifest, options: FetchOptions) -> PreviousRuns:
    """Compare every line with the disk: a file is complete if it has its size, and with `verify` its content.

    What a kill left half-written is removed. Raises `UsageError` for a file to append to that is somebody else's.
    """
    append = options.append
    if append is not None and manifest.was_empty and append.exists() and append.stat().st_size:
        raise UsageError(f"{append} is there already, and no manifest tells of it; append to another file")
    found = PreviousRuns(options.duplicates)
    output = OutputFolder(options.into)
    appended = os.open(append, os.O_RDONLY) if append and append.exists() else None
    try:
        for line in manifest.lines():
            _take(found, line, output, appended, verify=options.verify)
    finally:
        output.close()
        if appended is not None:
            os.close(appended)
    orphans = clean_up(options.into, lambda path: digest_of(path) in found.files)
    if not manifest.was_empty:  # or no file in the folder is known to be from a fetch
        found.orphans = orphans
    return found


def _take(found: PreviousRuns, line: ManifestLine, output: OutputFolder, appended: int | None, *, verify: bool) -> None:
    digest = int(line.key, 16) if line.key else digest_of(line.url)
    key = found.entry_key(digest, line.position)
    if line.offset is not None:
        end = line.offset + (line.bytes or 0)
        if appended is not None and end <= os.fstat(appended).st_size and (not verify or _is_same(appended, line)):
            found.complete.add(key)
            found.appended = max(found.appended, end)
    elif line.file is not None:
        found.files.add(digest_of(line.file))
        if line.error is None and output.holds(line.file, line.bytes, line.sha256 if verify else None):
            found.complete.add(key)
            found.stale.pop(key, None)
        else:
            found.stale.setdefault(key, []).append(line.file)
    elif line.kind == "refused":
        found.refused.add(digest)


def _is_same(handle: int, line: ManifestLine) -> bool:
    """True if a line that was appended is still there."""
    data = os.pread(handle, line.bytes or 0, line.offset or 0)
    return hashlib.sha256(data.removesuffix(b"\n")).hexdigest() == line.sha256


def _open_appended(path: Path, size: int) -> LinesFile:
    """Open the file that replies are appended to, and cut off what a kill left behind the lines of the manifest.

    That is one line, or the beginning of one; raises `UsageError` if there is more.
    """
    file = LinesFile(path)
    try:
        blocks = (os.pread(file.handle, BLOCK, start) for start in range(size, file.size, BLOCK))
        if sum(block.count(b"\n") for block in blocks) > 1:
            raise UsageError(
                f"the manifest tells of the first {size:,} bytes of {path}, which has {file.size:,}; append to another "
                f"file, or cut off the rest: truncate -s {size} {path}"
            )
        file.cut(size)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason_of(error)}") from None
    finally:
        if file.size != size:  # it was not cut
            file.close()
    return file


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
