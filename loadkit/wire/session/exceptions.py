"""Failures of the wire as the exceptions of `requests`, which is what users of a session catch."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, ConnectTimeout, InvalidHeader, ReadTimeout, SSLError
from urllib3.exceptions import ReadTimeoutError

from loadkit.plan.redact import redact_message
from loadkit.wire.base import Failure


class BodyTimeout(ReadTimeout, requests.ConnectionError):
    """A body that stalled, or did not end before the deadline; `requests` calls the first a `ConnectionError`."""


class BodyTooLarge(requests.RequestException):
    """A body of more bytes than the session's `body_limit`; `stream=True` reads it piece by piece."""


class BadReply(requests.ConnectionError, InvalidHeader):
    """A reply whose head is not HTTP; `requests` has one name or the other, by what is wrong with it."""


class CutReply(requests.ConnectionError, ChunkedEncodingError):
    """A reply that ended within its head; `requests` has one name or the other, by where."""


class UnfitHeader(InvalidHeader):
    """A method or header that would break the head of a request."""


def exception_of(failure: Failure, request: Any) -> requests.RequestException:
    """The exception to raise for a failure; its text is the failure's."""
    told: Any = failure.message
    if failure.kind == "timeout":
        # what those who look inside find there
        told = stalled(failure.message, request)
    return _kind(failure)(told, request=request)


def stalled(message: str, request: Any) -> ReadTimeoutError:
    """What urllib3 says of a reply that does not come."""
    pool: Any = urlsplit(request.url).netloc.rpartition("@")[2]
    return ReadTimeoutError(pool, request.url, f"Read timed out: {message}")


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
    if failure.begun and failure.kind == "disconnect":
        return CutReply
    return BadReply if failure.kind == "protocol" else requests.ConnectionError


def failure_of(error: requests.RequestException) -> Failure:
    """The failure of an exchange that another adapter made."""
    message = redact_message(str(error))
    if isinstance(error, SSLError):
        return Failure("tls", message)
    if isinstance(error, ConnectTimeout | requests.exceptions.ProxyError):
        return Failure("connect", message)
    return Failure("timeout" if isinstance(error, requests.Timeout) else "disconnect", message)
