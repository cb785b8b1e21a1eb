"""What the plugin costs who does not load anything: nothing heavy, no thread, nothing changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.plugin.conftest import OTHERS

pytest_plugins = "pytester"

TOLD = """
import json, sys, threading

def pytest_sessionfinish(session):
    loaded = [name for name in sys.modules if name.startswith("loadkit")]
    heavy = sorted({"requests", "msgspec", "hdrh", "httptools", "rich", "ssl"} & set(sys.modules))
    told = {"loaded": sorted(loaded), "heavy": heavy, "threads": threading.active_count()}
    (session.config.rootpath / "told.json").write_text(json.dumps(told))
"""


def told(pytester: pytest.Pytester, *arguments: str) -> dict[str, Any]:
    """What a pytest in a process of its own has imported at its end."""
    pytester.makeconftest(TOLD)
    others = [word for name in OTHERS for word in ("-p", f"no:{name}")]
    pytester.runpytest_subprocess(*others, *arguments).assert_outcomes(passed=1)
    found: dict[str, Any] = json.loads((pytester.path / "told.json").read_text())
    return found


def test_a_session_that_loads_nothing_imports_nothing_of_loadkit_but_plugin_and_options(
    pytester: pytest.Pytester,
):
    """Although a comparison fails, which the plugin is asked to explain."""
    pytester.makepyfile(
        "import pytest\n\ndef test_it():\n    with pytest.raises(AssertionError):\n        assert 0.5 < 0.25\n"
    )

    rooms = ("loadkit.jobs.functional", "loadkit.jobs.testing")
    options = ["loadkit.jobs", *(one for room in rooms for one in (room, f"{room}.options"))]
    loaded = ["loadkit", "loadkit._version", *options, "loadkit.pytest_plugin"]
    assert told(pytester) == {"loaded": loaded, "heavy": [], "threads": 1}


def test_a_scenario_file_beside_the_test_is_met_and_costs_little(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_it="def test_it():\n    pass\n",
        scenario_it="from loadkit import Endpoint, Scenario\nbad = Scenario(endpoints=[])\n",
    )

    found = told(pytester, "test_it.py")

    assert found["heavy"] == []
    assert "loadkit.jobs.run" not in str(found["loaded"])
