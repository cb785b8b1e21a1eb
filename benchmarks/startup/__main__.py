"""`python -m benchmarks.startup`: measures loadkit's CPU to start and to its first request, into the page."""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import machine, process
from benchmarks.process import LOADKIT, Failed, available_cores, interrupt_on_terminate
from benchmarks.report import Target, publish, table, targets_table

LIMIT = 0.3
PLUGIN_LIMIT = 0.03
REQUEST_LIMIT = 2.5
"""Times the CPU of `import requests`."""
IMPORTS, URL = "python -c 'import requests'", "loadkit URL, until its first request"
WITHOUT, WITH = "pytest", "pytest -p loadkit.pytest_plugin"
COMMANDS = {
    "loadkit --help": [*LOADKIT, "--help"],
    "python -c 'import loadkit'": [sys.executable, "-c", "import loadkit"],
    "python -c pass": [sys.executable, "-c", "pass"],
    IMPORTS: [sys.executable, "-c", "import requests"],
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


def until_the_first_request(runs: int, folder: Path) -> list[float]:
    """CPU seconds of `loadkit URL` when the first bytes of a request arrive, of each run, ascending."""
    seconds = []
    for _ in range(runs + 1):
        with socket.create_server(("127.0.0.1", 0)) as server, (folder / "output.txt").open("wb") as output:
            server.settimeout(60)
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            child = process.start([*LOADKIT, url, "-c", "1"], core=available_cores()[1], output=output)
            try:
                connection, _ = server.accept()
                connection.recv(1)
                threads = Path(f"/proc/{child.pid}/task").glob("*/schedstat")
                seconds.append(sum(int(one.read_text().split()[0]) for one in threads) / 1e9)
                connection.close()
            except TimeoutError:
                raise Failed("no request came within 60 s") from None
            finally:
                child.kill()
                child.wait()
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
        try:
            found[URL] = until_the_first_request(runs, Path(name))
        except Failed as failure:
            failed[URL] = str(failure)
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
    request = Target(
        claim=f"CPU until the first request: at most {REQUEST_LIMIT} x that of `import requests`",
        limit=REQUEST_LIMIT,
        figure=median(found[URL]) / median(found[IMPORTS]) if {URL, IMPORTS} <= found.keys() else None,
        unit=" x",
        reason=failed.get(URL, "") or failed.get(IMPORTS, ""),
    )
    rows = [[f"`{title}`", _spread(seconds)] for title, seconds in found.items()]
    parts = [
        f"{machine.described()}. {runs} runs each.",
        table(["command", "CPU s (min-max)"], rows),
        *[f"Left out: `{title}`, because {reason}." for title, reason in failed.items()],
        targets_table([target, request, plugin]),
    ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="runs of each command (default 10)")
    write = argparse.BooleanOptionalAction
    parser.add_argument("--write", action=write, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    interrupt_on_terminate()
    found, failed = measured(options.runs)
    publish("startup", page(found, failed, options.runs), write=options.write)


def _spread(ascending: list[float]) -> str:
    return f"{median(ascending):.3f} ({ascending[0]:.3f}-{ascending[-1]:.3f})"


if __name__ == "__main__":
    main()
