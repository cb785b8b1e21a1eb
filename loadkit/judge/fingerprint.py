"""What of a machine and its programs decides which figures it makes: two runs are alike only where these are."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.drive.machines import Machine
    from loadkit.judge.environment import Environment


# a default is left out of the text that the key is made from: series that are kept go on as new fields come
class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A kind of machine with its programs; no name of a machine, for runners of CI have another one each time."""

    processor: str
    cpus: float
    """CPUs that may be used, less where a cgroup limits them."""
    system: str
    """The kernel with its release."""
    python: str
    loadkit: str
    engine: str
    """Which client sends: `sockets`, or `sockets in C` with the extension, or the exchange loop that carries users."""
    machines: int = 1
    """How many shared the load."""

    @property
    def key(self) -> str:
        """12 hexadecimal digits: alike for alike fingerprints, and fit for a file name."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]

    def differences(self, other: Fingerprint) -> list[str]:
        """What differs, as `python CPython 3.11.2, was CPython 3.12.1`; `other` is what was before."""
        return [
            f"{name} {_show(getattr(self, name))}, was {_show(getattr(other, name))}"
            for name in self.__struct_fields__
            if getattr(self, name) != getattr(other, name)
        ]


def fingerprint(environment: Environment, machines: Sequence[Machine] = ()) -> Fingerprint:
    """The fingerprint of the machine and programs that made a result, and of how many machines there were."""
    client = f"{environment.transport} in C" if environment.extension else environment.transport
    return Fingerprint(
        processor=environment.processor,
        cpus=environment.cpu_capacity or environment.allowed_cpus or environment.cpu_count,
        system=environment.system,
        python=environment.python,
        loadkit=environment.loadkit,
        engine=environment.engine.partition(", ")[0] if environment.engine.startswith("exchange") else client,
        machines=machines[0].parts if machines else 1,
    )


def _show(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, int | float) else value or "not known"
