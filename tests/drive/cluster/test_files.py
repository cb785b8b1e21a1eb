"""What of a scenario is laid on other machines, and how it is named there."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadkit import UsageError
from loadkit.drive.cluster import files
from loadkit.drive.cluster.files import upload_for

SHOP = """
import json, users
from places import nearest
from loadkit import Endpoint, Scenario, rows
people = rows("data/people.csv")
bodies = (open("orders.json"), "texts", "/etc/hostname", "../secret", ".env", "GET /", "")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a scenario in a folder, and with more than that needs."""
    content = {
        "scenarios/shop.py": SHOP,
        "scenarios/users.py": "import names\n",
        "scenarios/names.py": "def broken(:\n",
        "scenarios/places/__init__.py": "",
        "scenarios/places/nearest.py": "",
        "scenarios/orders.json": "{}",
        "scenarios/other.py": "",
        "data/people.csv": "name\nann\n",
        "data/unused.csv": "name\n",
        "texts/a.txt": "a",
        "texts/.hidden": "b",
        ".env": "TOKEN=1",
        "ca.pem": "an authority",
    }
    for name, text in content.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "secret").write_text("not ours")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def test_a_scenario_takes_with_it_the_modules_beside_it_and_the_files_that_it_names(project: Path):
    found = upload_for(f"{project}/scenarios/shop.py::browse", [Path("ca.pem"), Path("/etc/hostname"), Path("none")])

    assert sorted(found.files) == [
        "ca.pem",
        "data/people.csv",
        "scenarios/names.py",
        "scenarios/orders.json",
        "scenarios/places/__init__.py",
        "scenarios/places/nearest.py",
        "scenarios/shop.py",
        "scenarios/users.py",
        "texts/a.txt",
    ]
    assert found.files["data/people.csv"] == b"name\nann\n"
    assert (found.folder, found.source) == (".", "scenarios/shop.py::browse")


def test_files_lie_to_each_other_as_they_do_here_wherever_the_command_was_typed(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project / "data")

    found = upload_for(f"{project}/scenarios/shop.py::browse")

    assert (found.folder, found.source) == ("data", "../scenarios/shop.py::browse")
    assert "scenarios/orders.json" in found.files


def test_a_url_needs_no_files(project: Path):
    found = upload_for("http://127.0.0.1:8000/")

    assert (dict(found.files), found.source) == ({}, "http://127.0.0.1:8000/")


def test_more_than_machines_are_sent_is_refused_with_the_file_that_is_too_much(project: Path):
    with (project / "data/people.csv").open("wb") as file:
        file.truncate(files.LARGEST + 1)

    with pytest.raises(
        UsageError, match=r"data/people\.csv and the other files that .*shop\.py names are more than 64 MB"
    ):
        upload_for(f"{project}/scenarios/shop.py::browse")
