"""The command line: it turns words into values, calls a job, and turns what comes of it into text and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import typer

import loadkit
from loadkit._version import __version__
from loadkit.cli.compare import compare
from loadkit.cli.console import complain, print_traceback
from loadkit.cli.demo import demo
from loadkit.cli.fetch import fetch
from loadkit.cli.habits import explanation, understood
from loadkit.cli.history import history
from loadkit.cli.limit import limit
from loadkit.cli.list import list_targets
from loadkit.cli.report import report
from loadkit.cli.run import run
from loadkit.plan.errors import LoadkitError, UsageError

app = typer.Typer(
    name="loadkit",
    help="pytest for load and latency: run scenarios, believe the figures.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# typer brings its own copy of click in some versions and takes the installed one in others
_WrongUsage: type[Exception] = typer.BadParameter.__bases__[0]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(_exit_code(understood(sys.argv[1:] or ["--help"], {*COMMANDS, "curl"})))


def _exit_code(words: list[str]) -> int:
    try:
        code = _command()(words, standalone_mode=False)
    except LoadkitError as error:
        complain(error)
        if type(error) is LoadkitError and error.__cause__:
            print_traceback(error.__cause__)
        return error.exit_code
    except _WrongUsage as error:
        message, meant = _message(error), explanation(words)
        # typer suggests what is spelt alike, which is not what was meant where that is known
        message = f"{message.partition(' (Possible')[0]}; {meant}" if meant else message
        complain(UsageError(f"{message} (loadkit --help tells more)"))
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 2
    except SystemExit as error:
        # typer and rich exit so where the pipe they print to is closed
        return 0 if _is_broken_output(error.__context__) else _fault(error)
    except Exception as error:  # noqa: BLE001 - Python's own exit code for it is 1, that of a missed threshold
        return _fault(error)
    # typer's code for a Ctrl-C before anything ran
    return 2 if code == 130 else code or 0


@cache
def _command() -> Callable[..., int]:
    # typer makes it anew from the signatures in each call of an app, and takes 20 ms
    return typer.main.get_command(app)


def _fault(error: BaseException) -> int:
    """Show a fault of ours."""
    print_traceback(error)
    return LoadkitError.exit_code


def _is_broken_output(error: BaseException | None) -> bool:
    """True if a pipe broke at the command line itself, and not within a job."""
    import traceback

    ours = str(Path(loadkit.__path__[0]))
    frames = traceback.walk_tb(error.__traceback__ if error else None)
    files = [Path(frame.f_code.co_filename) for frame, _ in frames]
    return isinstance(error, BrokenPipeError) and all(
        file.relative_to(ours).parts[0] in ("cli", "__main__.py") for file in files if file.is_relative_to(ours)
    )


def _message(error: Exception) -> str:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return str(message).strip().rstrip(".").replace("\n", " ")


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"loadkit {__version__}")
        raise typer.Exit


COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "run": run,
    "compare": compare,
    "limit": limit,
    "history": history,
    "list": list_targets,
    "report": report,
    "demo": demo,
    "fetch": fetch,
}
for _name, _function in COMMANDS.items():
    app.command(_name)(_function)


@app.command("curl", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def _curl(context: typer.Context) -> None:
    """Send a pasted curl command under load: loadkit curl -X POST URL -d a=1 -c 10 -z 30s."""
    from loadkit.cli.curl import run_words

    raise typer.Exit(_command()(["run", *run_words(context.args)], standalone_mode=False))
