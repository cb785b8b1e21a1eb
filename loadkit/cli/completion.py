"""Shell completion of the command line, which is typer's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer
from typer._completion_shared import get_completion_script, install
from typer.core import TyperGroup

from loadkit.cli.console import print_text
from loadkit.plan.errors import UsageError

VARIABLE: Final = "_LOADKIT_COMPLETE"
"""Of the environment: a shell that completes a command line calls loadkit with it."""

_SHELLS: Final = ("bash", "zsh", "fish")


def complete(commands: Mapping[str, Callable[..., int]]) -> None:
    """Print what may follow in the command line that the environment has, and end the process."""
    app = typer.Typer(cls=_RunIfNoneIsNamed)
    for name, function in commands.items():
        app.command(name)(function)
    app(prog_name="loadkit")


class _RunIfNoneIsNamed(TyperGroup):
    """`loadkit shop.py` means `loadkit run shop.py`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["run", *args])


def set_up_completion(words: Sequence[str]) -> int:
    """Print the script that makes a shell complete, or install it; the exit code. Raises `UsageError`."""
    option, *shells = words
    shell = shells[0] if shells else Path(os.environ.get("SHELL", "")).name
    if shell not in _SHELLS or shells[1:]:
        raise UsageError(f"{option} takes the name of a shell: {option} bash, or zsh or fish")
    if option == "--show-completion":
        return print_text(get_completion_script(prog_name="loadkit", complete_var=VARIABLE, shell=shell))
    try:
        _, path = install(shell=shell, prog_name="loadkit", complete_var=VARIABLE)
    except OSError as error:
        raise UsageError(f"cannot install the completion for {shell}: {error}") from None
    return print_text(f"installed {path}; a new {shell} completes loadkit")
