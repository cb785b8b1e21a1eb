"""URLs as a plan takes them, and as they are shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from loadkit.plan.errors import UsageError
from loadkit.plan.redact import redact_url

SCHEMES: Final = ("http", "https", "http+unix")

_UNSAFE = re.compile(r"[\x00-\x20\x7f]")


def strip_url(url: str) -> str:
    """A URL or path without query, fragment, user and password: fit to be shown."""
    if url.startswith("/"):  # urlsplit would take the x of //x/y for a host
        return re.split(r"[?#]", url, maxsplit=1)[0]
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path or '/'}" if host else parts.path


def check_target(url: object, *, what: str) -> str:
    """Accept an absolute path or a full URL.

    Raises `UsageError` when it is neither, or would smuggle a line into the request.
    """
    if not isinstance(url, str) or not url:
        raise UsageError(f"{what} takes a path like '/search' or a URL like 'http://127.0.0.1:8000/', not {url!r}")
    _check_characters(url, what)
    if "://" not in url and not url.startswith("/"):
        shown = redact_url(url)
        raise UsageError(f"{what} {shown!r} is neither a path like '/{shown}' nor a URL like 'http://{shown}'")
    return url if url.startswith("/") else check_url(url, what=what)


def _check_characters(url: str, what: str) -> None:
    found = _UNSAFE.search(url)
    if found:
        shown = "a space; write it as %20" if found[0] == " " else "a control character; percent-encode it"
        raise UsageError(f"{what} {redact_url(url)!r} holds {shown}")


def check_url(url: object, *, what: str) -> str:
    """Accept a URL with a scheme loadkit speaks and a host.

    Raises `UsageError` for everything else.
    """
    if not isinstance(url, str) or not url:
        raise UsageError(f"{what} takes a URL like 'http://127.0.0.1:8000', not {url!r}")
    shown = redact_url(url)
    _check_characters(url, what)
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise UsageError(f"{what} {shown!r} has no scheme; write it like 'http://{shown.lstrip('/')}'")
    if scheme.lower() not in SCHEMES:
        raise UsageError(f"{what} {shown!r} has the scheme {scheme!r}; loadkit speaks {', '.join(SCHEMES)}")
    try:
        _, host = urlsplit(url).port, urlsplit(url).hostname
    except ValueError as error:
        # the reason quotes the port, which is a password where the host is missing
        raise UsageError(f"{what} {shown!r} is not a URL: {str(error).partition(' as ')[0]}") from None
    if not host or rest.startswith("/"):
        right = "http+unix://%2Ftmp%2Fapp.sock/" if scheme.lower() == "http+unix" else "http://127.0.0.1:8000/"
        raise UsageError(f"{what} {shown!r} names no host; write it like {right!r}")
    return url
