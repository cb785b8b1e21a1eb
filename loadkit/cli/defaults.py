"""Defaults of `loadkit run` that a project keeps in its pyproject.toml, under `[tool.loadkit]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadkit.cli.parser import Parameter
from loadkit.plan.errors import UsageError, reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PATHS: Final = frozenset(
    (*("ca", "cert", "history", "html", "markdown", "output", "samples"), "csv", "junit", "hgrm", "hlog", "prometheus")
)
"""Options that name files."""


def project_defaults(parameters: Sequence[Parameter], folder: Path) -> dict[str, Any]:
    """What the pyproject.toml of a folder, or of the nearest one above it, says of options; none where there is none.

    Files are relative to it. Raises `UsageError` for a key that is no option, and for a value that one cannot have.
    """
    file = next((place for one in (folder, *folder.parents) if (place := one / "pyproject.toml").is_file()), None)
    if file is None:
        return {}
    known = {name: one for one in parameters for name in one.opts if name.startswith("--")}
    found = {}
    for key, value in _table(file).items():
        option = known.get(f"--{key}")
        if option is None:
            from difflib import get_close_matches

            close = get_close_matches(f"--{key}".replace("_", "-"), known, 1)
            hint = f"; did you mean {close[0].removeprefix('--')!r}?" if close else ", like threads = 16"
            raise UsageError(f"{file}: [tool.loadkit] has {key!r}, and its keys are the options of loadkit run{hint}")
        found[option.name] = _value(option, value, f"{file}: [tool.loadkit] {key}", file.parent)
    return found


def _table(file: Path) -> Mapping[str, Any]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {reason_of(error)}") from None
    if b"loadkit" not in content:
        return {}
    import tomllib

    try:
        table = tomllib.loads(content.decode()).get("tool", {}).get("loadkit", {})
    except ValueError as error:  # that of a TOML file, or of bytes that are no text
        raise UsageError(f"cannot read {file}: {error}") from None
    if not isinstance(table, dict):
        raise UsageError(f"{file}: tool.loadkit is a table, like [tool.loadkit], not {table!r}")
    return table


def _value(option: Parameter, value: object, what: str, folder: Path) -> Any:
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{what} takes true or false, not {value!r}")
        return value
    if not option.multiple:
        return _one(option, value, what, folder)
    many = value if isinstance(value, list) else [value]
    return [_one(option, one, what, folder) for one in many]


def _one(option: Parameter, value: object, what: str, folder: Path) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{what} takes text or a number{' or a list of them' * option.multiple}, not {value!r}")
    return str(folder / str(value)) if option.name in PATHS and value != "-" else str(value)
