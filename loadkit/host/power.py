"""What makes CPUs faster or slower from one minute to the next: a battery, and frequencies that change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYS: Final = Path("/sys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How the machine's CPUs are powered now, as Linux tells in /sys; nothing elsewhere, and in most containers."""

    on_battery: bool = False
    governors: tuple[str, ...] = ()
    """What decides on frequencies, such as `powersave`; each once."""
    frequency: float = 0.0
    """The mean of the CPUs, Hz; 0 where it is not known."""


def power(sys: Path = SYS) -> Power:
    """How the CPUs are powered now."""
    supplies = [(_read(one / "type"), one) for one in sorted(sys.glob("class/power_supply/*"))]
    # that of a mouse or a headset is a battery, too, of the scope "Device"
    batteries = [one for kind, one in supplies if kind == "Battery" and _read(one / "scope") != "Device"]
    is_plugged = any(_read(one / "online") == "1" for kind, one in supplies if kind != "Battery")
    cpus = sorted(sys.glob("devices/system/cpu/cpu[0-9]*/cpufreq"))
    kilohertz = [int(text) for one in cpus if (text := _read(one / "scaling_cur_freq")).isdigit()]
    governors = {name: None for one in cpus if (name := _read(one / "scaling_governor"))}
    return Power(
        on_battery=not is_plugged and any(_read(one / "status") == "Discharging" for one in batteries),
        governors=tuple(governors),
        frequency=1000 * sum(kilohertz) / len(kilohertz) if kilohertz else 0.0,
    )


def _read(path: Path) -> str:
    """A word; empty where it is not there or not ours to read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
