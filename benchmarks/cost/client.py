"""What the benchmark has to know of a client: how it is started, and how many requests it says it made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run that is asked of a client; the folder is a temporary one for its files."""

    url: str
    seconds: int
    ca: Path
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One peer.

    `command` gives the words to start it (and writes what files it needs), `claimed` reads its own request
    count from its output, `missing` says why it cannot run here, or nothing.
    """

    name: str
    command: Callable[[Load], Sequence[str | Path]]
    claimed: Callable[[Load, str], int]
    missing: Callable[[Path], str]
    version: Callable[[], str]
    scheme: str = "http"
