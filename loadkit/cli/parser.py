"""A command line, read by the signature of a function: its parameters are the options and arguments.

>>> def run(targets: Annotated[list[str], Argument("What to run.")],
...         threads: Annotated[str | None, option("--threads", "-c", help="Virtual users.")] = None) -> int: ...

The words `-c 10 shop.py` call `run(targets=["shop.py"], threads="10")`. argparse of the standard library guesses
abbreviated options and takes none between arguments; typer imports pydantic, which is 0.35 s of CPU, more than all that
loadkit needs before its first request.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

from loadkit.plan.errors import UsageError


@dataclass(frozen=True, slots=True)
class Argument:
    """What help says of a word without an option."""

    help: str


@dataclass(frozen=True, slots=True)
class Option:
    """How an option is written, what its value is called, and what help says of it, in which group."""

    names: Sequence[str]
    help: str
    value: str
    group: str
    envvar: str


def option(
    *names: str,
    help: str,  # noqa: A002 - as argparse and typer have it
    value: str = "VALUE",
    group: str = "Options",
    envvar: str = "",
) -> Option:
    """An option; without names it is called like its parameter. `envvar` gives its value where nothing else does."""
    return Option(names, help, value, group, envvar)


class UnknownOption(UsageError):
    """There is no such option."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a command: an option or an argument, of which type, and what it is if it is not given."""

    name: str
    spec: Option | Argument
    type: type
    is_many: bool
    default: Any

    @property
    def is_flag(self) -> bool:
        """True for an option without a value."""
        return self.type is bool

    @property
    def is_required(self) -> bool:
        """True if the command cannot do without it."""
        return self.default is inspect.Parameter.empty

    @property
    def names(self) -> Sequence[str]:
        """The names of an option, none for an argument."""
        if isinstance(self.spec, Argument):
            return ()
        return self.spec.names or (f"--{self.name.replace('_', '-')}",)


class Given(dict[Parameter, Any]):
    """The values that stood on the command line; a function that asks for it is given this, too."""


@dataclass(frozen=True)
class Command:
    """A function that the command line calls."""

    name: str
    function: Callable[..., int]

    @cached_property
    def parameters(self) -> Sequence[Parameter]:
        """The options and arguments, as they are declared."""
        hints = get_type_hints(self.function, include_extras=True)
        defaults = inspect.signature(self.function).parameters
        return [_parameter(name, hint, defaults[name].default) for name, hint in hints.items() if _is_declared(hint)]

    def run(self, words: Sequence[str], environment: Mapping[str, str]) -> int:
        """Call the function with what the words say; the exit code. Raises `UsageError` for what they cannot be."""
        given = self.parsed(words)
        values = {
            one.name: one.type(environment[name])
            for one in self.parameters
            if isinstance(one.spec, Option) and (name := one.spec.envvar) in environment
        }
        values |= {one.name: value for one, value in given.items()}
        wants = [name for name, hint in get_type_hints(self.function).items() if hint is Given]
        return self.function(**values, **dict.fromkeys(wants, given))

    def parsed(self, words: Sequence[str]) -> Given:
        """The values that the words give, in the order of the parameters."""
        options = {name: one for one in self.parameters for name in one.names}
        negative = {f"--no-{name[2:]}": one for name, one in options.items() if one.is_flag and name.startswith("--")}
        given = Given()
        arguments: list[str] = []
        left = deque(words)
        while left:
            word = left.popleft()
            if word == "--":
                arguments += left
                break
            if word == "-" or not word.startswith("-"):
                arguments.append(word)
                continue
            name, value = _split(word, options)
            one = options.get(name)
            if one is None and word in negative:
                given[negative[word]] = False
            elif one is None:
                raise UnknownOption(_no_such(name, options))
            elif one.is_flag:
                if value is not None and word.startswith("--"):
                    raise UsageError(f"{name} takes no value, and {value!r} is one")
                given[one] = True
                if value is not None:  # -kq is -k -q
                    left.appendleft(f"-{value}")
            else:
                if value is None and not left:
                    raise UsageError(f"Option '{name}' requires an argument")
                _put(given, one, left.popleft() if value is None else value)
        self._take_arguments(given, arguments)
        return Given((one, given[one]) for one in self.parameters if one in given)

    def _take_arguments(self, given: Given, words: list[str]) -> None:
        left = deque(words)
        for one in self.parameters:
            if isinstance(one.spec, Argument):
                if not left and one.is_required:
                    raise UsageError(f"Missing argument '{one.name}'")
                while left and (one.is_many or one not in given):
                    _put(given, one, left.popleft())
        if left:
            raise UsageError(f"Got unexpected extra argument ({left[0]})")


def _is_declared(hint: Any) -> bool:
    return any(isinstance(one, Option | Argument) for one in getattr(hint, "__metadata__", ()))


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    (spec,) = (one for one in hint.__metadata__ if isinstance(one, Option | Argument))
    kinds = [one for one in get_args(hint.__origin__) or [hint.__origin__] if one is not NoneType]
    kind = hint.__origin__ if get_origin(hint.__origin__) is list else kinds[0]
    is_many = get_origin(kind) is list
    return Parameter(name, spec, get_args(kind)[0] if is_many else kind, is_many, default)


_SHORT: Final = 2


def _split(word: str, options: Mapping[str, Parameter]) -> tuple[str, str | None]:
    """The name of an option and the value in the same word, as in `--rate=10/s` and `-c10`."""
    if word.startswith("--") or word in options:
        name, equals, value = word.partition("=")
        return name, value if equals else None
    return word[:_SHORT], word[_SHORT:] or None


def _put(given: Given, one: Parameter, text: str) -> None:
    if one.is_many:
        given.setdefault(one, []).append(one.type(text))
    else:
        given[one] = one.type(text)


def _no_such(name: str, options: Mapping[str, Parameter]) -> str:
    close = close_to(name, options) if name.startswith("--") else []
    alike = f" (Possible options: {', '.join(close)})" if close else ""
    return f"No such option: {name}{alike}"


def close_to(name: str, known: Iterable[str]) -> list[str]:
    """What is spelt alike."""
    from difflib import get_close_matches

    return sorted(get_close_matches(name, list(known)))
