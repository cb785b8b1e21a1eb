"""What tests of several rooms need: a demo server in a process of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import settings

from loadkit.jobs.demo import Demo, running_demo

# a deadline for each example would measure the machine, not the code
settings.register_profile("without a deadline", deadline=None)
# CI tries the same examples each time (profile "ci"); whoever works on the code tries new ones
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "without a deadline"))


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """The demo server, one for the whole session: count what you sent, not what it has."""
    with running_demo() as running:
        yield running


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
