"""Values, calls and statements as Python that a person would have written, and that formatters leave as it is.

Foreign text (names, URLs, bodies) gets into a file as a literal, or made visible in a docstring or comment, and in no
other way.
"""

from __future__ import annotations

import builtins
import keyword
import math
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from loadkit.report.escape import visible

WIDTH: Final = 88
"""Columns of a line, as formatters have them that are not told; what is broken stays broken where there are more."""

LONGEST_NAME: Final = 40
"""Characters of a variable that is named after foreign text."""

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MEANT: Final = frozenset(
    ("http", "os", "reply", "re", "html", "fields", "quote", "unquote", "rows", "credentials", "visit", "browse")
)
"""Names that mean something else in the files that are written."""


@dataclass(frozen=True, slots=True)
class Code:
    """An expression that is written as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Text of which some parts are variables: an f-string."""

    parts: tuple[str | Code | Variable, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function."""

    function: str
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


Expression: TypeAlias = Any
"""Any of these; or None, a number, text, bytes, or a list, tuple or dict of expressions."""


def expression(value: Expression, *, indent: int = 0, used: int = 0) -> str:
    """An expression as source text; `used` columns of its first line, and of its last one, are taken."""
    flat = _flat(value)
    items = list(_items(value))
    if not items or indent + used + len(flat) <= WIDTH:
        return flat
    start, end = _brackets(value)
    inner, pad = indent + 4, " " * indent
    lines = [f"{pad}    {name}{expression(one, indent=inner, used=len(name) + 1)}," for name, one in items]
    return "\n".join([start, *lines, f"{pad}{end}"])


def _items(value: Expression) -> Iterable[tuple[str, Expression]]:
    """What is in brackets, each with what stands before it on its line."""
    if isinstance(value, Call):
        yield from (("", one) for one in value.positional)
        yield from ((f"{name}=", one) for name, one in value.named.items())
    elif isinstance(value, Mapping):
        yield from ((f"{_flat(name)}: ", one) for name, one in value.items())
    elif isinstance(value, list | tuple):
        yield from (("", one) for one in value)


def _brackets(value: Expression) -> tuple[str, str]:
    if isinstance(value, Call):
        return f"{value.function}(", ")"
    if isinstance(value, Mapping):
        return "{", "}"
    return ("[", "]") if isinstance(value, list) else ("(", ")")


def _flat(value: Expression) -> str:
    if isinstance(value, Code):
        return value.text
    if isinstance(value, Variable):
        return f'os.environ["{value.name}"]'
    if isinstance(value, Joined):
        return _f_string(value)
    if isinstance(value, Call | Mapping | list | tuple):
        start, end = _brackets(value)
        inside = ", ".join(f"{name}{_flat(one)}" for name, one in _items(value))
        return f"{start}{inside}{',' if isinstance(value, tuple) and len(value) == 1 else ''}{end}"
    if isinstance(value, str | bytes):
        return _quoted(value)
    if isinstance(value, float):
        return repr(value).replace("e+", "e") if math.isfinite(value) else f'float("{value}")'
    assert value is None or isinstance(value, bool | int), f"{type(value)} is no value of a scenario file"
    return repr(value)


def _quoted(text: str | bytes) -> str:
    """A literal in double quotes, unless others need fewer backslashes."""
    prefix = "" if isinstance(text, str) else "b"
    shown = text if isinstance(text, str) else text.decode("latin-1")
    quote = "'" if shown.count('"') > shown.count("'") else '"'
    return f"{prefix}{quote}{_inside(shown, quote, is_text=not prefix)}{quote}"


def _f_string(value: Joined) -> str:
    inside = ""
    for part in value.parts:
        if isinstance(part, Code):
            inside += f"{{{part.text}}}"
        elif isinstance(part, Variable):
            inside += f"{{os.environ['{part.name}']}}"
        else:
            inside += _inside(part, '"').replace("{", "{{").replace("}", "}}")
    return f'f"{inside}"'


def _inside(text: str, quote: str, *, is_text: bool = True) -> str:
    def escaped(char: str) -> str:
        if char in (quote, "\\"):
            return f"\\{char}"
        is_shown = char.isprintable() if is_text else " " <= char <= "~"
        return char if is_shown else repr(char if is_text else char.encode("latin-1"))[1 if is_text else 2 : -1]

    return "".join(map(escaped, text))


def docstring(text: str) -> str:
    """The docstring of a module: lines that are wrapped, those of a list under their first letter."""
    lines = [line for paragraph in text.split("\n") for line in _wrapped(visible(paragraph))]
    safe = [line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') for line in lines]
    if len(safe) > 1:
        return "\n".join([f'"""{safe[0]}', *safe[1:], '"""'])
    return f'"""{safe[0]} """' if safe[0].endswith('"') else f'"""{safe[0]}"""'


def _wrapped(paragraph: str) -> list[str]:
    indent = "  " if paragraph.startswith("- ") else ""
    return textwrap.wrap(paragraph, WIDTH, subsequent_indent=indent, break_long_words=False) or [""]


def identifier(text: str, taken: Collection[str] = (), *, otherwise: str = "value") -> str:
    """A name for a variable after foreign text, which is none of those taken.

    >>> identifier("accessToken"), identifier("class"), identifier("id", ["id_2"])
    ('access_token', 'class_', 'id_')
    """
    # what is written as variables are stays as it is: shop2, sha256
    parts = [text] if re.fullmatch("[a-z][a-z0-9_]*", text) else _WORDS.findall(text)
    words = "_".join(word.lower() for word in parts)[:LONGEST_NAME].strip("_")
    name = words if words[:1].isalpha() else f"{otherwise}_{words}".strip("_")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name) or name in _MEANT:
        name += "_"
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name.rstrip('_')}_{number}"
    return found


def variable_name(text: str, taken: Collection[str] = ()) -> str:
    """A name for an environment variable after foreign text.

    >>> variable_name("X-Api-Key"), variable_name("password", ["PASSWORD"])
    ('X_API_KEY', 'PASSWORD_2')
    """
    return identifier(text, [name.lower() for name in taken], otherwise="secret").rstrip("_").upper()
