"""What sessions of one run have in common: addresses of hosts, and how TLS is spoken with them."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from loadkit.wire.base import BrokenExchange, Failure, Origin
from loadkit.wire.sockets import look_up

if TYPE_CHECKING:
    import ssl

    from loadkit.wire.channel import Address

Verify: TypeAlias = bool | str | None
Cert: TypeAlias = str | tuple[str, str] | None
"""What `requests` calls verify and cert."""


class Lookups:
    """Names looked up and certificates read once; may be shared by the sessions of many threads.

    An address that nobody answered at is looked up again the next time.
    """

    def __init__(self) -> None:
        self._addresses: dict[Origin, list[Address]] = {}
        self._contexts: dict[tuple[Verify, Cert], ssl.SSLContext] = {}
        self._once = threading.Lock()
        self._checks: Any = HTTPAdapter()

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
        """How TLS is spoken, with the authorities that `requests` would trust.

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
        context = create_urllib3_context()
        context.set_alpn_protocols(["http/1.1"])
        if files.cert_reqs == "CERT_NONE":
            context.check_hostname = False
            context.verify_mode = 0  # type: ignore[assignment]
        else:
            context.load_verify_locations(_text(files.ca_certs), _text(files.ca_cert_dir))
        if files.cert_file:
            context.load_cert_chain(_text(files.cert_file) or "", _text(files.key_file))
        return context


def _text(path: Any) -> str | None:
    return os.fspath(path) if path else None
