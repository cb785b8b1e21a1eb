"""Machines as far as their network goes: namespaces of Linux with an address each, connected by one in their middle."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest


class Place(NamedTuple):
    """Where a program runs: its address there, and what is put before its command."""

    address: str
    command: tuple[str, ...] = ()


def loopback(number: int) -> Place:
    """An address of this machine, which has all of 127/8."""
    return Place(f"127.0.0.{number}")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def networks(count: int) -> Iterator[list[Place]]:
    """The place in the middle, and so many around it, which reach each other by it alone.

    Where they cannot be made, because that takes root and a kernel that lets it, the test is skipped.
    """
    middle, *names = (f"loadkit-{os.getpid()}-{k}" for k in range(count + 1))
    with ExitStack() as stack:
        try:
            for name in (middle, *names):
                _ip("netns", "add", name)
                stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
                _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", middle, "address", "add", "10.231.0.1/32", "dev", "lo")
            for k, name in enumerate(names, 1):
                _ip(
                    "-n", middle, "link", "add", "name", f"to{k}", "type", "veth", "peer", "name", "eth0", "netns", name
                )
                for where, link, end in ((middle, f"to{k}", 1), (name, "eth0", 2)):
                    _ip("-n", where, "address", "add", f"10.231.{k}.{end}/30", "dev", link)
                    _ip("-n", where, "link", "set", link, "up")
                _ip("-n", name, "route", "add", "default", "via", f"10.231.{k}.1")
        except OSError as error:
            pytest.skip(f"no network namespaces can be made here: {error}")
        addresses = ["10.231.0.1", *(f"10.231.{k}.2" for k in range(1, count + 1))]
        yield [
            Place(address, ("ip", "netns", "exec", name))
            for name, address in zip((middle, *names), addresses, strict=True)
        ]
