"""What the window says of a damaged database, and of what a repair found. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.store.salvage import Salvaged

Rows = tuple[tuple[str, str], ...]
SAFE = (
    "What is safe",
    "The file is left as it is. Trials continue, and their runners keep what they say until it is stored.",
)
REPAIR = (
    "Repair",
    "Makes a new database of what can be read, of trials that runners on this computer still keep (spools) and of "
    "copies made before migrations. The damaged file is kept beside it.",
)
READ = ("Open read-only", "Shows what DuckDB can still read. Nothing is stored or changed.")
UNREADABLE = ("Open read-only", "DuckDB cannot open this file, not even to read it.")
_NAMED_AT_MOST = 8


def found_rows(done: Salvaged) -> Rows:
    """Trials by where they were found, those that lost records, and the file that is kept."""
    rows = [("Trials", f"{done.trials:,}")]
    rows += [(f"From {source}", f"{trials:,}") for source, trials in done.found.items()]
    if done.restored:
        rows.append(("Made whole by spools or copies", f"{len(done.restored):,}"))
    if done.incomplete:
        rows.append(("Invalid now", f"{_named(done.incomplete)}. Some of their records are lost."))
    return (*rows, ("Damaged file", str(done.kept)))


def _named(trials: tuple[str, ...]) -> str:
    more = len(trials) - _NAMED_AT_MOST
    names = ", ".join(trials[:_NAMED_AT_MOST])
    return f"{names} and {more} more" if more > 0 else names
