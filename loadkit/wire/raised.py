"""Failures of the wire as the exceptions of `requests`, which is what users of a session catch."""

from __future__ import annotations

from typing import Any

import requests
from requests.exceptions import ChunkedEncodingError, ConnectTimeout, InvalidHeader, ReadTimeout, SSLError

from loadkit.wire.base import Failure


class BodyTimeout(ReadTimeout, requests.ConnectionError):
    """A body that stalled, or did not end before the deadline; `requests` calls the first a `ConnectionError`."""


class BodyTooLarge(requests.RequestException):
    """A body of more bytes than the session's `body_limit`; `stream=True` reads it piece by piece."""


class UnfitHeader(InvalidHeader):
    """A method or header that would break the head of a request."""


def exception_of(failure: Failure, request: Any) -> requests.RequestException:
    """The exception to raise for a failure; its text is the failure's."""
    return _kind(failure)(failure.message, request=request)


def _kind(failure: Failure) -> type[requests.RequestException]:
    if failure.surplus:
        return BodyTooLarge
    if failure.kind == "timeout":
        return BodyTimeout if failure.headed else ReadTimeout
    if failure.kind == "connect":
        return ConnectTimeout if failure.late else requests.ConnectionError
    if failure.kind == "tls":
        # requests counts the handshake to the reading
        return ReadTimeout if failure.late else SSLError
    if failure.headed and failure.kind in ("disconnect", "protocol"):
        return ChunkedEncodingError
    return requests.ConnectionError
