"""An application by a name that another process finds it by."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from loadkit.plan.errors import UsageError


def reference(app: str | Callable[..., Any]) -> str:
    """`module:name` or `file.py:name`; `UsageError` for what no module holds under a name."""
    if isinstance(app, str):
        module, separator, name = app.rpartition(":")
        parts = name.removesuffix("()").split(".")
        if not separator or not module or not all(part.isidentifier() for part in parts):
            raise UsageError(
                "an application is named like 'shop.app:app', 'shop/app.py:app' or, where a function makes it, "
                f"'shop.app:create_app()', not {app!r}"
            )
        return app
    module_of_it, name = _found(app)
    return f"{_place(module_of_it)}:{name}"


def _found(app: Callable[..., Any]) -> tuple[ModuleType, str]:
    """The module that made it comes first: others import it from there."""
    modules = dict(sys.modules)
    own = modules.get(getattr(app, "__module__", None) or "")
    for module in (own, *modules.values()):
        for name, value in (vars(module) if isinstance(module, ModuleType) else {}).items():
            if value is app:
                return module, name  # type: ignore[return-value]
    raise UsageError(
        f"another process cannot find {app!r}: define the application at the top of a module, or name it like "
        "'shop.app:app'"
    )


def _place(module: ModuleType) -> str:
    """Its name, if that leads to the same file; pytest imports tests under names that lead nowhere."""
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__
    try:
        spec = importlib.util.find_spec(module.__name__) if module.__name__ != "__main__" else None
    except (ImportError, ValueError):
        spec = None
    # find_spec believes sys.modules; the finders of the path are what the other process has
    leads_there = spec is not None and _on_the_path(module.__name__) == Path(file).resolve()
    return module.__name__ if leads_there else str(Path(file).resolve())


def _on_the_path(name: str) -> Path | None:
    """The file that a new interpreter with our path would import under that name."""
    from importlib.machinery import PathFinder

    path: list[str] | None = None
    found = None
    for depth in range(1, len(parts := name.split(".")) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), path)
        if spec is None:
            return None
        path, found = spec.submodule_search_locations, spec.origin
    return Path(found).resolve() if found else None
