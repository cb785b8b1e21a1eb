"""Pages that need nothing else: no network, no other file, and no script for what they say.

Everything that comes from a result is text to the page. Jinja escapes what each template is given, and before that
`visible` turns what is no plain character into an escape; nothing in here marks such text as safe. The page's policy
forbids whatever it does not bring along: its style and its script are allowed by their hashes, and nothing else is
loaded, run, sent or framed. Names never become identifiers, attributes that do something, style or script.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadkit.report.escape import visible
from loadkit.report.layout import Layout

if TYPE_CHECKING:
    import jinja2

PAGE: Final = Path(__file__).parent / "page"

LONGEST_NAME: Final = 240
LONGEST_LINE: Final = 1_000

# wide enough never to wrap: the browser does that
_LAYOUT: Final = Layout(width=LONGEST_LINE)


class HeadFigure(NamedTuple):
    """A headline figure with an optional note."""

    name: str
    value: str
    note: str = ""
    tone: str = ""


def render(template: str, *, live: int = 0, **values: Any) -> str:
    """A page from one of the templates, with the style, the script and the policy of all pages.

    With a number as `live` it is that version of a page that asks where it came from for newer ones.
    """
    style, scripts = _read("style.css"), [_read("script.js"), *([_read("live.js")] if live else [])]
    hashes = " ".join(f"'{_hash(script)}'" for script in scripts)
    # a page that is live asks for newer ones, and its button stops the run
    connects = "connect-src 'self'; " if live else ""
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src {hashes}; {connects}"
        "base-uri 'none'; form-action 'none'"
    )
    return (
        _environment().get_template(template).render(**values, policy=policy, style=style, scripts=scripts, live=live)
    )


@cache
def _environment() -> jinja2.Environment:
    """The environment of the page's templates; it escapes all that they write."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        finalize=_visible,
        loader=jinja2.FileSystemLoader(PAGE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["name"] = lambda text: _LAYOUT.ellipsize(visible(text), LONGEST_NAME)
    environment.filters["line"] = lambda text: _LAYOUT.ellipsize(visible(text), LONGEST_LINE)
    environment.filters["place"] = lambda number: f"{number:.5g}"
    return environment


def _visible(value: Any) -> Any:
    """A text without controls, overrides and lone surrogates, before it is escaped; any other value as it is."""
    return visible(value) if type(value) is str else value


@cache
def _read(name: str) -> Any:
    """The style or script of the page, which is not escaped."""
    from markupsafe import Markup

    return Markup((PAGE / name).read_text(encoding="utf-8"))  # noqa: S704 - a file of this package


def _hash(text: str) -> str:
    """The hash of a text, as a Content-Security-Policy has it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
