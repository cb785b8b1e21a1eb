"""What earlier runs into a folder completed, held against what is on the disk; and a compact set of digests."""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.filenames import FAILED, GENERATED, FilePath

if TYPE_CHECKING:
    from loadkit.fetcher.folder import OutputFolder
    from loadkit.fetcher.manifest import Manifest, ManifestLine

FIRST: Final = 4096
FULL: Final = 0.75
DEEPEST: Final = 20
"""Nested folders that a path in a manifest may have."""

_FOLDERS = re.compile(rf"(?:{FAILED})?/?(?:\d{{4,}})?")


class DigestSet:
    """A set of 64-bit digests, by open addressing in one array.

    It takes 11-21 bytes for each digest, where a `set` of integers takes 75-85.
    Two different keys among a million share a digest with a probability of 3 in 100 million.
    """

    __slots__ = ("_mask", "_slots", "count")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * FIRST))
        self._mask = FIRST - 1
        self.count = 0

    def __contains__(self, digest: int) -> bool:
        return bool(self._slots[self._slot_of(digest or 1)])

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes."""
        return self._slots.itemsize * len(self._slots)

    def __len__(self) -> int:
        return self.count

    def add(self, digest: int) -> bool:
        """Add a digest; True if it is new."""
        wanted = digest or 1  # 0 is an empty slot
        slot = self._slot_of(wanted)
        if self._slots[slot]:
            return False
        self._slots[slot] = wanted
        self.count += 1
        if self.count > FULL * self._mask:
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
        for digest in before:
            if digest:
                self._slots[self._slot_of(digest)] = digest


def digest_of(text: str) -> int:
    """The 64-bit digest of a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


class PreviousRuns:
    """What earlier runs into the folder completed; it takes 16-64 bytes for each URL."""

    def __init__(self, *, duplicates: bool = False) -> None:
        self._duplicates = duplicates
        self.complete = DigestSet()
        self.refused = DigestSet()
        """Lines without a URL that are in the manifest."""
        self.files = DigestSet()
        """Paths that are in the manifest."""
        self.spoiled: dict[int, str] = {}
        """Files that differ from their lines, by `entry_key`."""
        self.failed: dict[int, str] = {}
        """Bodies of failed statuses, by `entry_key`."""
        self.appended = 0
        """Bytes of the appended file that are in the manifest."""
        self.orphans: dict[str, str] = {}
        """Files with generated names that are in no line, by their names without extension."""

    def entry_key(self, key: int, position: int) -> int:
        """The digest that identifies an entry of the list, with its position if each copy of a URL is fetched."""
        return digest_of(f"{key:016x} {position}") if self._duplicates else key


def read_previous_runs(
    manifest: Manifest, output: OutputFolder, *, verify: bool, appended: Path | None, duplicates: bool = False
) -> PreviousRuns:
    """Compare every line with the disk: a file is complete if it has its size, and with `verify` its content."""
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
    """A path from a manifest, which anybody may have written; one that leads outside the folder becomes empty."""
    folder, _, name = file.rpartition("/")
    if ".." in file.split("/") or file.startswith("/") or "\0" in file or file.count("/") > DEEPEST:
        return FilePath(FAILED, "")
    return FilePath(folder, name)


def may_be_removed(file: str) -> bool:
    """True if a path is a generated one; a manifest may be anybody's, and name any file in the folder."""
    path = parse_path(file)
    return bool(_FOLDERS.fullmatch(path.folder) and GENERATED.fullmatch(path.name))


def _is_whole(line: ManifestLine, output: OutputFolder, *, verify: bool) -> bool:
    assert line.file is not None
    path = parse_path(line.file)
    if output.size(path) != line.bytes:
        return False
    return not verify or output.sha256(path) == line.sha256


def _same_part(handle: int, line: ManifestLine) -> bool:
    assert line.offset is not None
    data = os.pread(handle, line.bytes or 0, line.offset)
    return hashlib.sha256(data.removesuffix(b"\n")).hexdigest() == line.sha256
