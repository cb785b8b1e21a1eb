"""What a result is of: the same for the same load wherever it runs, another for another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from loadkit.judge.identity import ROOTS, identity
from loadkit.plan.data import rows
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.loader import load
from loadkit.plan.phases import hold, ramp
from loadkit.plan.scenario import Scenario

FILE = """
from loadkit import Endpoint, Scenario
browse = Scenario(base_url="http://h", endpoints=[Endpoint("GET", "/")], name={name!r})
"""
HOME = Endpoint("GET", "/")


def scenario(**changes: Any) -> Scenario:
    return Scenario(**({"base_url": "http://h", "endpoints": [HOME], "name": "shop"} | changes))


def written(folder: Path, name: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.py").write_text(FILE.format(name=name))
    return folder / "shop.py"


# -- names


def named(changes: object) -> str:
    """The name of a case, without the address of a function, which differs between processes."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(changes))


@pytest.mark.parametrize("root", ROOTS)
def test_a_scenario_is_named_after_its_file_from_the_root_of_its_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / root).touch()
    file = written(tmp_path / "project" / "load" / "tests")
    monkeypatch.chdir(tmp_path / "project" / "load")
    for target in (str(file), "tests/shop.py", "../load/tests/shop.py::browse"):
        [found] = load(target)
        assert identity(found).name == "load/tests/shop.py::browse"


def test_the_nearest_root_counts(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").touch()
    (tmp_path / "inner" / ".git").mkdir(parents=True)
    [found] = load(str(written(tmp_path / "inner" / "load")))
    assert identity(found).name == "load/shop.py::browse"


def test_a_name_in_the_file_takes_the_place_of_the_variable(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    [found] = load(str(written(tmp_path, "a::b")))
    assert identity(found).name == "shop.py::a::b"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://127.0.0.1:8000/products?q=tea", "GET /products"),
        ("http://[::1]:8000", "GET /"),
    ],
)
def test_a_bare_url_is_named_after_what_is_requested_and_not_after_its_host(url: str, name: str) -> None:
    [found] = load(url)
    assert identity(found).name == name


def test_a_scenario_made_in_python_has_the_name_it_was_given() -> None:
    assert [identity(scenario(name=name)).name for name in ("shop", None)] == ["shop", "scenario"]


# -- plans


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 2},
        {"duration": "11s"},
        {"iterations": 5},
        {"iterations_per_thread": 5},
        {"warmup": 1},
        {"think_time": 1},
        {"think_time": ("1s", "2s")},
        {"pacing": 1},
        {"rate": 5},
        {"rate": 5, "arrivals": "poisson"},
        {"rate": 5, "max_threads": 101},
        {"phases": [ramp("10s", to=5)]},
        {"phases": [hold("10s")]},
        {"thresholds": ["p99 < 1s"]},
        {"headers": {"Accept": "text/html"}},
        {"timeout": 1},
        {"verify": False},
        {"setup": lambda http: None},
        {"endpoints": [Endpoint("GET", "/x")]},
        {"endpoints": [HOME, Endpoint("GET", "/x")]},
        {"endpoints": [Endpoint("HEAD", "/")]},
        {"endpoints": [HOME.replace(weight=2)]},
        {"endpoints": [HOME.replace(params={"q": "tea"})]},
        {"endpoints": [HOME.replace(headers={"Accept": "text/html"})]},
        {"endpoints": [HOME.replace(expect=200)]},
        {"endpoints": [HOME.replace(check=print)]},
        {"endpoints": [Endpoint("POST", "/", json={"sku": [1, 2]})]},
        {"endpoints": [Endpoint("POST", "/", json={"sku": [1, 3]})]},
        {"endpoints": [Endpoint("POST", "/", data=b"1")]},
        {"endpoints": [Endpoint("POST", "/", data=b"2")]},
        {"endpoints": [lambda http: None]},
    ],
    ids=named,
)
def test_another_load_has_another_plan(changes: dict[str, Any]) -> None:
    assert identity(scenario(**changes)).plan != identity(scenario()).plan


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "https://elsewhere:8443/v1"},  # parts of one load may go to several hosts
        {"name": "other"},
        {"description": "text"},
        {"processes": 2},  # how many share it is no part of it
        {"seed": 7},  # nothing is drawn by lot
        {"keep_going": True},
        {"ca": "ca.pem"},
        {"cert": "client.pem"},
        {"server": ["python", "app.py"]},
    ],
    ids=named,
)
def test_what_is_no_part_of_a_load_changes_no_plan(changes: dict[str, Any]) -> None:
    assert identity(scenario(**changes)).plan == identity(scenario()).plan


@pytest.mark.parametrize(
    "drawn",
    [
        {"rate": 5, "arrivals": "poisson"},
        {"think_time": ("1s", "2s")},
        {"think_time": lambda draw: draw.random()},
        {"endpoints": [Endpoint("GET", "/{id}", feed=rows([{"id": 1}], order="shuffled"))]},
    ],
    ids=named,
)
def test_the_seed_is_in_the_plan_where_something_is_drawn_by_lot(drawn: dict[str, Any]) -> None:
    assert identity(scenario(**drawn, seed=1)).plan != identity(scenario(**drawn, seed=2)).plan


@pytest.mark.parametrize("name", ["token", "password", "api_key"])
def test_a_secret_of_each_run_makes_no_other_plan(name: str) -> None:
    plans = {
        identity(
            scenario(
                headers={"Authorization": value},
                endpoints=[
                    Endpoint("POST", f"/?{name}={value}", headers={"X": value}, json={name: value}, auth=("a", value))
                ],
            )
        ).plan
        for value in ("one", "two")
    }
    assert len(plans) == 1


def test_full_urls_are_told_apart_by_the_order_of_their_hosts_and_not_by_their_ports() -> None:
    def plan(*urls: str) -> str:
        return identity(Scenario(endpoints=[Endpoint("GET", url) for url in urls])).plan

    assert plan("http://h:1/a", "http://h:2/a") == plan("http://h:3/a", "http://h:4/a")
    assert plan("http://h:1/a", "http://h:2/a") != plan("http://h:1/a", "http://h:1/a")
    assert plan("http://h:1/a") != plan("http://h:1/b")


def test_a_feed_is_the_same_in_another_folder() -> None:
    plans = {
        identity(scenario(endpoints=[Endpoint("GET", "/{id}", feed=rows(path))])).plan
        for path in ("/here/users.csv", "/there/users.csv", "/there/others.csv")
    }
    assert len(plans) == 2
