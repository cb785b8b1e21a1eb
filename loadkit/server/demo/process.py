"""A demo server in a process of its own, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import loadkit
from loadkit.server.demo.serving import Certificate

PATIENCE = 20.0  # seconds to come up: a loaded CI machine imports slowly
GRACE = 2.0
ANNOUNCEMENT = "loadkit demo on "


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A running demo server: where it is, and its process id."""

    url: str
    pid: int


@contextlib.contextmanager
def running_demo(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tls: Certificate | None = None,
    unix: str | os.PathLike[str] | None = None,
) -> Iterator[Demo]:
    """Run the demo server in another process; it ends with the block, and with this process however that dies.

    ```python
    with running_demo() as demo:
        requests.get(f"{demo.url}/health")
    ```
    Raises RuntimeError with what the server said, if it does not come up.
    """
    command = [sys.executable, "-P", "-m", "loadkit.server.demo", "--lifeline", *_options(host, port, tls, unix)]
    # What it says goes to a file: nobody reads a pipe meanwhile, and a full one would block the server.
    with tempfile.TemporaryFile() as said:
        with _process(command, said) as process:
            yield Demo(url=_announced(process, said), pid=process.pid)
        sys.stderr.write(_text(said))


def _options(host: str, port: int, tls: Certificate | None, unix: str | os.PathLike[str] | None) -> Iterator[str]:
    yield from ("--host", host, "--port", str(port))
    if tls:
        yield from ("--tls-cert", os.fspath(tls[0]), "--tls-key", os.fspath(tls[1]))
    if unix is not None:
        yield from ("--unix", os.fspath(unix))


@contextlib.contextmanager
def _process(command: list[str], said: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    # A session of its own: Ctrl-C in the terminal is for the load generator, whose requests in flight still want
    # their replies. The lifeline is its stdin: the kernel closes our end when we die, even by SIGKILL.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        env=_environment(),
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def _environment() -> dict[str, str]:
    """Ours, with the folder this loadkit was imported from: a checkout need not be on the child's path."""
    folders = [os.environ.get("PYTHONPATH"), str(Path(loadkit.__path__[0]).parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


def _announced(process: subprocess.Popen[bytes], said: IO[bytes]) -> str:
    """The URL on the first line of the server's output; a server that says nothing is killed after a while."""
    assert process.stdout
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    line = process.stdout.readline().decode(errors="replace")
    watchdog.cancel()
    if line.startswith(ANNOUNCEMENT):
        return line.removeprefix(ANNOUNCEMENT).strip()
    raise RuntimeError(f"the demo server did not come up: {_reason(process, said)}")


def _reason(process: subprocess.Popen[bytes], said: IO[bytes]) -> str:
    _stop(process)
    process.wait()
    return _text(said).strip() or f"exit code {process.returncode}, no message"


def _text(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode(errors="replace")
