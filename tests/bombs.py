"""Gzip bodies that are made to cost: many megabytes, or many members of nothing, in few bytes."""

from __future__ import annotations

import gzip

MB = 1_000_000
EMPTY = gzip.compress(b"", mtime=0)


def packed(block: bytes, times: int, first: bytes = b"") -> bytes:
    """A block many times, each compressed in a member of its own, behind what is to come first."""
    return gzip.compress(first) + gzip.compress(block) * times


def zeros(megabytes: int, first: bytes = b"") -> bytes:
    """So many megabytes of them, compressed a thousand times: in many members, which takes no time to build."""
    return packed(bytes(MB), megabytes, first)


def empties(megabytes: int) -> bytes:
    """So many megabytes of empty members, compressed."""
    return packed(EMPTY * (MB // len(EMPTY)), megabytes)
