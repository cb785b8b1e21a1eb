"""Values that an OpenAPI document gives: an example before a default before one of a list, and none is invented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from loadkit.importer.document import Document, MissingError

_NOTHING: Final = object()


def example_of(document: Document, node: Mapping[str, Any]) -> Any:
    """What a parameter, a body or a schema gives as an example; raises `MissingError` where there is none."""
    if "example" in node:
        return node["example"]
    examples = node.get("examples")
    if isinstance(examples, list) and examples:  # of a schema
        return examples[0]
    if isinstance(examples, Mapping):  # of a parameter or a body, by their names
        for named in examples.values():
            found, _ = document.resolved(named)
            if "value" in found:
                return found["value"]
    raise MissingError("")


def value_of(document: Document, schema: Any, what: str, seen: frozenset[str] = frozenset()) -> Any:
    """The value that a schema gives for `what`, which messages name.

    Raises `MissingError` where it, or a part that is required, gives none.
    """
    node, seen = document.resolved(schema, seen)
    found = _said(document, node)
    if found is not _NOTHING:
        return found
    if "allOf" in node:
        return value_of(document, _merged(document, node, seen), what, seen)
    for choices in (node.get("oneOf"), node.get("anyOf")):
        if isinstance(choices, list):
            return _first_of(document, choices, what, seen)
    kinds = node.get("type") if isinstance(node.get("type"), list) else [node.get("type")]
    if "object" in (kinds or ()) or "properties" in node:
        return _object(document, node, what, seen)
    if "array" in (kinds or ()):
        return [value_of(document, node.get("items", {}), f"{what}[]", seen)]
    if kinds == ["null"]:
        return None
    raise MissingError(f"{what} ({kind})" if (kind := "/".join(map(str, filter(None, kinds or ())))) else what)


def _said(document: Document, node: Mapping[str, Any]) -> Any:
    """What a schema says itself."""
    try:
        return example_of(document, node)
    except MissingError:
        pass
    for name in ("const", "default"):
        if name in node:
            return node[name]
    choices = node.get("enum")
    return choices[0] if isinstance(choices, list) and choices else _NOTHING


def _merged(document: Document, node: Mapping[str, Any], seen: frozenset[str]) -> dict[str, Any]:
    """A schema with those that it is made of."""
    merged: dict[str, Any] = {name: value for name, value in node.items() if name != "allOf"}
    for one in node["allOf"] if isinstance(node["allOf"], list) else ():
        part, _ = document.resolved(one, seen)
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", []), *part.get("required", [])]
        merged = {**part, **merged}
        merged |= {"properties": properties} if properties else {}
        merged |= {"required": required} if required else {}
    return merged


def _first_of(document: Document, choices: list[Any], what: str, seen: frozenset[str]) -> Any:
    reasons = []
    for one in choices:
        # that nothing may be sent is no value to send
        if one != {"type": "null"}:
            try:
                return value_of(document, one, what, seen)
            except MissingError as error:
                reasons.append(str(error))
    raise MissingError(reasons[0] if reasons else what)


def _object(document: Document, node: Mapping[str, Any], what: str, seen: frozenset[str]) -> dict[str, Any]:
    """Its required parts, and those of the others that have an example."""
    found, missing = {}, []
    required = node.get("required") if isinstance(node.get("required"), list) else []
    properties = node.get("properties") if isinstance(node.get("properties"), Mapping) else {}
    for name, schema in (properties or {}).items():
        path = f"{what}.{name}" if what else name
        try:
            part, _ = document.resolved(schema, seen)
            if part.get("readOnly"):
                continue
            if name in (required or ()):
                found[name] = value_of(document, schema, path, seen)
            else:
                found[name] = example_of(document, part)
        except MissingError as error:
            if name in (required or ()):
                missing.append(str(error) or path)
    missing += [f"{what}.{name}" for name in required or () if name not in (properties or {})]
    if missing:
        raise MissingError(", ".join(missing))
    return found
