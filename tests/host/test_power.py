"""Batteries and frequencies, as a made-up /sys tells of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadkit.host.power import Power, power

MAINS, BATTERY = "class/power_supply/AC", "class/power_supply/BAT0"
CPU = "devices/system/cpu/cpu{}/cpufreq"

FOUND = [
    ("nothing is told", {}, Power()),
    (
        "a laptop that is plugged in",
        {MAINS: {"type": "Mains", "online": "1"}, BATTERY: {"type": "Battery", "status": "Charging"}},
        Power(),
    ),
    (
        "a laptop that is not",
        {MAINS: {"type": "Mains", "online": "0"}, BATTERY: {"type": "Battery", "status": "Discharging"}},
        Power(on_battery=True),
    ),
    ("a battery alone", {BATTERY: {"type": "Battery", "status": "Discharging"}}, Power(on_battery=True)),
    # as some firmware does when the mains give too little
    (
        "a battery that helps the mains",
        {MAINS: {"type": "USB", "online": "1"}, BATTERY: {"type": "Battery", "status": "Discharging"}},
        Power(),
    ),
    ("a mouse", {BATTERY: {"type": "Battery", "status": "Discharging", "scope": "Device"}}, Power()),
    (
        "CPUs of two governors",
        {
            CPU.format(0): {"scaling_governor": "powersave", "scaling_cur_freq": "1000000"},
            CPU.format(1): {"scaling_governor": "performance", "scaling_cur_freq": "3000000"},
            CPU.format(12): {"scaling_governor": "powersave", "scaling_cur_freq": "<unknown>"},
        },
        Power(governors=("powersave", "performance"), frequency=2e9),
    ),
]


@pytest.mark.parametrize(("files", "expected"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
def test_how_the_machine_is_powered(files: dict[str, dict[str, str]], expected: Power, tmp_path: Path):
    for folder, contents in files.items():
        (tmp_path / folder).mkdir(parents=True)
        for name, text in contents.items():
            (tmp_path / folder / name).write_text(f"{text}\n")

    assert power(tmp_path) == expected


def test_this_machine_is_asked_without_a_fault():
    assert power().frequency >= 0
