"""How Sphinx makes a site of these pages: `scripts/docs`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sphinx.ext.napoleon import Config, GoogleDocstring

from loadkit import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "loadkit"
copyright = "the authors of loadkit"  # noqa: A001 - the name that Sphinx asks for
version = release = __version__
html_title = f"loadkit {__version__}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinxcontrib.programoutput",
]
html_theme = "furo"
# a report is 98 characters wide, and is to be read without scrolling
html_theme_options = {"light_css_variables": {"code-font-size": "75%"}}
# nothing is asked of the network: not when the site is built, and not by whoever reads it
html_show_sphinx = False
# a block without a language is what a program printed
highlight_language = "text"
exclude_patterns = ["_build"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

# names in docstrings stand in single backticks
default_role = "code"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 100
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True

# of a command and what it printed, what is typed is copied
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", lay_out_arguments)


def lay_out_arguments(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make fields of `Args:`; the extension itself would take what stands before a colon in an attribute for a type."""
    # a literal is to end before a letter, too: `Endpoint`s
    lines[:] = [re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in lines]
    if what in ("class", "function", "method"):
        lines[:] = GoogleDocstring(lines, Config(), app, what, name, obj, options).lines()
