"""The fields of a page: what a form sends along that nobody typed, such as a token against forged requests."""

from __future__ import annotations

import html
import re


def fields(page: str) -> dict[str, str]:
    """What inputs and meta elements of an HTML page hold, by their names."""
    found: dict[str, str] = {}
    for tag in re.findall(r"<(?:input|meta)\b[^>]*>", page, re.IGNORECASE):
        pairs = re.findall(r"""([\w-]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""", tag)
        texts = ((name, text[1:-1] if text[0] in "\"'" else text) for name, text in pairs)
        held = {name.lower(): html.unescape(text) for name, text in texts}
        if "name" in held:
            value = held.get("value", held.get("content", ""))
            found.setdefault(held["name"], value)
    return found
