"""What tests of several rooms need: a demo server in a process of its own, and the command in this one."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from typing import TypeAlias

import pytest
import requests
from hypothesis import settings

from loadkit.cli import main
from loadkit.server.demo import Demo, running_demo
from tests.witness.witness import Witness, watching

# a deadline for each example would measure the machine, not the code
settings.register_profile("few and new", deadline=None, max_examples=25)
# CI tries the same hundred each time (profile "ci"); whoever works on the code tries new ones, and runs them often
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few and new"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing that is imported and collected is garbage, and to look for some took a fifth of the CPU of collecting."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """The demo server, one for the whole session: count what you sent, not what it has."""
    with running_demo() as running:
        yield running


@pytest.fixture(scope="session")
def witness() -> Iterator[Witness]:
    """A server that counts, one for the whole session: clear it first."""
    with watching() as running:
        yield running


def served(demo: Demo, path: str) -> int:
    """How many requests for a path the demo server has seen."""
    return int(requests.get(f"{demo.url}/stats", timeout=5).json()["paths"].get(path, 0))


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


Call: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs the command with these arguments in this process, which is 20 times as fast as one in its own.

    What child processes write is captured, too.
    """

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["loadkit", *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])  # a scenario's folder is put there
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), said.out, said.err)

    return call
