"""Where hosts are and whom TLS trusts: looked up and read once, for endpoints, journeys, sessions and fetch alike."""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from loadkit.wire.base import BrokenExchange, Failure
from loadkit.wire.connect import open_channel

if TYPE_CHECKING:
    import ssl

    from loadkit.wire.base import Clock, Origin
    from loadkit.wire.channel import Channel
    from loadkit.wire.connect import Address, Opening

MAX_NAMES: Final = 10_000
"""Names whose addresses are kept; those looked up first are dropped."""
_LOCKS: Final = 64

Source: TypeAlias = Literal["ca", "cert"]


class Trust(NamedTuple):
    """Whom TLS trusts, and who it says we are: files, `ca` a folder of authorities perhaps."""

    verify: bool = True
    ca: str | None = None
    """None for the authorities of the system."""
    cert: str | None = None
    key: str | None = None
    """None if it is in the file of `cert`."""


class UnreadableFile(Exception):
    """A file of certificates that cannot be used: whose it is, and the `OSError` (`ssl.SSLError`) that says why."""

    def __init__(self, source: Source, error: OSError) -> None:
        super().__init__(str(error))
        self.source: Source = source
        self.error = error


class Resolver:
    """Addresses of hosts and TLS contexts; may be shared by connections of many threads.

    With `lifetime` nanoseconds of `clock` a name is looked up again; without, until somebody forgets it. Sessions of
    one that says `trusts_system` trust the authorities of the system, and not those of `requests`.
    """

    def __init__(self, *, trusts_system: bool = False, clock: Clock | None = None, lifetime: int | None = None) -> None:
        self.trusts_system = trusts_system
        self._clock = clock
        self._lifetime = lifetime
        self._names: OrderedDict[tuple[str, int], tuple[int, list[Address]]] = OrderedDict()
        self._contexts: dict[Trust, ssl.SSLContext] = {}
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._guard = threading.Lock()

    def addresses(self, origin: Origin) -> list[Address]:
        """Where to connect to; raises `BrokenExchange` of kind `dns` if there is no such host."""
        if origin.unix:
            return [(socket.AF_UNIX, origin.unix)]
        key = origin.host, origin.port
        if found := self._known(key):
            return found
        # one lookup of a name at a time: twenty threads that start together want the same one
        with self._locks[hash(key) % _LOCKS]:
            if found := self._known(key):
                return found
            found = _look_up(*key)
        with self._guard:
            self._names[key] = self._expiry(), found
            while len(self._names) > MAX_NAMES:
                self._names.popitem(last=False)
        return found

    def forget(self, origin: Origin) -> None:
        """Look its name up anew the next time: nobody answered there, so it may lead elsewhere by now."""
        with self._guard:
            self._names.pop((origin.host, origin.port), None)

    def context(self, trust: Trust) -> ssl.SSLContext:
        """How TLS is spoken; raises `UnreadableFile`."""
        with self._guard:
            if trust not in self._contexts:
                self._contexts[trust] = _tls_context(trust)
            return self._contexts[trust]

    def open(self, origin: Origin, trust: Trust, clock: Clock, timeout: int, opening: Opening) -> Channel:
        """Connect within `timeout` nanoseconds; raises `BrokenExchange` of kind `dns`, `connect` or `tls`."""
        began = clock.now()
        addresses = self.addresses(origin)
        context = self.context(trust) if origin.tls else None
        return open_channel(origin, addresses, context, clock, timeout - (clock.now() - began), opening)

    def _known(self, key: tuple[str, int]) -> list[Address] | None:
        expiry, found = self._names.get(key, (0, None))
        return found if not expiry or (self._clock and self._clock.now() < expiry) else None

    def _expiry(self) -> int:
        return self._clock.now() + self._lifetime if self._clock and self._lifetime else 0


def _look_up(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        reason = error.strerror or "no answer"
        # whether to try again is read from the message
        passing = "temporary: " if error.errno == socket.EAI_AGAIN and "temporary" not in reason.lower() else ""
        raise BrokenExchange(_unresolved(host, passing + reason)) from None
    except (OSError, UnicodeError) as error:
        raise BrokenExchange(_unresolved(host, str(error))) from None
    return [(family, address) for family, _, _, _, address in found]


def _unresolved(host: str, reason: str) -> Failure:
    return Failure("dns", f"cannot resolve the host {host!r}: {reason}")


def _tls_context(trust: Trust) -> ssl.SSLContext:
    """A certificate is for the names in its SAN alone."""
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context()
    context.set_alpn_protocols(["http/1.1"])
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = 0  # type: ignore[assignment]
    elif trust.ca is None:
        _trust_system(context)
    else:
        _trust_authorities(context, trust.ca)
    if trust.cert is not None:
        try:
            context.load_cert_chain(trust.cert, trust.key)
        except OSError as error:
            raise UnreadableFile("cert", error) from None
    return context


def _trust_system(context: ssl.SSLContext) -> None:
    """Trust the authorities of the system, or those of certifi where Python finds none."""
    context.load_default_certs()
    if not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(certifi.where())


def _trust_authorities(context: ssl.SSLContext, authorities: str) -> None:
    """Trust those in a file, or in a folder as `openssl rehash` makes it."""
    try:
        if Path(authorities).is_dir():
            context.load_verify_locations(capath=authorities)
        else:
            context.load_verify_locations(cafile=authorities)
    except OSError as error:
        raise UnreadableFile("ca", error) from None


def ascii_host(name: str) -> str:
    """A host name in ASCII, as `requests` has it (IDNA 2008).

    >>> ascii_host("straße.test")
    'xn--strae-oqa.test'

    Raises `ValueError` for what is no host name.
    """
    if name.isascii():
        return name
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{name!r} is no host name: {error}") from None
