"""A demo server in a process of its own, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from typing import Final

from loadkit.host.command import module_command, module_environment
from loadkit.server.child_process import ChildProcess, child_process
from loadkit.server.demo.serving import ANNOUNCEMENT, Certificate

READY_WITHIN: Final = 20.0
"""Seconds to come up: a loaded CI machine imports slowly."""


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
    options = {"host": host, "port": port, "tls": tls, "unix": unix}
    command = module_command("loadkit.server.demo", json.dumps(options, default=os.fspath))
    with child_process(command, environment=module_environment()) as child:
        yield Demo(url=_announced_url(child), pid=child.pid)
        child.stop()
        sys.stderr.write("".join(line for line in _lines(child) if not line.startswith(ANNOUNCEMENT)))


def _announced_url(child: ChildProcess) -> str:
    child.await_ready(lambda: "" if _urls(child) else "it has not announced its URL", READY_WITHIN)
    if urls := _urls(child):
        return urls[0]
    reason = child.describe_exit() if child.has_ended() else f"it was not ready within {READY_WITHIN:g} s"
    raise RuntimeError(f"the demo server did not come up: {child.output().strip() or reason}")


def _urls(child: ChildProcess) -> list[str]:
    whole = [line for line in _lines(child) if line.endswith("\n")]
    return [line.removeprefix(ANNOUNCEMENT).strip() for line in whole if line.startswith(ANNOUNCEMENT)]


def _lines(child: ChildProcess) -> list[str]:
    return child.output().splitlines(keepends=True)
