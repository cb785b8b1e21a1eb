"""Names of files: unique by the position in the list, readable, and never outside the folder."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from loadkit.plan.errors import UsageError
from loadkit.plan.redact import is_harmless

if TYPE_CHECKING:
    from loadkit.fetcher.url import Url

FILES_PER_FOLDER: Final = 10_000
LONGEST_SLUG: Final = 80
LONGEST_QUERY: Final = 1000
SHORTEST_SECRET: Final = 6
"""Characters from which on a part of a query without a name is treated as a secret."""
LONGEST: Final = 200
"""Characters of one part of a path: almost every file system allows 255 bytes, and `.part` is appended."""
FAILED: Final = "failed"
RESERVED: Final = ("manifest.jsonl", "manifest.lock", FAILED)

GENERATED = re.compile(r"\d{6,}-[a-z0-9._-]*[0-9a-f]{8}\.[a-z0-9]{1,8}")
"""Matches the names that are given without a template: files with other names are not touched."""

EXTENSIONS: Final = {
    "application/json": "json",
    "application/ld+json": "jsonld",
    "application/x-ndjson": "jsonl",
    "application/xml": "xml",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/gzip": "gz",
    "application/javascript": "js",
    "application/wasm": "wasm",
    "application/xhtml+xml": "html",
    "text/html": "html",
    "text/css": "css",
    "text/csv": "csv",
    "text/xml": "xml",
    "text/javascript": "js",
    "text/markdown": "md",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/svg+xml": "svg",
    "image/x-icon": "ico",
    "audio/mpeg": "mp3",
    "video/mp4": "mp4",
    "font/woff2": "woff2",
}
# what servers send when they do not know
VAGUE: Final = {"": "bin", "application/octet-stream": "bin", "text/plain": "txt", "binary/octet-stream": "bin"}

_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,8})$")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._,=+@~-]+")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


def extension(path: str, content_type: str) -> str:
    """The extension for a Content-Type or, if that is vague, the one of the path."""
    kind = _kind(content_type)
    if kind in EXTENSIONS:
        return EXTENSIONS[kind]
    if found := _EXTENSION.search(path):
        return found[1].lower()
    if kind in VAGUE:
        return VAGUE[kind]
    if kind.endswith(("+json", "+xml")):
        return kind.rpartition("+")[2]
    return "txt" if kind.startswith("text/") else "bin"


@lru_cache(maxsize=64)
def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def slug(target: str) -> str:
    """A path and query in lower-case letters, digits and hyphens: `/posts/1?lang=en` is `posts-1-lang-en`.

    A value of the query that may be a secret becomes eight digits of its hash.
    """
    path, _, query = target.partition("?")
    values = "-".join(_letters(_without_secret(part)) for part in query[:LONGEST_QUERY].split("&"))
    return "-".join(filter(None, (path_slug(path), values)))[-LONGEST_SLUG:].strip("-")


def _without_secret(part: str) -> str:
    name, separator, value = part.partition("=")
    if not separator:
        return part if len(part) < SHORTEST_SECRET else _short_hash(part)
    return part if is_harmless(unquote(name)) or not value else f"{name}={_short_hash(value)}"


def _short_hash(secret: str) -> str:
    return blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def path_slug(path: str) -> str:
    """The slug of a path without a query. Many URLs share all but the last segment, so that is cached."""
    folders, _, last = _EXTENSION.sub("", path)[-400:].rpartition("/")
    if not (last.isascii() and last.isalnum()):
        last = _letters(last)
    found = f"{_folder_letters(folders)}-{last.lower()}" if last else _folder_letters(folders)
    return found[-LONGEST_SLUG:].strip("-")


def _letters(text: str) -> str:
    return _NOT_SLUG.sub("-", (unquote(text) if "%" in text else text).lower()).strip("-")


_folder_letters = lru_cache(maxsize=1024)(_letters)


class Filenames:
    """The paths of the files of one run: generated, or from a template of the user."""

    def __init__(self, template: str | None = None, *, flat: bool = False) -> None:
        self.template = template
        self._flat = flat
        if template is not None:
            _check(template)

    def path(self, position: int, url: Url, key: int, content_type: str) -> str:
        """The path for the body of a good reply; raises `ValueError` if the template gives none for it."""
        if self.template is None:
            return self._generated(position, url, key, content_type)
        return _checked(self.template.format_map(_fields(position, url, key, content_type)))

    def failed_path(self, position: int, url: Url, key: int, content_type: str) -> str:
        """The path for the body of a failed status."""
        return f"{FAILED}/{self._generated(position, url, key, content_type)}"

    def _generated(self, position: int, url: Url, key: int, content_type: str) -> str:
        """Position, slug, eight digits of the request's key; not the query, which may hold a secret."""
        path = url.target.partition("?")[0]
        number = 0 if self._flat else (position - 1) // FILES_PER_FOLDER
        folder, readable = f"{number:04}/" if number else "", path_slug(path)
        name = f"{position:06}-{readable}-" if readable else f"{position:06}-"
        return f"{folder}{name}{key >> 32:08x}.{extension(path, content_type)}"


def _fields(position: int, url: Url, key: int, content_type: str) -> dict[str, object]:
    path = url.target.partition("?")[0]
    parts = [component(unquote(part)) for part in path.split("/") if part]
    last = parts[-1] if parts else "index"
    return {
        "position": position,
        "host": component(url.host.replace(":", "_")),
        "path": "/".join(parts) or "index",
        "last": last,
        "slug": slug(url.target) or "index",
        "hash": f"{key:016x}",
        "ext": extension(path, content_type),
    }


def _check(template: str) -> None:
    sample = dict.fromkeys(("host", "path", "last", "slug", "hash", "ext"), "x") | {"position": 1}
    try:
        used = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        if unknown := [name for name in used if name not in sample]:
            known = ", ".join(f"{{{name}}}" for name in sample)
            raise UsageError(f"the name {template!r} uses {{{unknown[0]}}}, which there is not; there are {known}")
        _checked(template.format_map(sample))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        form = "write it like '{position:06}-{slug}.{ext}'"
        raise UsageError(f"cannot use the name {template!r}: {error}; {form}") from None
    if not used:
        raise UsageError(f"the name {template!r} is the same for every URL; write it like '{{position:06}}.{{ext}}'")


def component(text: str) -> str:
    """One part of a path made safe: no separators, dots alone, device names or hidden files, and not too long."""
    clean = _UNSAFE.sub("_", text).strip(" .") or "_"
    clean = f"_{clean}" if _DEVICES.fullmatch(clean) or clean[0] == "-" else clean
    if len(clean) <= LONGEST:
        return clean
    return clean[: LONGEST - 60] + "~" + clean[-59:]


def _checked(name: str) -> str:
    """The path that a template gives; raises `ValueError` for one that is not below the folder or used already."""
    parts = [component(part) for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in name.split("/") or name.startswith("/") or name.endswith("/"):
        raise ValueError(f"{name[:80]!r} is no name of a file in the folder")
    path = "/".join(parts)
    if len(path) > 1000 or len(parts) > 20:
        raise ValueError("a name of more than 1,000 characters or 20 folders")
    if parts[0].casefold() in RESERVED:
        raise ValueError(f"{parts[0]!r} is a name that is used already")
    return path
