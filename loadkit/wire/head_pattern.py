"""Heads that mean the same though they differ: a server dates each reply, numbers it, and says how long it is.

A reply whose head has the pattern of one that was parsed is not parsed. The extension compares with patterns, too.
"""

from __future__ import annotations

from typing import Final

TEXT: Final = b"\1"
"""In a pattern: any text."""
LENGTH: Final = b"\2"
"""In a pattern: how many bytes the body has, of 1 to 18 digits."""
_DIGITS: Final = 18
_FRAMING: Final = (b"connection", b"transfer-encoding")
"""Headers of which another value would be another meaning."""
_NO_TEXT: Final = bytes(range(32)).translate(None, b"\t\r\n") + b"\x7f"


def pattern_of(head: bytes, method: str) -> bytes:
    """What the head of a reply to such a request has in common with those that mean the same; empty for an odd one."""
    return _read(head, has_body=method != "HEAD" and head[9:12] not in (b"204", b"304"))[0]


def match_head(pattern: bytes, data: bytes) -> int:
    """How many bytes the head of a whole reply has that fits a pattern; 0 for any other reply."""
    if not pattern:
        return 0
    end = data.find(b"\r\n\r\n") + 4
    found, length = _read(data[:end], has_body=LENGTH in pattern)
    return end if found == pattern and len(data) - end == length else 0


def _read(head: bytes, *, has_body: bool) -> tuple[bytes, int]:
    """The pattern of a head, and how many bytes of body it announces; 0 without `has_body`."""
    lines = head[:-4].split(b"\r\n")
    if not head.count(b"\r") == head.count(b"\n") == len(lines) + 1 or len(head.translate(None, _NO_TEXT)) < len(head):
        return b"", 0
    found, length = [lines[0]], 0
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        lower = name.lower()
        if has_body and lower == b"content-length":
            digits = value.strip(b" \t")
            if not digits.isdigit() or len(digits) > _DIGITS:
                return b"", 0
            length = int(digits)
            found.append(line.replace(digits, LENGTH))
        elif lower in _FRAMING:
            found.append(line)
        elif colon and not name.startswith((b" ", b"\t")):
            found.append(name + colon + TEXT)
        else:
            # it goes on with the line before
            return b"", 0
    return b"\r\n".join(found) + b"\r\n\r\n", length
