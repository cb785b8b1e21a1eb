"""What is asked of a session on the command line, or else in its settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadkit.plan.errors import UsageError
from loadkit.plan.scenario_fields import parse_base_url

if TYPE_CHECKING:
    from loadkit.jobs.otlp import OtlpTarget


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options, where those are given, and the settings."""

    config: pytest.Config

    def check(self) -> None:
        """Raise `UsageError` for what cannot be followed."""
        if self.base_url:
            parse_base_url(self.base_url, what="--load-base-url")
        _ = self.otlp
        if self.report not in ("short", "full", "no"):
            raise UsageError(f"--load-report takes short, full or no, not {self.report!r}")

    def path(self, name: str) -> Path | None:
        """What the option says, from where pytest was started, or the setting, from the root of the project."""
        if given := self.config.getoption(name):
            if given == "-":
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} takes the name of a file or folder, not '-': stdout is pytest's")
            return Path(self.config.invocation_params.dir, given)
        given = self.config.getini(name)
        return Path(self.config.rootpath, given) if given else None

    @property
    def html(self) -> Path | None:
        """The file of the page of all load tests, if one is asked for."""
        return self.path("load_html")

    @property
    def base_url(self) -> str:
        """Where all load tests are aimed; empty where that is not asked for."""
        return str(self.config.getoption("load_base_url") or "")

    @property
    def otlp(self) -> OtlpTarget | None:
        """The collector that is sent the metrics of each run; `UsageError` for what cannot be one."""
        given = self.config.getoption("load_otlp")
        if given is None and not (given := self.config.getini("load_otlp")):
            return None
        from loadkit.jobs.otlp import otlp_target

        return otlp_target(str(given), what="--load-otlp")

    @property
    def report(self) -> str:
        """How much of each run is shown below a test that failed: `short`, `full` or `no`."""
        return str(self.config.getoption("load_report") or self.config.getini("load_report"))

    @property
    def markdown(self) -> Path | None:
        """The same of the Markdown."""
        return self.path("load_markdown")

    @property
    def formats(self) -> dict[str, Path]:
        """The files of formats for other programs that are asked for, by the names of these."""
        named = {name: self.path(f"load_{name}") for name in ("csv", "hlog", "prometheus")}
        return {name: path for name, path in named.items() if path}

    @property
    def save(self) -> str:
        """The name of the baseline in which results are kept; empty where none is asked for."""
        return self.config.getoption("load_save") or ""

    @property
    def compare(self) -> str:
        """The name of the baseline beside which results are shown; empty where none is asked for."""
        return self.config.getoption("load_compare") or ""

    @property
    def is_judged_by_baseline(self) -> bool:
        """True if what is worse than the rounds of that baseline fails its test."""
        return bool(self.config.getoption("load_compare_fail"))

    @property
    def rounds(self) -> int:
        """How often each load is run."""
        return int(self.config.getoption("load_repeat"))

    @property
    def folder(self) -> Path:
        """Where baselines are."""
        return self.config.rootpath / str(self.config.getini("load_baselines"))
