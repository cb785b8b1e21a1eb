"""What earlier runs into a folder have left there, and which of a million keys came before, in 8 bytes each."""

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
"""Folders within each other that a name of ours may have."""

_FOLDERS = re.compile(rf"(?:{FAILED})?/?(?:\d{{4,}})?")


class DigestSet:
    """A set of 64-bit digests, by open addressing in one array: 11-21 bytes for each.

    Two different keys among a million share a digest with a probability of 3 in 100 million.
    """

    __slots__ = ("_mask", "_slots", "count")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * FIRST))
        self._mask = FIRST - 1
        self.count = 0

    def __contains__(self, digest: int) -> bool:
        return bool(self._slots[self._place(digest or 1)])

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self._slots.itemsize * len(self._slots)

    def __len__(self) -> int:
        return self.count

    def add(self, digest: int) -> bool:
        """Remember it; whether it is new."""
        wanted = digest or 1  # 0 is an empty slot
        place = self._place(wanted)
        if self._slots[place]:
            return False
        self._slots[place] = wanted
        self.count += 1
        if self.count > FULL * self._mask:
            self._grow()
        return True

    def _place(self, digest: int) -> int:
        slots, mask = self._slots, self._mask
        place = digest & mask
        while (found := slots[place]) and found != digest:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        before = self._slots
        self._slots = array("Q", bytes(16 * len(before)))
        self._mask = len(self._slots) - 1
        for digest in before:
            if digest:
                self._slots[self._place(digest)] = digest


def digest_of(text: str) -> int:
    """64 bits of a key."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


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
