"""Where a target is, as far as names and addresses tell; nothing is sent to find out."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any


def is_here(host: str) -> bool:
    """True if a host is this machine: only its own addresses, loopback among them, can be bound to."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    return any(_can_be_bound(family, address) for family, _, _, _, address in found)


def is_public(host: str) -> bool:
    """True if a host is somebody's on the internet, neither this machine nor a private network."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(is_public_address(str(address[4][0])) for address in found)


def is_public_address(text: str) -> bool:
    """True for an IP address that is routed on the internet; False for anything that is no address."""
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_global
    except ValueError:
        return False


def source_address(family: int, address: Any) -> str:
    """From which of its addresses this machine sends there, as its routes have it; empty where there is none."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # a datagram socket sends nothing when it is connected
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _can_be_bound(family: int, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True
