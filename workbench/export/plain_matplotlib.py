"""matplotlib as it comes, whatever the user has set for figures of their own: a figure of ours looks alike everywhere.

Import this before matplotlib: an unusable MPLBACKEND or matplotlibrc would fail its import.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _without_the_users_settings() -> Iterator[None]:
    found = importlib.util.find_spec("matplotlib")
    wanted = {"MPLBACKEND": "agg"}
    if found is not None and found.origin is not None:
        wanted["MATPLOTLIBRC"] = str(Path(found.origin).with_name("mpl-data") / "matplotlibrc")
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


with _without_the_users_settings():
    import matplotlib as mpl

DEFAULTS: dict[str, object] = {
    name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")
}
"""Every setting that decides how a figure looks; a matplotlibrc in the working directory is read all the same."""
