"""The application's own version, written into exports. Pure."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


@cache
def version() -> str:
    """As installed; "unknown" where the package is run without being installed."""
    try:
        return installed("llm-workbench")
    except PackageNotFoundError:
        return "unknown"
