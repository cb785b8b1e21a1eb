"""The head of a reply, read when it is looked at."""

from __future__ import annotations

from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from loadkit.wire.session.raw import message_of


class Head:
    """The head of replies that are the same byte for byte: what was read in it is read once."""

    __slots__ = ("_encoding", "_pairs", "coded", "cookies", "dated", "raw", "unusual")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        lower = raw.lower()
        self.cookies = b"\nset-cookie:" in lower
        self.dated = b"max-age" in lower
        self.coded = b"\ncontent-encoding:" in lower
        self.unusual = self.cookies or self.coded or b"\nlocation:" in lower
        """There is more to do than to hand the body over."""
        self._pairs: dict[str, tuple[str, str]] | None = None
        self._encoding: str | None = None

    def headers(self) -> CaseInsensitiveDict[str]:
        """A new dictionary of the headers."""
        pairs = self._read()
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for name, value in pairs.values():
            headers[name] = value
        return headers

    @property
    def encoding(self) -> str | None:
        """The charset that the headers tell of."""
        if self._pairs is None:
            self._read()
        return self._encoding

    def _read(self) -> dict[str, tuple[str, str]]:
        if self._pairs is None:
            pairs: dict[str, tuple[str, str]] = {}
            for name, value in message_of(self.raw).items():
                key = name.lower()
                # urllib3 keeps the first spelling and joins the values
                pairs[key] = (pairs[key][0], f"{pairs[key][1]}, {value}") if key in pairs else (name, value)
            self._pairs = pairs
            self._encoding = get_encoding_from_headers(self.headers())
        return self._pairs
