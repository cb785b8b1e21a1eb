"""`python -m loadkit.server.demo`: the demo server from the command line."""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from typing import NoReturn

from loadkit.server.demo.process import ANNOUNCEMENT
from loadkit.server.demo.serving import IDLE, serve

WRONG_USAGE = 4  # pytest's number, as everywhere in loadkit; argparse's own 2 means interrupted there


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USAGE, f"{self.prog}: {message}\n")


def main() -> int:
    options = _parsed()
    try:
        serve(
            options.host,
            options.port,
            ready=_announce,
            tls=(options.tls_cert, options.tls_key or options.tls_cert) if options.tls_cert else None,
            unix=options.unix,
            lifeline=sys.stdin.fileno() if options.lifeline else None,
            idle=options.idle,
        )
    except OSError as error:
        sys.stderr.write(f"loadkit demo: {_complaint(options, error)}\n")
        return WRONG_USAGE
    return 0


def _parsed() -> argparse.Namespace:
    parser = _options()
    options = parser.parse_args()
    if options.tls_key and not options.tls_cert:
        parser.error("--tls-key needs --tls-cert")
    return options


def _options() -> argparse.ArgumentParser:
    parser = _Options(prog="loadkit demo", description="A small HTTP server to aim at.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--unix", metavar="PATH", help="listen on a unix socket instead")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve https with this certificate")
    parser.add_argument("--tls-key", metavar="FILE", help="its key (default: in the same file)")
    parser.add_argument("--lifeline", action="store_true", help="end when stdin does")
    parser.add_argument("--idle", type=float, default=IDLE, help="seconds after which idle clients are left")
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"cannot read the port {text!r}; write 0 to 65535")


def _announce(url: str) -> None:
    sys.stdout.write(f"{ANNOUNCEMENT}{url}\n")
    sys.stdout.flush()


def _complaint(options: argparse.Namespace, error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"cannot use the certificate {options.tls_cert!r} with its key: {error.reason or error}"
    if error.filename:
        return f"cannot read {error.filename!r}: {error.strerror}"
    return f"cannot listen on {_place(options)}: {_reason(error)}"


def _place(options: argparse.Namespace) -> str:
    if options.unix:
        return str(options.unix)
    return f"[{options.host}]:{options.port}" if ":" in options.host else f"{options.host}:{options.port}"


def _reason(error: OSError) -> str:
    """The system's own words; names that cannot be resolved have negative numbers and bring theirs."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


if __name__ == "__main__":
    sys.exit(main())
