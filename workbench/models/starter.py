"""Gets the starter model in a process of its own: fetch, check, convert. The work is `engines.data.starter`'s.

Runs in the caller's thread and blocks for as long as that takes (half a minute to some minutes).
"""

from __future__ import annotations

from pathlib import Path

from engines.protocol.places import Places, starter_folder
from workbench.models.fetching import FetchError, Report, run_fetch


def ensure_starter(places: Places, report: Report) -> Path:
    """The starter model's folder, fetched and converted if it is not there yet. Raises `FetchError`."""
    ready = starter_folder(places)
    if ready is not None:
        return ready
    run_fetch("engines.data.starter", places, report)
    made = starter_folder(places)
    if made is None:
        raise FetchError("The fetch ended without a model.", "Nothing was left half done; try again.")
    return made
