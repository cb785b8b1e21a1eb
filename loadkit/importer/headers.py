"""Which headers of a recorded request are the browser's own, and not the application's."""

from __future__ import annotations

import re
from typing import Final

_OF_BROWSER: Final = re.compile(
    # of the connection, and those that a session or requests make themselves
    r":.*|host|connection|keep-alive|proxy-.*|te|transfer-encoding|upgrade|content-length|accept-encoding|expect"
    # what a browser says of itself and of the page
    r"|sec-.*|user-agent|accept-language|upgrade-insecure-requests|dnt|origin|referer|priority|purpose|x-client-data"
    r"|device-memory|downlink|ect|rtt|save-data|viewport-width|width|dpr"
    # of its cache
    r"|cache-control|pragma|if-modified-since|if-none-match|if-range",
    re.IGNORECASE,
)

_OF_REPLY: Final = re.compile(r"set-cookie|location|etag|authorization|csrf-token|x-.*", re.IGNORECASE)


def is_of_browser(name: str, value: str) -> bool:
    """True for headers that a load does without: the browser's, the connection's, an `Accept` of anything."""
    return bool(_OF_BROWSER.fullmatch(name)) or (name.lower() == "accept" and "*/*" in value)


def hands_out(name: str) -> bool:
    """True for a header of a reply that may have what a later request sends back."""
    return bool(_OF_REPLY.fullmatch(name))
