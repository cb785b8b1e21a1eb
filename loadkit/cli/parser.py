"""A command of the command line: typer reads it by the signature of a function, whose parameters are its options.

>>> def run(targets: Annotated[list[str], argument("What to run.")],
...         threads: Annotated[str | None, option("--threads", "-c", help="Virtual users.")] = None) -> int: ...

The words `-c 10 shop.py` call `run(targets=["shop.py"], threads="10")`. Values are text or paths: what they must be is
checked by whatever takes them, which names the right form.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import typer
from typer.main import get_command

from loadkit.plan.errors import UsageError

Parameter: TypeAlias = Any
"""An option or an argument as typer has it: `name`, `opts`, `help`, `metavar`, `multiple`, `required`."""

# typer brings its own copy of click in some versions and takes the installed one in others
_WrongUsage: type[Exception] = typer.BadParameter.__bases__[0]
_INTERRUPTED: Final = 130


class UnknownOption(UsageError):
    """There is no option of that name."""

    def __init__(self, name: str, alike: Iterable[str]) -> None:
        close = f" (Possible options: {', '.join(alike)})" if alike else ""
        super().__init__(f"No such option: {name}{close}")
        self.name = name


def argument(help: str) -> Any:  # noqa: A002 - as typer has it
    """A word without an option."""
    return typer.Argument(help=help, show_default=False)


def option(
    *names: str,
    help: str,  # noqa: A002 - as typer has it
    value: str = "VALUE",
    group: str = "Options",
    envvar: str = "",
) -> Any:
    """An option; without names it is called like its parameter. `envvar` gives its value where nothing else does.

    Help shows it in its group, and its value by that name.
    """
    return typer.Option(*names, help=help, metavar=value, rich_help_panel=group, envvar=envvar or None)


@dataclass(frozen=True)
class Command:
    """A function that the command line calls."""

    name: str
    function: Callable[..., int]

    @cached_property
    def parameters(self) -> Sequence[Parameter]:
        """The options and arguments, as they are declared."""
        return [one for one in self._made.params if one.name != "help"]

    @cached_property
    def _made(self) -> Any:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(self.name, add_help_option=False)(self.function)
        return get_command(app)

    def run(self, words: Sequence[str], defaults: Mapping[str, Any] | None = None) -> int:
        """Call the function with what the words say; the exit code. Raises `UsageError` for what they cannot be.

        Where they say nothing of a parameter it is what the environment says, or else what `defaults` do.
        """
        try:
            code = self._made(list(words), standalone_mode=False, default_map=defaults)
        except typer.Abort:
            raise KeyboardInterrupt from None
        except _WrongUsage as error:
            message = str(getattr(error, "message", "") or error).strip().rstrip(".").replace("\n", " ")
            if hasattr(error, "possibilities"):
                raise _unknown(error) from None
            raise UsageError(_missing(error) or message) from None
        # typer's code for a Ctrl-C before anything ran
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return code or 0


def given_values(context: typer.Context) -> dict[str, Any]:
    """The values that stood on the command line, by the names of the parameters, in the order of these."""
    values, source = context.params, context.get_parameter_source
    names = [str(one.name) for one in context.command.params]
    said = {name: values[name] for name in names if getattr(source(name), "name", "") == "COMMANDLINE"}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


def is_argument(one: Parameter) -> bool:
    """True for what is given without an option."""
    return bool(one.param_type_name == "argument")


def is_many(one: Parameter) -> bool:
    """True for what may be given several times."""
    return bool(getattr(one, "multiple", False) or one.nargs == -1)


def is_flag(one: Parameter) -> bool:
    """True for an option without a value."""
    return bool(getattr(one, "is_flag", False))


def _unknown(error: Any) -> UnknownOption:
    # of a short option what is spelt alike is any other
    return UnknownOption(error.option_name, sorted(error.possibilities or ()) * error.option_name.startswith("--"))


def _missing(error: Any) -> str:
    """Typer says of an argument that is missing what its help says, and not its name."""
    param = getattr(error, "param", None)
    return f"Missing argument '{param.name}'" if type(error).__name__ == "MissingParameter" and param else ""


def close_to(name: str, known: Iterable[str]) -> list[str]:
    """What is spelt alike."""
    from difflib import get_close_matches

    return sorted(get_close_matches(name, list(known)))


def about(function: Callable[..., object]) -> list[str]:
    """The paragraphs of what help says of a function."""
    return inspect.cleandoc(function.__doc__ or "").split("\n\n")
