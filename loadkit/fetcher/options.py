"""What a fetch was asked to do, read and checked before anything is opened or sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

from loadkit._version import __version__
from loadkit.fetcher.filenames import Filenames
from loadkit.plan.endpoint import METHODS, Endpoint
from loadkit.plan.errors import UsageError, unknown
from loadkit.plan.fields import check_headers, check_whole_number, parse_positive_seconds
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import SECOND, Duration, Rate, Size, per_second, size

AUTO: Final = "auto"
FORMATS: Final = ("lines", "csv", "jsonl")
MOST_THREADS: Final = 1000

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """Everything that can be said about a fetch but its URLs; see `fetch`."""

    threads: int | Literal["auto"] = 20
    into: Path = Path("bodies")
    append: Path | None = None
    name: str | None = None
    flat: bool = False
    resume: bool = False
    verify: bool = False
    strict: bool = False
    duplicates: bool = False
    column: str = "url"
    format: str | None = None
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    user_agent: str | None = None
    timeout: Duration = 30.0
    retries: int = 4
    max_wait: Duration = 300.0
    back_off: Duration = 0.5
    host_pause: Duration = 1.0
    rate: Rate | None = None
    per_host: int | None = None
    max_size: Size = 16_000_000_000
    redirects: int = 10
    keep_failed: bool = True
    raw: bool = False
    ca: str | Path | None = None
    cert: str | Path | tuple[str | Path, str | Path] | None = field(default=None, repr=False)
    insecure: bool = False

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "threads", _threads(self.threads))
        keep(self, "timeout", parse_positive_seconds(self.timeout, what="timeout"))
        keep(self, "max_wait", parse_positive_seconds(self.max_wait, what="max_wait"))
        keep(self, "back_off", parse_positive_seconds(self.back_off, what="back_off"))
        keep(self, "host_pause", parse_positive_seconds(self.host_pause, what="host_pause"))
        keep(self, "max_size", size(self.max_size, what="max_size"))
        keep(
            self,
            "headers",
            sendable({name: from_environment(value) for name, value in check_headers(self.headers).items()}),
        )
        check_whole_number(self.retries, what="retries", least=0)
        check_whole_number(self.redirects, what="redirects", least=0)
        if self.per_host is not None:
            check_whole_number(self.per_host, what="per_host")
        if self.rate is not None:
            keep(self, "rate", per_second(self.rate))
            if not self.rate:
                raise UsageError("the rate must be more than 0, like '100/s'")
        keep(self, "method", method(self.method))
        if self.format is not None and self.format not in FORMATS:
            raise UsageError(f"there is no format {self.format!r}; use one of {', '.join(FORMATS)}")
        if self.append is not None and (self.name is not None or self.flat):
            raise UsageError("append writes one file; name and flat are for folders of files")
        if self.verify and not self.resume:
            raise UsageError("verify says how closely resume looks at what is there; give both")

    @property
    def names(self) -> Filenames:
        """How files are called."""
        return Filenames(self.name, flat=self.flat)

    @property
    def rate_a_second(self) -> float | None:
        """Requests a second at most."""
        return cast("float | None", self.rate)

    @property
    def seconds(self) -> float:
        """The timeout."""
        return cast(float, self.timeout)

    @property
    def longest_wait(self) -> int:
        """Nanoseconds a server may ask us to wait."""
        return round(cast(float, self.max_wait) * SECOND)

    @property
    def first_wait(self) -> int:
        """Nanoseconds to wait at most before something is asked for a second time."""
        return round(cast(float, self.back_off) * SECOND)

    @property
    def first_pause(self) -> int:
        """Nanoseconds that a host that does not answer is left alone at first."""
        return round(cast(float, self.host_pause) * SECOND)

    @property
    def bound(self) -> int:
        """Bytes a body may have, decoded."""
        return cast(int, self.max_size)

    def common_headers(self) -> dict[str, str]:
        """What is sent with each request unless its row says otherwise, names as they were given."""
        agent = self.user_agent or f"loadkit/{__version__}"
        coding = "identity" if self.raw else "gzip, deflate"
        ours = check_headers({"User-Agent": agent, "Accept": "*/*", "Accept-Encoding": coding})
        said = {name.lower() for name in self.headers}
        return {name: value for name, value in ours.items() if name.lower() not in said} | dict(self.headers)

    def scenario(self) -> Scenario:
        """What the wire wants to know, in its own words."""
        return Scenario(
            endpoints=[Endpoint("GET", "http://localhost/")],
            timeout=self.timeout,
            verify=not self.insecure,
            ca=self.ca,
            cert=self.cert,
        )


def from_environment(value: str) -> str:
    """A header's value with `${NAME}` replaced by that environment variable, so that no secret is seen in `ps`.

    Raises `UsageError` naming a variable that is not set.
    """

    def look_up(found: re.Match[str]) -> str:
        known = os.environ.get(found[1])
        if known is None:
            raise UsageError(f"a header wants the environment variable {found[1]}, which is not set")
        if re.search(r"[\r\n\0]", known):
            raise UsageError(f"the environment variable {found[1]} has a line break in it, and is no header")
        return known

    return _VARIABLE.sub(look_up, value)


def sendable(given: dict[str, str]) -> dict[str, str]:
    """Headers that can be sent and do not say where the message ends; `UsageError` naming the one that cannot."""
    for name, value in given.items():
        if name.lower() in ("content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"):
            raise UsageError(f"the header {name!r} is not yours to set: it belongs to the connection")
        if not value.isascii():
            try:
                value.encode("latin-1")
            except UnicodeEncodeError:
                raise UsageError(f"the header {name!r} has a character that is not latin-1") from None
    return given


def method(name: object) -> str:
    """An HTTP method, in capitals; `UsageError` for what is none."""
    upper = name.strip().upper() if isinstance(name, str) else ""
    if upper not in METHODS:
        raise UsageError(f"{name!r} is not an HTTP method; use one of {', '.join(sorted(METHODS))}")
    return upper


def read_options(options: Mapping[str, Any]) -> FetchOptions:
    """A plan out of keywords; `UsageError` for one there is not, or that has a wrong kind of value."""
    known = FetchOptions.__dataclass_fields__
    for name in options:
        if name not in known:
            raise UsageError(unknown("fetch", name, list(known)))
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("into", "append"):
        if name in given:
            given[name] = _path(given[name], name)
    for name in ("flat", "resume", "verify", "strict", "duplicates", "keep_failed", "raw", "insecure"):
        if not isinstance(given.get(name, False), bool):
            raise UsageError(f"{name} takes True or False, not {given[name]!r}")
    if "append" in given and "into" not in given:
        given["into"] = given["append"].with_name(f"{given['append'].name}.fetch")
    return FetchOptions(**given)


def _path(value: object, what: str) -> Path:
    if not isinstance(value, str | os.PathLike) or str(value) in ("", "-") or "\0" in str(value):
        shown = str(value) if isinstance(value, os.PathLike) else value
        raise UsageError(f"{what} takes the path of a {'folder' if what == 'into' else 'file'}, not {shown!r}")
    return Path(value)


def _threads(value: object) -> int | str:
    if value == AUTO:
        return AUTO
    try:
        number = int(value) if isinstance(value, str) else value
        check_whole_number(number, what="threads")
    except (ValueError, UsageError):
        raise UsageError(f"threads takes a whole number like 20, or 'auto', not {value!r}") from None
    assert isinstance(number, int)
    if number > MOST_THREADS:
        raise UsageError(f"{number:,} threads are more than {MOST_THREADS:,}: no server is asked for that much at once")
    return number
