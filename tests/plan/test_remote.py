"""What of a scenario can be told to another process, and that it is the same scenario there."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.phases import hold, ramp
from loadkit.plan.remote import OF_THE_WHOLE, changed_fields, with_fields, with_source
from loadkit.plan.scenario import Scenario, Source

HOME = Endpoint("GET", "/", check=lambda reply: True)


def loaded(**fields: Any) -> Scenario:
    made = Scenario(**{"base_url": "http://h", "endpoints": [HOME], "name": "browse"} | fields)
    return made.replace(source=Source(target="/shop.py::browse", scenario=made))


def there(scenario: Scenario, told: dict[str, Any]) -> Scenario:
    """What another process makes of it, which has loaded the file itself."""
    assert scenario.source
    return with_fields(scenario.source.scenario, json.loads(json.dumps(told)))


CHANGES: list[dict[str, Any]] = [
    {},
    {"base_url": "http://127.0.0.1:1"},
    {"threads": 7, "duration": "90s", "warmup": 1.25},
    {"iterations": 3, "seed": -1, "timeout": "1ms"},
    {"think_time": ("100ms", "0.3s")},
    {"rate": "200/s", "arrivals": "poisson", "max_threads": 9},
    {"rate": 1 / 3, "duration": 0.1 + 0.2},
    {"phases": [ramp("10s", to=50), hold("1m", name="peak"), ramp("5s", to="10/s", start=30)], "rate": "5/s"},
    {"phases": [hold("1m")], "thresholds": ["hold: p99 < 1s"]},
    {"headers": {"Authorization": "Bearer x"}},
    {"ca": Path("ca.pem"), "verify": False},
    {"cert": (Path("client.pem"), "key.pem")},
    {"keep_going": True, "body_limit": "1kB"},
]


@pytest.mark.parametrize("fields", CHANGES, ids=lambda fields: " ".join(fields) or "nothing")
def test_a_scenario_changed_is_the_same_in_another_process(fields: dict[str, Any]) -> None:
    scenario = loaded().replace(**fields)

    found = there(scenario, changed_fields(scenario))

    for field in dataclasses.fields(Scenario):
        if field.name not in OF_THE_WHOLE:
            mine, theirs = getattr(scenario, field.name), getattr(found, field.name)
            # a path has no JSON form and is as good as its text
            assert str(theirs) == str(mine) if field.name == "ca" else _plain(theirs) == _plain(mine), field.name


def _plain(value: object) -> object:
    return tuple(str(one) for one in value) if isinstance(value, tuple) and value[:1] != (HOME,) else value


def test_changes_of_phases_do_not_draw_conclusions_a_second_time() -> None:
    scenario = loaded(phases=[ramp("10s", to=50), hold("1m")]).replace(seed=1)
    # other threads, and the phases are to stay, which Scenario.replace would take out
    scenario = dataclasses.replace(scenario, threads=5)

    found = there(scenario, changed_fields(scenario))

    assert (found.phases, found.threads) == (scenario.phases, 5)


def test_only_what_is_different_is_told() -> None:
    scenario = loaded(threads=3, think_time=lambda source: 0.1, ca="x").replace(seed=4, processes=2, name="other")

    assert changed_fields(scenario) == {"seed": 4}


def test_a_part_leaves_to_the_whole_what_is_its_business() -> None:
    scenario = loaded(server=["app"], thresholds=["p99 < 1s"], processes=4)

    found = there(scenario, changed_fields(scenario))

    assert (found.server, found.thresholds, found.processes, found.source) == (None, (), 1, None)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"endpoints": [HOME.replace(check=print)]}, "endpoints"),
        ({"think_time": lambda source: 0.2}, "think_time"),
    ],
)
def test_code_is_not_told_to_other_processes(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=rf"^{name} was changed after /shop.py::browse was loaded, to what cannot be "):
        changed_fields(loaded().replace(**fields))


def test_a_scenario_made_in_python_is_found_by_no_other_process() -> None:
    with pytest.raises(
        UsageError,
        match=r"^browse was made in Python, where other processes cannot find it; "
        r"run it by its file \(loadkit run FILE.py --processes 3\), or with processes=1$",
    ):
        changed_fields(loaded().replace(source=None, processes=3))


def test_a_scenario_of_an_imported_module_is_found_again_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "imported_shop.py"
    file.write_text(
        "from loadkit import Endpoint, Scenario\n"
        'home = Endpoint("GET", "/imported")\n'
        'browse = Scenario(base_url="http://h", endpoints=[home])\n'
        'rush = Scenario(base_url="http://h", endpoints=[home], name="rush hour", rate=5)\n'
    )
    (tmp_path / "a_user_of_it.py").write_text("from imported_shop import browse, rush\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("a_user_of_it")
    module: Any = importlib.import_module("imported_shop")

    found = [with_source(one).source for one in (module.browse, module.rush, module.rush.replace(rate=7))]

    assert [one.target for one in found if one] == [f"{file}::browse", f"{file}::rush hour", f"{file}::browse"]
    assert changed_fields(with_source(module.rush.replace(rate=7))) == {"rate": 7.0}
    assert with_source(Scenario(base_url="http://h", endpoints=[Endpoint("GET", "/nowhere")])).source is None
    for name in ("imported_shop", "a_user_of_it"):
        monkeypatch.delitem(sys.modules, name)
