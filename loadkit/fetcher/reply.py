"""One URL that was settled, as whoever asked for it sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
