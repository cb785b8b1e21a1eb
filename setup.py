"""Builds the extension in C, where that can be done and is wanted; all else is in pyproject.toml."""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup

EXCHANGE = Extension(
    "loadkit.wire._exchange",
    [f"loadkit/wire/native/{name}.c" for name in ("exchange", "fold", "loop", "loop_type")],
    depends=[f"loadkit/wire/native/{name}.h" for name in ("heads", "loop", "module", "sockets")],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers"],
    # without a compiler or the headers of Python it says so in a line, and the install goes on
    optional=True,
)


def is_wanted() -> bool:
    """True where the kernel stamps arrivals, and nobody asked for pure Python."""
    on_linux = sys.platform == "linux" and sys.implementation.name == "cpython"
    return on_linux and os.environ.get("LOADKIT_NO_EXTENSION", "0") in ("", "0")


setup(ext_modules=[EXCHANGE] if is_wanted() else [])
