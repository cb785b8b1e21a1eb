"""How TLS is spoken, by endpoints, journeys, sessions and fetch alike: only who is trusted differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def client_context(*, verify: bool) -> ssl.SSLContext:
    """A context that trusts no authority yet, or verifies nothing. A certificate is for the names in its SAN alone."""
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context()
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = 0  # type: ignore[assignment]
    return context


def trust_system(context: ssl.SSLContext) -> None:
    """Trust the authorities of the system, or those of certifi where Python finds none."""
    context.load_default_certs()
    if not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(certifi.where())


def trust(context: ssl.SSLContext, authorities: str) -> None:
    """Trust those in a file, or in a folder as `openssl rehash` makes it; raises `OSError` if there are none."""
    if Path(authorities).is_dir():
        context.load_verify_locations(capath=authorities)
    else:
        context.load_verify_locations(cafile=authorities)
