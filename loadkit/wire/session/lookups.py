"""What sessions of one run have in common: addresses of hosts, and how TLS is spoken with them."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import certifi
from requests.adapters import HTTPAdapter

from loadkit.wire.base import BrokenExchange, Failure, Origin
from loadkit.wire.sockets import look_up
from loadkit.wire.tls import client_context, trust, trust_system

if TYPE_CHECKING:
    import ssl

    from loadkit.wire.channel import Address

Verify: TypeAlias = bool | str | None
Cert: TypeAlias = str | tuple[str, str] | None
"""What `requests` calls verify and cert."""


class Lookups:
    """Names looked up and certificates read once; may be shared by the sessions of many threads.

    An address that nobody answered at is looked up again the next time. Where nothing is said of authorities, those of
    `requests` are trusted, or with `system` those that declared endpoints trust.
    """

    def __init__(self, *, system: bool = False) -> None:
        self._addresses: dict[Origin, list[Address]] = {}
        self._contexts: dict[tuple[Verify, Cert], ssl.SSLContext] = {}
        self._once = threading.Lock()
        self._checks: Any = HTTPAdapter()
        self._system = system

    def addresses(self, origin: Origin) -> list[Address]:
        """Where to connect to; raises `BrokenExchange` of kind `dns` if there is no such host."""
        found = self._addresses.get(origin)
        if found is None:
            try:
                found = self._addresses[origin] = look_up(origin)
            except (OSError, UnicodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise BrokenExchange(Failure("dns", f"cannot resolve the host {origin.host!r}: {reason}")) from None
        return found

    def forget(self, origin: Origin) -> None:
        """Look its name up anew the next time."""
        self._addresses.pop(origin, None)

    def context(self, verify: Verify, cert: Cert) -> ssl.SSLContext:
        """How TLS is spoken, and who is trusted.

        Raises `OSError` as `requests` does for a file that is not there, `ssl.SSLError` for one that is no certificate.
        """
        with self._once:
            key = (verify, cert)
            if key not in self._contexts:
                self._contexts[key] = self._made(verify, cert)
            return self._contexts[key]

    def _made(self, verify: Verify, cert: Cert) -> ssl.SSLContext:
        # requests itself says which files these are, and what is wrong with them
        files: Any = SimpleNamespace(ca_certs=None, ca_cert_dir=None, cert_file=None, key_file=None)
        self._checks.cert_verify(files, "https://", verify, cert)
        is_verified = files.cert_reqs != "CERT_NONE"
        context = client_context(verify=is_verified)
        if is_verified and self._system and verify is True:
            trust_system(context)
        elif is_verified:
            # some versions of requests name no file for True
            trust(context, _text(files.ca_certs or files.ca_cert_dir) or certifi.where())
        if files.cert_file:
            context.load_cert_chain(_text(files.cert_file) or "", _text(files.key_file))
        return context


def _text(path: Any) -> str | None:
    return os.fspath(path) if path else None
