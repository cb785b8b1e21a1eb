"""`loadkit demo` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from loadkit.cli.parser import option
from loadkit.plan.errors import UsageError


def demo(
    host: Annotated[str, option(help="Where to listen; loopback by default.")] = "127.0.0.1",
    port: Annotated[str, option(help="The port; 0 takes a free one.")] = "8000",
    unix: Annotated[Path | None, option(help="Listen on a unix socket instead.")] = None,
    tls_cert: Annotated[Path | None, option(help="Serve https with this certificate.")] = None,
    tls_key: Annotated[Path | None, option(help="Its key, if that is not in the same file.")] = None,
    idle: Annotated[str, option(help="After how long idle clients are left.")] = "75s",
) -> int:
    """A small server to try things on. Ctrl-C stops it.

    It behaves like an API:

      GET  /  /health              at once
      GET  /items  /items/{id}     ten items; one of 1 to 1000, else 404
      GET  /search?q=tea           5 ms; each tenth takes 20, each 100th 100 ms
      POST /orders                 {"sku": "SKU-0001"} -> 201, after 2 ms
      GET  /orders/{n}             one of the last 10,000
      POST /login  /logout         {"user": "ann"} -> {"token": ...}
      GET  /me                     401 without Authorization: Bearer TOKEN
      GET  /delay/{seconds}        after so long; /exponential/{mean}: random
      GET  /bytes/{n}  /chunked/{n}  so many bytes
      GET  /status/{code}          that status
      GET  /flaky                  each 50th is a 503
      GET  /stats                  what it counted itself
    """
    from loadkit.plan.units import seconds
    from loadkit.server.demo import serve_announced

    number = _port(port)
    if tls_key and not tls_cert:
        raise UsageError("--tls-key needs --tls-cert")
    tls = (tls_cert, tls_key or tls_cert) if tls_cert else None
    serve_announced(host, number, tls=tls, unix=unix, idle=seconds(idle, what="--idle"))
    return 0


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise UsageError(f"--port takes a number from 0 to 65535, not {text!r}")
