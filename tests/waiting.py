"""What tests wait for while another thread or process does it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit


def wait_for(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Wait until it holds, for as long as a busy machine may take."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_refused(url: str) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) != 0


def is_gone(pid: int) -> bool:
    """True if a process has ended, also where whoever adopted it has not looked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
