"""Host names as they are looked up and written into a request."""

from __future__ import annotations


def ascii_host(name: str) -> str:
    """A host name in ASCII, as `requests` has it (IDNA 2008).

    >>> ascii_host("straße.test")
    'xn--strae-oqa.test'

    Raises `ValueError` for what is no host name.
    """
    if name.isascii():
        return name
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{name!r} is no host name: {error}") from None
