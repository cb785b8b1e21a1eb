"""OpenAPI documents, in JSON and YAML, with their references."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from loadkit.plan.errors import UsageError, reason_of

MOST_NODES: Final = 1_000_000
"""Values of a document: a few lines of YAML may stand for billions."""
MOST_REFERENCES: Final = 10_000
"""Objects that are looked at for one operation: a few references may stand for billions, too."""


class MissingError(Exception):
    """The document does not say what is needed; the message says of what."""


class Document:
    """A document whose references lead to other parts of it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self._left = MOST_REFERENCES

    def start_over(self) -> None:
        """Count anew how many objects are looked at."""
        self._left = MOST_REFERENCES

    def resolved(self, node: Any, seen: frozenset[str] = frozenset()) -> tuple[dict[str, Any], frozenset[str]]:
        """An object, or what it refers to, and the references that were followed to it.

        Raises `MissingError` for one that leads to itself, to nowhere or to another document, and `RecursionError`
        where there is no end of them.
        """
        self._left -= 1
        if self._left < 0:
            raise RecursionError
        while isinstance(node, Mapping) and "$ref" in node:
            reference = node["$ref"]
            if reference in seen:
                raise MissingError(f"{_last(reference)}, which contains itself")
            seen |= {reference}
            # what stands beside a reference adds to it from OpenAPI 3.1 on
            beside = {name: value for name, value in node.items() if name != "$ref"}
            found = self._at(reference)
            node = {**found, **beside} if isinstance(found, Mapping) else found
        return (dict(node) if isinstance(node, Mapping) else {}), seen

    def _at(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise MissingError(f"{reference}, which is in another document")
        node: Any = self.root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = node[int(name)]
            elif isinstance(node, Mapping) and name in node:
                node = node[name]
            else:
                raise MissingError(f"{reference}, which is not there")
        return node


def _last(reference: object) -> str:
    return str(reference).rpartition("/")[2]


def read_document(path: Path) -> Document:
    """Read a document of OpenAPI 3 or Swagger 2; `UsageError` for a file that is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {reason_of(error)}") from None
    try:
        root = json.loads(content) if content.lstrip().startswith(b"{") else _from_yaml(content, path)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) if not isinstance(error, RecursionError) else "it contains itself"
        raise UsageError(f"{str(path)!r} is no OpenAPI document: {reason}") from None
    version = str(root.get("openapi") or root.get("swagger") or "") if isinstance(root, dict) else ""
    if not version.startswith(("3.", "2.")) or not isinstance(root.get("paths", {}), dict):
        raise UsageError(f"{str(path)!r} is no OpenAPI document; it begins like {{'openapi': '3.1.0', 'paths': {{…}}}}")
    return Document(cast("dict[str, Any]", root))


def _from_yaml(content: bytes, path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise UsageError(f"{str(path)!r} is YAML, which takes PyYAML: pip install pyyaml; or give it as JSON") from None

    class Loader(yaml.SafeLoader):
        """Leaves dates as they are written."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        found = yaml.load(content, Loader)  # noqa: S506 - it is a safe one
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    return _in_json(found, [MOST_NODES])


def _in_json(value: Any, left: list[int]) -> Any:
    """A value with text as names, as JSON has them; raises `ValueError` for a document without an end."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"it has more than {MOST_NODES:,} values")
    if isinstance(value, dict):
        return {str(name): _in_json(one, left) for name, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_in_json(one, left) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
