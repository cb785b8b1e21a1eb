"""`python -m benchmarks.startup`: measures loadkit's CPU to start and writes it into the README."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import machine, process
from benchmarks.process import LOADKIT, Failed, available_cores, interrupt_on_terminate
from benchmarks.report import Target, publish, table, targets_table

LIMIT = 0.3
PLUGIN_LIMIT = 0.03
WITHOUT, WITH = "pytest", "pytest -p loadkit.pytest_plugin"
COMMANDS = {
    "loadkit --help": [*LOADKIT, "--help"],
    "python -c 'import loadkit'": [sys.executable, "-c", "import loadkit"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def commands(folder: Path) -> dict[str, list[str]]:
    """What is measured; pytest runs one test that loads nothing, with our plugin and without it."""
    test = folder / "test_nothing.py"
    test.write_text("def test_nothing():\n    pass\n")
    # other plugins take ten times as long as ours, and as long as they like
    alone = ["env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", sys.executable, "-m", "pytest", "-q", "-c", "/dev/null"]
    pytest = [*alone, "-p", "no:cacheprovider", str(test)]
    return {**COMMANDS, WITHOUT: pytest, WITH: [*pytest, "-p", "loadkit.pytest_plugin"]}


def cpu_seconds(command: list[str], runs: int, folder: Path) -> list[float]:
    """Of each run, ascending; a first run that writes the byte code is not among them."""
    core = available_cores()[1]
    seconds = [process.run(command, core=core, limit=60, folder=folder).cpu for _ in range(runs + 1)]
    return sorted(seconds[1:])


def measured(runs: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """The seconds of each command that works, and why the others do not."""
    found: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="loadkit-startup-") as name:
        for title, command in commands(Path(name)).items():
            try:
                found[title] = cpu_seconds(command, runs, Path(name))
            except Failed as failure:
                failed[title] = str(failure)
    return found, failed


def page(found: dict[str, list[float]], failed: dict[str, str], runs: int) -> str:
    help_seconds = found.get("loadkit --help")
    target = Target(
        claim=f"loadkit --help: at most {LIMIT} s of CPU",
        limit=LIMIT,
        figure=median(help_seconds) if help_seconds else None,
        unit=" s",
        reason=failed.get("loadkit --help", ""),
    )
    plugin = Target(
        claim=f"pytest with the plugin and without load tests: at most {PLUGIN_LIMIT} s of CPU more",
        limit=PLUGIN_LIMIT,
        figure=median(found[WITH]) - median(found[WITHOUT]) if {WITH, WITHOUT} <= found.keys() else None,
        unit=" s",
        reason=failed.get(WITH, "") or failed.get(WITHOUT, ""),
    )
    rows = [[f"`{title}`", _spread(seconds)] for title, seconds in found.items()]
    parts = [
        f"{machine.described()}. {runs} runs each.",
        table(["command", "CPU s (min-max)"], rows),
        *[f"Left out: `{title}`, because {reason}." for title, reason in failed.items()],
        targets_table([target, plugin]),
    ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="runs of each command (default 10)")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, default=True, help="into the README")
    options = parser.parse_args()
    interrupt_on_terminate()
    found, failed = measured(options.runs)
    publish("startup", page(found, failed, options.runs), write=options.write)


def _spread(ascending: list[float]) -> str:
    return f"{median(ascending):.3f} ({ascending[0]:.3f}-{ascending[-1]:.3f})"


if __name__ == "__main__":
    main()
