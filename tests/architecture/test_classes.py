"""Classes stay small enough to be understood, and own what they are made of."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.package import FILES, nodes, place

LINES = 250
FIELDS = 15
"""Of a class that changes after it is made; frozen values may have more."""

FOREIGN = {"HttpRequestParser", "HttpResponseParser", "CookieJar"}
"""Made by other libraries, which call back the object they are given."""


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Each class of the package, by its file and name."""
    for path in FILES:
        yield from ((f"{place(path)} {node.name}", node) for node in nodes(path) if isinstance(node, ast.ClassDef))


def is_frozen(node: ast.ClassDef) -> bool:
    """True for a frozen dataclass or struct."""
    said = [*node.decorator_list, *(keyword for keyword in node.keywords)]
    return any("frozen" in ast.dump(one) for one in said)


def fields(node: ast.ClassDef) -> set[str]:
    """The attributes that methods assign, and the fields of a dataclass."""
    found = {
        target.attr for target in targets(node) if isinstance(target.value, ast.Name) and target.value.id == "self"
    }
    if any("dataclass" in ast.dump(one) for one in node.decorator_list):
        found |= {
            one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
    return found


def size_of(node: ast.ClassDef) -> tuple[int, int] | None:
    """Lines and fields of a class that is too large."""
    lines, count = (node.end_lineno or 0) - node.lineno + 1, 0 if is_frozen(node) else len(fields(node))
    return (lines, count) if lines > LINES or count > FIELDS else None


def targets(node: ast.AST) -> Iterator[ast.Attribute]:
    """What is assigned to as `something.name`."""
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store):
            yield one


def hands_itself_on(node: ast.ClassDef) -> list[int]:
    """Lines in which an object puts itself into another one, or makes a part of its own with itself."""
    return [
        one.lineno
        for one in ast.walk(node)
        if isinstance(one, ast.Assign)
        and (
            (is_self(one.value) and any(isinstance(target, ast.Attribute) for target in one.targets)) or makes_part(one)
        )
    ]


def is_self(node: ast.AST) -> bool:
    """True for the name `self`."""
    return isinstance(node, ast.Name) and node.id == "self"


def makes_part(node: ast.Assign) -> bool:
    """True for `self.part = Part(self, ...)`."""
    call = node.value
    if not isinstance(call, ast.Call) or not any(
        isinstance(one, ast.Attribute) and is_self(one.value) for one in node.targets
    ):
        return False
    made = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return made[:1].isupper() and made not in FOREIGN and any(map(is_self, given))


def test_a_class_is_no_larger_than_one_can_hold_in_mind() -> None:
    large = {name: size for name, node in classes() if (size := size_of(node))}
    assert not large, f"of more than {LINES} lines, or of more than {FIELDS} fields that change: {large}"


def test_an_object_is_not_handed_to_what_it_owns() -> None:
    handed = {name: lines for name, node in classes() if (lines := hands_itself_on(node))}
    assert not handed, f"in these lines: {handed}"
